import json

import cv2
import numpy as np
import pytest

from evaluation.oracle import BOXES, COCO, content, detections, open_oracle, photo, write_set
from evaluation.tiny_crops import NARROW, tiny, tiny_folder
from everypose.core.geometry import transform
from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.box_source import BoxSource
from everypose.evaluation.evaluate import evaluate_model, prepare_evaluation
from everypose.evaluation.options import EvaluationOptions
from everypose.inference.boxes import Boxes
from everypose.inference.runtimes.torch import TorchCropRuntime
from everypose.inference.top_down import TopDownEstimator
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.studies import latency
from everypose.studies.box_crops import best_box, parse_box
from everypose.studies.boxes import parse_thresholds, study_boxes
from everypose.studies.dark import open_decoders, study_dark
from everypose.studies.latency import person_runs, rows_of, study_latency, time_turns
from everypose.studies.networks import read_mipnet, read_top_down
from everypose.studies.occlusion import study_occlusion
from everypose.studies.selector import poses_between, soft_selectors, study_selector
from inference import stand_in

TRUTH = BoxSource("truth")


@pytest.fixture
def data(tmp_path):
    truth = content()
    return truth, write_set(tmp_path / "set", truth)


def write_detections(path, truth, scores, keep=None):
    path.write_text(json.dumps(detections(truth, scores, keep)))
    return BoxSource(str(path), threshold=0.0)


SCORES = [0.95, 0.1, 0.45, 0.5, 0.0, 0.85]


