"""The papers' tables: printed numbers, records, and reasons for rows that cannot be run."""

import json
import shutil
from pathlib import Path

import pytest

from evaluation.oracle import content, write_set
from evaluation.tiny_crops import tiny_folder
from everypose.core.files import sha256
from everypose.errors import UsageError
from everypose.evaluation.report.published import published_from
from everypose.evaluation.report.record import Record
from everypose.studies.paper_tables import find_tables, paper_tables, weights_of
from everypose.studies.reproduction import Resources, reproduce, table_content, table_markdown
from everypose.training.recipe_files import recipe_names


def table(name):
    return find_tables([name])[0]


def test_every_table_has_rows_of_one_kind_and_its_source_has_results():
    for each in paper_tables():
        assert bool(each.rows) != bool(each.source), each.name
        assert bool(each.rows) == bool(each.command), each.name
        if each.source:
            assert each.results(), each.name
        for row in each.rows:
            assert list(row) == list(each.rows[0])
    assert len(find_tables(["all"])) == len(paper_tables())
    with pytest.raises(UsageError, match="the tables are boir"):
        find_tables(["mipnet-99"])


def test_all_results_of_the_three_papers_are_in_a_table():
    listed = [result for each in paper_tables() for result in each.results()]
    for source in {each.source for each in paper_tables() if each.source}:
        assert all(listed.count(result) == 1 for result in published_from(source))


def test_weights_are_catalog_names_or_recipes():
    names = {}
    for each in paper_tables():
        for result in each.results():
            weights = weights_of(result)
            names[result.model, result.dataset, "fine-tuned" in result.note, result.input_size] = (
                weights and weights.name
            )
    assert names["BoIR W32", "crowdpose", False, ""] == "boir-w32-crowdpose"
    assert names["BoIR W32", "crowdpose", True, ""] == "boir-w32-crowdpose-finetune"
    assert names["HRNet-W48 MIPNet", "ochuman", False, "384x288"] == "mipnet-w48-384-coco"
    assert names["HRNet-W48 MIPNet", "crowdpose", False, "384x288"] == "mipnet-w48-384-crowdpose"
    assert names["PoseBH-B", "aic", False, "256x192"] == "posebh-b"
    assert names["DEKR W32", "coco", False, ""] is None
    known = set(recipe_names()) | {"vitpose-plus-b-wholebody"}
    assert {name for name in names.values() if name} <= known


@pytest.fixture
def coco(tmp_path):
    """COCO's layout with three images, and a folder of models with a tiny network under a published name."""
    data = tmp_path / "data" / "coco"
    truth = content()
    (data / "annotations").mkdir(parents=True)
    write_set(data / "val2017", truth)
    shutil.move(data / "val2017" / "truth.json", data / "annotations" / "person_keypoints_val2017.json")
    tiny_folder(tmp_path / "models" / "mipnet-w32-256-coco")
    return tmp_path


def resources(folder, **changed):
    return Resources(folder / "data", folder / "models", folder / "records", **({"quiet": True} | changed))


def test_what_is_there_is_run_once_and_the_rest_has_a_reason(coco, monkeypatch):
    rows = reproduce(table("mipnet-2"), resources(coco))
    ran = [row for row in rows if row.record is not None]
    assert [(row.published.model, row.published.input_size) for row in ran] == [("HRNet-W32 MIPNet", "256x192")]
    record = ran[0].record
    assert (record.protocol.boxes, record.protocol.flip, record.protocol.images) == ("ground truth", True, 3)
    assert {row.reason for row in rows if row.record is None} >= {"no weights: hrnet-w32-256-coco in --models"}
    assert not any(row.failed for row in rows)
    text = table_markdown(table("mipnet-2"), rows)
    assert (
        "| HRNet-W32 MIPNet 256x192 | coco val | ground truth | 77.6 | 94.4 | 85.3 | 74.7 | 81.9 | 80.6 | published |"
        in text
    )
    assert "here: 3 images, 6 people, flip yes |" in text
    own = 100 * record.numbers[""]["AR"]
    assert "| tiny mipnet | coco val | ground truth | " in text
    assert f"| {own:.1f} | here:" in text
    # The record is read the second time, also without data or weights.
    monkeypatch.setattr("everypose.studies.reproduction.evaluate_model", None)
    again = reproduce(table("mipnet-2"), Resources(None, None, coco / "records"))
    assert [row.record for row in again if row.record] == [record]
    assert json.loads(json.dumps(table_content(table("mipnet-2"), again)))["table"] == "mipnet-2"


def test_reasons(coco, tmp_path):
    reasons = {
        (row.published.model, row.published.dataset, row.published.split): row.reason
        for name in ("boir", "mipnet-4", "mipnet-5")
        for row in reproduce(table(name), resources(coco, run=False))
        if row.published.input_size in ("", "256x192")
    }
    assert reasons["DEKR W32", "coco", "val"] == "no such model in everypose"
    assert reasons["BoIR W32", "coco", "test-dev"] == "annotations are not public"
    assert reasons["BoIR W32", "coco", "val"] == "no weights: boir-w32-coco in --models"
    assert reasons["HRNet-W32 MIPNet", "ochuman", "val"].startswith("no data: ochuman val in ")
    rows = reproduce(table("mipnet-2"), resources(coco, run=False))
    assert "not run yet" in {row.reason for row in rows}
    tiny_folder(tmp_path / "models" / "mipnet-w48-384-coco")
    detected = reproduce(table("mipnet-5"), resources(coco, run=False))
    assert "no boxes of Faster R-CNN: --boxes coco-val=FILE" in {row.reason for row in detected}


