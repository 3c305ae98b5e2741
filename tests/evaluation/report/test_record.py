import json

import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.report.compare import compare_records, comparison_tables
from everypose.evaluation.report.published import published
from everypose.evaluation.report.record import KeypointRow, Protocol, Record, differences
from everypose.evaluation.tracking.evaluate import _table as sequences

PROTOCOL = Protocol(
    metric="coco",
    dataset="coco",
    split="val",
    annotations="ab" * 32,
    images=5000,
    persons=6352,
    boxes="none",
    flip=True,
    input_size="short side 512",
    nms="OKS 0.8",
    keypoints="coco",
    sigmas="abc",
    area="annotation",
    detection_area="bbox",
)


def record(name="mine", **protocol):
    return Record(
        everypose="1.2.3",
        model=name,
        model_sha256="cd" * 32,
        protocol=PROTOCOL.model_copy(update=protocol),
        numbers={"": {"AP": 0.701, "AP50": None}},
    )


def text(tables):
    from rich.console import Console

    console = Console(width=250)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    return captured.get()


def test_a_record_comes_back_as_it_was(tmp_path):
    path = tmp_path / "record.json"
    record().write(path)
    assert Record.read(path) == record()


def test_a_record_shows_its_whole_protocol():
    shown = text(record().tables())
    for words in ("5000", "6352", "short side 512", "OKS 0.8", "cd" * 32, "1.2.3", "none", "70.1", "–", "val", "yes"):
        assert words in shown


@pytest.mark.parametrize("name", ["[red]model[/red]", "a[/b]", "[link=x]", "set [v2]"])
def test_names_are_no_markup(name):
    row = KeypointRow(
        keypoint=name,
        good=1,
        jitter=0,
        inversion=0,
        swap=0,
        miss=0,
        unmatched=0,
        median_pixels=None,
        median_relative=None,
    )
    one = record(name, dataset=name, annotations=name).model_copy(
        update={"numbers": {name: {name: 0.5}}, "keypoints": [row]}
    )
    assert text(one.tables()).count(name) >= 6
    assert text(comparison_tables([one, one])).count(name) >= 4
    assert text([sequences(name, ["IDF1"], {name: ["1"]})]).count(name) == 2


def test_what_is_not_known_is_said():
    assert "not stated" in text(record(flip=None).tables())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"format": "something else"}, "format"),
        ([1, 2], "the content must be a table"),
        ({**record().model_dump(), "protocol": {**PROTOCOL.model_dump(), "images": "many"}}, "protocol.images"),
    ],
)
def test_other_files_are_no_records(tmp_path, content, words):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(content))
    with pytest.raises(EveryposeError, match=f"is not an evaluation record: {words}"):
        Record.read(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("boxes", "ground truth"),
        ("flip", False),
        ("split", "test"),
        ("input_size", "640"),
        ("persons", 6000),
        ("sigmas", "x"),
    ],
)
def test_different_protocols_are_refused_and_said(field, value):
    other = record("other", **{field: value})
    with pytest.raises(UsageError, match=f"different protocols: {field.replace('_', ' ')}: .* versus .*--anyway"):
        compare_records([record(), other])
    compared = compare_records([record(), other], anyway=True)
    assert compared.differences == [differences(record().protocol, other.protocol)]
    assert len(compared.differences[0]) == 1


def test_weights_and_version_may_differ():
    other = record().model_copy(update={"model_sha256": "00", "everypose": "9"})
    assert compare_records([record(), other]).differences == [[]]


def test_one_record_is_not_a_comparison():
    with pytest.raises(UsageError, match="two records"):
        compare_records([record()])


def test_published_numbers_stand_beside():
    shown = text(comparison_tables([record("mine"), record("yours")]))
    assert shown.index("mine") < shown.index("yours") < shown.index("BoIR W32")
    assert "70.6" in shown
    assert "BMVC 2023" in shown
    assert "ground truth" in shown
    assert compare_records([record(), record()]).published


def test_without_a_data_set_nothing_is_published():
    assert compare_records([record(dataset="not stated"), record(dataset="not stated")]).published == []


@pytest.mark.parametrize(
    ("dataset", "split", "model", "boxes", "number"),
    [
        ("coco", "val", "BoIR W32", "none", ("AP50", 89.2)),
        ("ochuman", "val", "HRNet-W48 MIPNet", "ground truth", ("AP", 74.1)),
        ("crowdpose", "val", "HRNet-W48 MIPNet", "ground truth", ("AP hard", 66.5)),
        ("crowdpose", "test", "BoIR W48", "none", ("AP", 77.2)),
        ("coco", "test-dev", "PoseBH-B", "detector, 60.9 AP", ("AR", 81.7)),
        ("interhand2d", "test", "PoseBH-B, released", "ground truth", ("EPE", 3.61)),
        ("mpii", "val", "PoseBH-H", "ground truth", ("PCKh@0.1", 42.3)),
    ],
)
def test_published_numbers(dataset, split, model, boxes, number):
    name, value = number
    found = [e for e in published(dataset, split) if e.model == model and e.boxes == boxes]
    assert value in [e.numbers.get(name) for e in found]
    assert all(e.source for e in found)