def test_boxes_at_each_threshold_are_counted_and_ap_is_that_of_the_people_left(monkeypatch, tmp_path, data):
    truth, layout = data
    model, oracle = open_oracle(monkeypatch, tmp_path, truth)
    source = write_detections(tmp_path / "det.json", truth, SCORES)
    study = study_boxes([prepare_evaluation(str(model), layout, EvaluationOptions(boxes=source))], quiet=True)
    assert [row["threshold"] for row in study.rows] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    # 0.1 and 0.5 are at their own thresholds: a box that scores just as much is looked at.
    left = [6, 5, 4, 4, 4, 3, 2, 2, 2, 1]
    assert [row["boxes"] for row in study.rows] == left
    # The oracle is always right: precision 1 up to the recall, at 101 recalls.
    assert [row["AP crop stand-in"] for row in study.rows] == pytest.approx([(100 * n // 6 + 1) / 101 for n in left])
    assert [row["AR crop stand-in"] for row in study.rows] == pytest.approx([n / 6 for n in left])
    assert oracle.crops == 6
    assert "gain" not in study.rows[0]


@pytest.fixture
def scored(monkeypatch):
    """The results lists that were scored, in order."""
    seen, scores = [], AnnotatedSet.score_oks
    monkeypatch.setattr(AnnotatedSet, "score_oks", lambda self, results: seen.append(results) or scores(self, results))
    return seen


def test_each_threshold_is_an_evaluation_with_that_threshold(tmp_path, data, scored):
    """Random poses of two instances in doubled boxes, so that suppression has something to do."""
    truth, layout = data
    folder = tiny_folder(tmp_path / "tiny")
    (tmp_path / "det.json").write_text(
        json.dumps(detections(truth, SCORES) + detections(truth, [0.3, 0.7, 0.35], keep=[0, 1, 4]))
    )
    source = BoxSource(str(tmp_path / "det.json"), threshold=0.0)
    study = study_boxes([prepare_evaluation(folder, layout, EvaluationOptions(boxes=source))], quiet=True)
    assert len({len(results) for results in scored}) > 5
    for row, results in zip(study.rows, scored, strict=True):
        at = BoxSource(source.boxes, threshold=row["threshold"])
        alone = evaluate_model(folder, layout, EvaluationOptions(boxes=at, quiet=True))
        assert results == alone.results
        numbers = alone.record.numbers[""]
        assert (row["AP tiny mipnet"], row["AR tiny mipnet"]) == (numbers["AP"], numbers["AR"])


def test_with_fewer_boxes_the_second_instance_gains(monkeypatch, tmp_path, data):
    truth, layout = data
    source = write_detections(tmp_path / "det.json", truth, [1.0, 1.0, 0.05, 1.0, 0.05, 1.0])
    opened = []
    for instances in (2, 1):
        model, _ = open_oracle(monkeypatch, tmp_path, truth, instances)
        opened.append(prepare_evaluation(str(model), layout, EvaluationOptions(boxes=source)))
    study = study_boxes(opened, quiet=True)
    assert study.rows[0]["gain"] == pytest.approx(0)
    assert study.rows[-1]["AR crop stand-in (1)"] == pytest.approx(1)
    assert study.rows[-1]["AR crop stand-in (2)"] == pytest.approx(4 / 6)
    assert study.rows[-1]["gain"] > 0.3
    assert study.facts["boxes"].startswith("det.json, sha256 ")


def test_other_thresholds(data, monkeypatch, tmp_path):
    assert parse_thresholds("0.9,0.85, 0.1,0.1") == (0.1, 0.85, 0.9)
    for wrong in ("", "a,b", "0,2", "nan"):
        with pytest.raises(UsageError, match="numbers from 0 to 1"):
            parse_thresholds(wrong)
    truth, layout = data
    model, oracle = open_oracle(monkeypatch, tmp_path, truth)
    write_detections(tmp_path / "det.json", truth, SCORES)
    opened = prepare_evaluation(
        str(model), layout, EvaluationOptions(boxes=BoxSource(str(tmp_path / "det.json"), threshold=0.85))
    )
    assert [row["boxes"] for row in study_boxes([opened], (0.85, 0.9), quiet=True).rows] == [2, 1]
    assert oracle.crops == 2


def test_boxes_without_confidence_and_models_without_boxes_are_refused(monkeypatch, tmp_path, data):
    truth, layout = data
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    with pytest.raises(UsageError, match="no confidence"):
        study_boxes([prepare_evaluation(str(model), layout, EvaluationOptions(boxes=TRUTH))])
    monkeypatch.undo()
    single = stand_in.write_model(tmp_path / "stand_in.onnx")
    with pytest.raises(UsageError, match="finds people by itself"):
        study_boxes([prepare_evaluation(str(single), layout)])


def test_the_gain_by_occlusion_is_the_difference_of_two_evaluations(monkeypatch, tmp_path, data):
    truth, layout = data
    # One of the pair and one of those who touch have no box.
    source = write_detections(tmp_path / "det.json", truth, [1.0] * 4, keep=[0, 1, 3, 5])
    records = []
    for instances in (2, 1):
        model, _ = open_oracle(monkeypatch, tmp_path, truth, instances)
        records.append(evaluate_model(str(model), layout, EvaluationOptions(boxes=source, quiet=True)).record)
    study = study_occlusion(*records)
    rows = {row["IoU"]: row for row in study.rows}
    assert {name: row["people"] for name, row in rows.items()} == {
        "0": 2,
        "0 to 0.3": 2,
        "0.3 to 0.5": 0,
        "above 0.5": 2,
        "all people": 6,
    }
    assert [rows[name]["AR gain"] for name in ("0", "0 to 0.3", "above 0.5", "all people")] == pytest.approx(
        [0, 0.5, 0.5, 2 / 6]
    )
    assert rows["0.3 to 0.5"]["AP gain"] is None
    for record, name in zip(records, ("crop stand-in (1)", "crop stand-in (2)"), strict=True):
        for row in next(iter(record.classes.values())):
            assert rows[row.name][f"AP {name}"] == row.ap
        assert rows["all people"][f"AP {name}"] == record.numbers[""]["AP"]
    assert "| 0.3 to 0.5 | 0 | – | – | – | – | – | – |" in study.markdown()


def test_occlusion_of_other_data_is_refused(monkeypatch, tmp_path, data):
    truth, layout = data
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    record = evaluate_model(str(model), layout, EvaluationOptions(boxes=TRUTH, quiet=True)).record
    other = record.model_copy(update={"protocol": record.protocol.model_copy(update={"annotations": "0"})})
    with pytest.raises(UsageError, match="different data"):
        study_occlusion(record, other)


@pytest.mark.parametrize("flip", [False, True])
def test_dark_and_quarter_are_the_evaluations_with_either_decoder(tmp_path, data, scored, flip):
    _, layout = data
    study = study_dark(
        open_decoders(
            tiny_folder(tmp_path / "tiny"),
            layout,
            EvaluationOptions(flip=flip, boxes=TRUTH, device="auto" if flip else "cpu"),
        ),
        quiet=True,
    )
    assert [row["decoder"] for row in study.rows] == ["quarter", "dark", "dark-17"]
    assert scored[0] != scored[1] != scored[2]
    for row, results in zip(study.rows, scored, strict=True):
        folder = tiny_folder(tmp_path / row["decoder"], inference={"decoder": row["decoder"]})
        alone = evaluate_model(folder, layout, EvaluationOptions(boxes=TRUTH, flip=flip, quiet=True))
        assert results == alone.results
        numbers = alone.record.numbers[""]
        assert {name: None if row[name] == -1 else row[name] for name in numbers} == numbers
    assert study.facts["boxes"] == "ground truth"


def test_dark_has_nothing_to_compare_in_udp_crops(tmp_path, data):
    folder = tiny_folder(tmp_path / "tiny", inference={"decoder": "udp", "convention": "udp"})
    with pytest.raises(UsageError, match="UDP"):
        open_decoders(folder, data[1], EvaluationOptions(boxes=TRUTH))


def test_selectors_go_from_the_primary_to_the_second():
    expected = [[1, 0, 0], [0.75, 0.25, 0], [0.5, 0.5, 0], [0.25, 0.75, 0], [0, 1, 0]]
    np.testing.assert_allclose(soft_selectors(5, 3), expected)


@pytest.mark.parametrize(("convention", "decoder"), [("classic", "quarter"), ("udp", "udp")])
def test_at_both_ends_the_poses_are_those_of_the_people(convention, decoder):
    network, config = tiny(inference={"decoder": decoder, "convention": convention, "nms": None, "min_score": 0.0})
    image, box = photo(1), np.array([40.0, 30, 100, 140])
    poses = poses_between(network, config, image, box=box, selectors=soft_selectors(6, 2))
    boxes = Boxes(box[None], np.ones(1))
    runtime = TorchCropRuntime(network, config)
    people = TopDownEstimator(runtime, config, lambda _: boxes)(image)
    # The primary scores twice as much as the second one.
    np.testing.assert_allclose(poses[[0, -1]], people.keypoints, rtol=1e-5, atol=1e-4)
    assert np.abs(poses[0] - poses[-1]).max() > 1
    assert not np.allclose(poses[2, :, 2], poses[0, :, 2])


def test_the_selector_s_strip_shows_every_pose(tmp_path):
    network, config = tiny()
    box = np.array([40.0, 30, 100, 140])
    study = study_selector(network, config, photo(1), box=box, steps=5, name="pair.png")
    assert [row["selector"] for row in study.rows] == [[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1]]
    assert study.rows[0]["from the primary"] == study.rows[-1]["from the second"] == 0
    ends = [study.rows[0]["from the second"], study.rows[-1]["from the primary"]]
    assert ends[0] == ends[1] > 0
    picture = cv2.imdecode(np.frombuffer(study.picture, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] > 5 * 256  # five panels of 256 x 384
    assert picture.shape[0] > 384
    assert [path.name for path in study.write(tmp_path)] == ["selector.md", "selector.json", "selector.png"]
    assert "| (0.75, 0.25) |" in (tmp_path / "selector.md").read_text()
    assert json.loads((tmp_path / "selector.json").read_text())["facts"]["box"] == "40, 30, 100, 140"


def test_bad_boxes_and_networks_of_one_person_have_no_selector_to_move():
    network, config = tiny()
    for box in ([300, 0, 400, 50], [10, 10, 10, 50], [-50, 0, 0, 10]):
        with pytest.raises(UsageError, match="is outside the image of 220 x 180"):
            study_selector(network, config, photo(1), box=np.array(box, np.float64))
    with pytest.raises(UsageError, match="four numbers"):
        parse_box("1,2,3")
    with pytest.raises(UsageError, match="four numbers"):
        parse_box("1,2,3,nan")
    np.testing.assert_array_equal(parse_box("1,2,3.5,4"), [1, 2, 3.5, 4])
    alone, config = tiny(instances=1)
    with pytest.raises(UsageError, match="one person"):
        study_selector(alone, config, photo(1), box=np.array([40.0, 30, 100, 140]))


def test_the_box_with_the_best_score_is_taken():
    boxes = np.array([[0.0, 0, 10, 10], [5, 5, 30, 30]])
    found = best_box(lambda _: Boxes(boxes, np.array([0.3, 0.4])), photo(1), "a.png")
    np.testing.assert_array_equal(found, boxes[1])
    with pytest.raises(EveryposeError, match=r"no person was detected in a\.png: give a --box"):
        best_box(lambda _: Boxes(np.zeros((0, 4)), np.zeros(0)), photo(1), "a.png")


def test_runs_take_turns_and_the_first_turn_does_not_count():
    order = []
    seconds = time_turns([lambda i=i: order.append(i) for i in range(3)], turns=2, quiet=True)
    assert order == [0, 1, 2] * 3
    assert np.shape(seconds) == (2, 3)


def test_ratios_are_of_each_turn():
    rows = rows_of([[1.0, 2.0], [2.0, 2.2], [4.0, 4.8], [8.0, 8.8], [16.0, 16.0]])
    assert rows[0] == {
        "people": 1,
        "ms": 4000,
        "ms, quartiles": (2000, 8000),
        "relative to one person": 1,
        "relative to one person, quartiles": (1, 1),
    }
    assert rows[1]["relative to one person"] == pytest.approx(1.1)
    assert rows[1]["relative to one person, quartiles"] == pytest.approx((1.1, 1.2))


def test_more_people_than_a_network_knows_are_asked_for_again(monkeypatch):
    network, config = tiny()
    asked = []
    monkeypatch.setattr(network, "heatmaps_for", lambda images, selectors: asked.append((images.shape, selectors)))
    for run in person_runs(network, crops=3, crop_size=config.on_crops.crop_size, device="cpu"):
        run()
    assert [shape for shape, _ in asked] == [(3, 3, 96, 64)] * 4
    assert [selectors.tolist() for _, selectors in asked] == [
        [[1, 0], [0, 1], [1, 0], [0, 1]][:people] for people in range(1, 5)
    ]


def test_the_latency_study_runs():
    network, config = tiny()
    study = study_latency(network, config, crops=2, turns=2, quiet=True)
    assert [row["people"] for row in study.rows] == list(range(1, latency.MOST_PEOPLE + 1))
    assert study.rows[0]["relative to one person"] == 1
    assert (study.facts["crops"], study.facts["input size"]) == (2, "64 x 96")
    with pytest.raises(UsageError, match="cannot use the device 'tpu9'"):
        study_latency(network, config, device="tpu9")


def test_networks_that_a_study_cannot_look_into(tmp_path):
    exported = stand_in.write_model(tmp_path / "stand_in.onnx")
    with pytest.raises(UsageError, match="is exported"):
        read_top_down(str(exported))
    with pytest.raises(UsageError, match="is not a MIPNet model"):
        read_mipnet(tiny_folder(tmp_path / "hrnet", family="hrnet"))
    single = ModelConfig(
        name="single", network={"family": "cid", "backbone": NARROW}, skeleton=COCO.to_dict(), inference={}
    )
    save_model(build_network(single.network, 17), single, tmp_path / "cid")
    with pytest.raises(UsageError, match="finds people by itself"):
        read_top_down(str(tmp_path / "cid"))


def test_the_crop_of_the_strip_shows_the_region_of_the_network_s_crop():
    """A panel is the network's crop with more pixels: the same region of the image."""
    from everypose.studies.box_crops import crop_of

    _, config = tiny()
    box = np.array([40.0, 30, 100, 140])
    (small, matrix), (large, larger) = crop_of(config, box), crop_of(config, box, factor=4)
    assert large.size == tuple(4 * side for side in small.size)
    points = np.random.default_rng(0).uniform(0, 200, (10, 2))
    np.testing.assert_allclose(transform(points, larger), 4 * transform(points, matrix))


def test_where_no_box_is_left_ap_is_0(monkeypatch, tmp_path):
    truth = content(BOXES[:1])
    layout = write_set(tmp_path / "set", truth)
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    source = write_detections(tmp_path / "det.json", truth, [0.15])
    rows = study_boxes([prepare_evaluation(str(model), layout, EvaluationOptions(boxes=source))], quiet=True).rows
    assert [(row["boxes"], row["AP crop stand-in"]) for row in rows[:3]] == [(1, pytest.approx(1)), (1, 1), (0, 0)]