def test_ochuman_is_scored_as_published_and_as_trained(tmp_path):
    folder = tmp_path / "data" / "ochuman"
    (folder / "annotations").mkdir(parents=True)
    write_set(folder / "images", content())
    shutil.move(folder / "images" / "truth.json", folder / "annotations" / "ochuman_test.json")
    udp = {"convention": "udp", "decoder": "udp"}
    tiny_folder(tmp_path / "models" / "posebh-b", family="hrnet", inference=udp)
    rows = [
        row
        for row in reproduce(table("posebh"), resources(tmp_path, flip=False))
        if (row.published.model, row.published.dataset) == ("PoseBH-B", "ochuman")
    ]
    published, trained = rows
    assert [row.record.protocol.decoder for row in rows] == ["quarter", "udp"]
    assert (published.extra, trained.extra) == (False, True)
    names = {path.name for path in (tmp_path / "records").iterdir()}
    assert names == {f"posebh-b-ochuman-test-annotated-{decoder}.json" for decoder in ("quarter", "udp")}
    text = table_markdown(table("posebh"), rows)
    assert text.count("| published |") == 1
    assert "flip no, decoder quarter |" in text
    assert "flip no, decoder udp |" in text
    missing = reproduce(table("posebh"), Resources(None, None, tmp_path / "none"))
    reasons = [(row.published.note, row.reason) for row in missing if row.published.model == "PoseBH-H"]
    assert ("decoder udp", "no weights: posebh-h in --models") in reasons


def test_other_models_run_on_the_tables_data(coco, tmp_path):
    mine = tiny_folder(tmp_path / "mine")
    rows = reproduce(table("mipnet-2"), resources(coco, extra=(mine,), flip=False))
    assert [row.extra for row in rows].count(True) == 1
    assert rows[-1].record == Record.read(tmp_path / "records" / "mine-coco-val-annotated.json")
    text = table_markdown(table("mipnet-2"), rows)
    assert text.count("| tiny mipnet | coco val | ground truth |") == 2
    # A top-down model is not run where people are found without boxes.
    assert not any(row.extra for row in reproduce(table("boir"), resources(coco, extra=(mine,))))


def test_models_of_one_name_have_their_own_numbers(coco, tmp_path):
    folders = tiny_folder(tmp_path / "a" / "mine"), tiny_folder(tmp_path / "b" / "mine", family="hrnet")
    rows = reproduce(table("mipnet-2"), resources(coco, extra=folders, flip=False))
    assert [row.record.model_sha256 for row in rows if row.extra] == [
        sha256(Path(folder) / "model.safetensors") for folder in folders
    ]
    # The last one is known.
    again = reproduce(table("mipnet-2"), resources(coco, extra=folders, flip=False, run=False))
    assert [row.reason for row in again if row.extra] == ["not run yet", ""]


def test_other_detections_are_another_result(coco, tmp_path, monkeypatch):
    detections = tmp_path / "detections.json"
    people = [
        {"image_id": each["image_id"], "category_id": 1, "bbox": each["bbox"], "score": 0.9}
        for each in content()["annotations"]
    ]
    detections.write_text(json.dumps(people))
    tiny_folder(tmp_path / "models" / "mipnet-w48-384-coco")
    given = resources(coco, boxes={"coco-val": detections}, flip=False)
    first = [row.record for row in reproduce(table("mipnet-5"), given) if row.record]
    assert len(first) == 1
    with monkeypatch.context() as nothing_runs:
        nothing_runs.setattr("everypose.studies.reproduction.evaluate_model", None)
        assert [row.record for row in reproduce(table("mipnet-5"), given) if row.record] == first
    detections.write_text(json.dumps(people[:-1]))
    second = [row.record for row in reproduce(table("mipnet-5"), given) if row.record]
    assert second[0].protocol.boxes != first[0].protocol.boxes


@pytest.mark.usefixtures("coco")
def test_the_command_lists_prints_and_fails_on_damaged_models(everypose, tmp_path):
    assert "mipnet-6           MIPNet table 6" in everypose("reproduce").out
    done = everypose("reproduce", "mipnet-6", "mipnet-2", "--no-run", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "| DARK | 78.8 | 79.4 |" in done.out
    assert (tmp_path / "out" / "mipnet-2.md").read_text().startswith("## MIPNet table 2")
    (tmp_path / "models" / "mipnet-w32-256-coco" / "config.json").write_text("{}")
    failed = everypose(
        "reproduce", "mipnet-2", "--data", tmp_path / "data", "--models", tmp_path / "models", "--json",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert failed.code == 1
    assert failed.err.startswith("everypose: HRNet-W32 MIPNet on coco: ")
    assert json.loads(failed.out)[0]["table"] == "mipnet-2"
    assert everypose("reproduce", "mipnet-99").code == 2
    assert everypose("reproduce", "mipnet-2", "--boxes", "coco").code == 2
