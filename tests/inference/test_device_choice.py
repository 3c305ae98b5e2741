"""``device="auto"``: which device is chosen, that the choice is stored, and what happens when things are missing."""

import importlib.util
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.core.geometry import keypoint_boxes
from everypose.errors import EveryposeError, UsageError
from everypose.inference import device_check, device_choice
from everypose.inference.boxes import Photo
from everypose.inference.detectors import find_detector
from everypose.inference.device_check import PICTURES, Candidate, agreement, boxes_of, check, pictures
from everypose.inference.device_choice import DeviceChoice, candidate_devices, choose, decide
from everypose.inference.estimator import Estimator
from everypose.inference.image_like import ImageLike, image_pixels
from everypose.inference.loading import choose_device, load
from everypose.inference.refinement import load_refiner
from everypose.inference.single_stage import Resized
from everypose.models.config import ModelConfig
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from inference import crop_stand_in, stand_in

COCO = Skeleton.named("coco")
HOME = "EVERYPOSE_HOME"


def people(*middles: tuple[float, float], score: float = 0.9) -> People:
    """People of 40 x 80 pixels."""
    pattern = np.stack([np.linspace(-20, 20, 17), np.linspace(40, -40, 17), np.full(17, score)], axis=1)
    keypoints = np.array([pattern + np.array([x, y, 0]) for x, y in middles]).reshape(-1, 17, 3)
    return People(keypoints.astype(np.float32), np.full(len(middles), score, np.float32), COCO)


class Clock(SimpleNamespace):
    """Stands for the module ``time``: seconds pass only when an estimator says so."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter


class Fixed(Estimator[Resized]):
    """An estimator that finds the same people in every image, in a given time."""

    def __init__(self, found: People, clock: Clock, seconds: float) -> None:
        super().__init__(ModelConfig.model_validate(stand_in.config()), 0.5, 1)
        self.found, self.clock, self.duration = found, clock, seconds

    def prepare(self, image: ImageLike) -> Resized:
        pixels = image_pixels(image)
        return Resized(pixels, pixels, np.eye(2, 3))

    def predict(self, prepared: Sequence[Resized]) -> list[People]:
        self.clock.now += self.duration
        return [self.found] * len(prepared)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(device_check, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(HOME, str(tmp_path / "home"))
    return tmp_path / "home"


def literal_agreement(reference: list[People], other: list[People], least: float) -> float | None:
    """Person by person, keypoint by keypoint."""
    sigmas = COCO.require_sigmas()
    values: list[float] = []
    for one, two in zip(reference, other, strict=True):
        for first, second in ((one, two), (two, one)):
            for person in first:
                if person.score < least:
                    continue
                box = keypoint_boxes(person.keypoints[None, :, :2])[0]
                area = (box[2] - box[0]) * (box[3] - box[1])
                best = 0.0
                for partner in second:
                    total = 0.0
                    for k in range(17):
                        dx, dy = person.keypoints[k, :2].astype(float) - partner.keypoints[k, :2].astype(float)
                        total += float(np.exp(-(dx**2 + dy**2) / (2 * (2 * sigmas[k]) ** 2 * area)))
                    best = max(best, total / 17)
                values.append(best)
    found = any(person.score >= least for each in reference for person in each)
    return sum(values) / len(values) if found else None


places = st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), max_size=4)


@given(places, places, st.floats(0.0625, 0.9375, width=32))
def test_agreement_is_the_literal_mean(
    first: list[tuple[float, float]], second: list[tuple[float, float]], least: float
) -> None:
    pair = [people(*first, score=0.6), people(*second)], [people(*second, score=0.7), people(*first, score=0.4)]
    expected = literal_agreement(*pair, least)
    found = agreement(*pair, least)
    assert found == (None if expected is None else pytest.approx(expected, abs=2e-5))


def test_agreement_of_equal_lists_is_one_and_of_a_lost_person_less() -> None:
    three = people((50, 50), (200, 60), (300, 100))
    assert agreement([three], [three], 0.5) == 1
    assert agreement([three], [people((50, 50), (200, 60))], 0.5) == pytest.approx(4 / 5, abs=1e-3)
    assert agreement([three], [people()], 0.5) == 0
    # A person who falls below the least score is still a partner.
    assert agreement([three], [people((50, 50), (200, 60), (300, 100), score=0.4)], 0.5) == 1


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([("openvino", 0.5, 0.999), ("openvino:bf16", 0.3, 0.999)], "openvino:bf16"),
        ([("openvino", 0.5, 0.999), ("openvino:bf16", 0.3, 0.95)], "openvino"),
        ([("openvino", 0.95, 1.0), ("openvino:bf16", 0.3, None)], "cpu"),
        ([("openvino", None, None)], "cpu"),
        ([], "cpu"),
    ],
)
def test_the_fastest_device_that_agrees(others: list[tuple[str, float, float]], chosen: str) -> None:
    candidates = [Candidate(device=name, seconds=time, agreement=same) for name, time, same in others]
    choice = decide([Candidate(device="cpu", seconds=1.0, agreement=1.0), *candidates])
    assert choice.device == chosen
    assert choice.candidates[1:] == tuple(candidates)
    if chosen == "openvino:bf16":
        assert choice.reason == "30% of the time of cpu, agreement 0.9990"


def test_devices_take_turns_and_their_fastest_pass_counts(clock: Clock) -> None:
    same, other = people((50, 50)), people((400, 400))
    made = {"cpu": Fixed(same, clock, 2.0), "a": Fixed(same, clock, 1.0), "b": Fixed(other, clock, 0.5)}
    found = check(lambda device: made[device], list(made))
    assert [(one.device, one.seconds, one.agreement) for one in found] == [("cpu", 2, 1), ("a", 1, 1), ("b", 0.5, 0)]
    # Three passes of warm-up, then rounds until ten seconds are over: 3.5 each.
    assert clock.now == pytest.approx(3.5 + 3 * 3.5)


def test_a_device_that_fails_is_named_and_left_out(clock: Clock) -> None:
    def open_on(device: str) -> Fixed:
        if device != "cpu":
            raise EveryposeError("no such library")
        return Fixed(people((50, 50)), clock, 1.0)

    found = check(open_on, ["cpu", "openvino"])
    assert found[1] == Candidate(device="openvino", problem="no such library")
    assert decide(found).device == "cpu"
    with pytest.raises(EveryposeError, match="no such library"):
        check(open_on, ["openvino", "cpu"])


def test_the_choice_is_made_once_for_each_model_and_set_of_options(home: Path, clock: Clock) -> None:
    opened: list[str] = []

    def open_on(device: str) -> Fixed:
        opened.append(device)
        return Fixed(people((50, 50)), clock, 1.0)

    first = choose(open_on, {"model": "a"})
    count = len(opened)
    assert choose(open_on, {"model": "a"}) == first
    assert len(opened) == count
    choose(open_on, {"model": "a", "flip": True})
    assert len(opened) == 2 * count
    assert len(list((home / "devices").glob("*.json"))) == 2


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"device": 3}', b'{"device": "cpu", "reason": "", "more": 1}']
)
def test_a_damaged_choice_is_made_again(home: Path, clock: Clock, damage: bytes) -> None:
    made = choose(lambda _: Fixed(people((50, 50)), clock, 1.0), {})
    (path,) = (home / "devices").glob("*.json")
    path.write_bytes(damage)
    assert choose(lambda _: Fixed(people((50, 50)), clock, 1.0), {}).device == made.device
    assert DeviceChoice.model_validate(json.loads(path.read_text())).device == made.device


def test_a_folder_that_cannot_be_written_costs_time_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(HOME, str(tmp_path / "file" / "below"))
    assert choose(lambda _: Fixed(people((50, 50)), clock, 1.0), {}).device == "cpu"


def test_of_several_processes_one_checks(clock: Clock) -> None:
    opened: list[str] = []

    def open_on(device: str) -> Fixed:
        opened.append(device)
        return Fixed(people((50, 50)), clock, 1.0)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: choose(open_on, {}), range(4)))
    assert len({one.device for one in found}) == 1
    assert opened.count("cpu") == 1


def test_another_cpu_or_version_checks_again(home: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu, installed in [("one", "1"), ("two", "1"), ("two", "2")]:
        monkeypatch.setattr(device_choice, "_cpu", lambda cpu=cpu: cpu)
        monkeypatch.setattr(device_choice, "_version", lambda _, installed=installed: installed)
        choose(lambda _: Fixed(people((50, 50)), clock, 1.0), {})
    assert len(list((home / "devices").glob("*.json"))) == 3


def test_without_openvino_only_onnx_runtime_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device_choice, "find_spec", lambda _: None)
    assert candidate_devices() == ["cpu"]
    chosen = choose_device(stand_in.write_model(tmp_path / "model.onnx"), threads=1)
    assert (chosen.device, [one.device for one in chosen.candidates]) == ("cpu", ["cpu"])


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")
def test_the_features_of_the_cpu_decide_on_the_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everypose.inference.runtimes.openvino.computes_in", lambda _: True)
    assert candidate_devices() == ["cpu", "openvino", "openvino:bf16"]
    monkeypatch.setattr("everypose.inference.runtimes.openvino.computes_in", lambda _: False)
    assert candidate_devices() == ["cpu", "openvino"]
    monkeypatch.setattr(device_choice, "adds_8_bits_exactly", lambda: False)
    assert candidate_devices() == ["cpu"]


def test_the_pictures_and_their_boxes_belong_together() -> None:
    for path in pictures():
        image = image_pixels(path)
        boxes = boxes_of(Photo(image, path)).boxes
        assert len(boxes) == len(PICTURES[path.name])
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= image.shape[1::-1]).all()


@pytest.mark.parametrize("kind", [stand_in, crop_stand_in])
def test_auto_gives_what_the_chosen_device_gives(kind: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = kind.write_model(tmp_path / "model.onnx")  # type: ignore[attr-defined]
    monkeypatch.setattr(device_choice, "candidate_devices", lambda: ["cpu"])
    picture = pictures()[0]
    detector = None if kind is stand_in else boxes_of
    expected = load(model, detector=detector, threads=1)
    found = load(model, detector=detector, threads=1, device="auto")
    assert found.batch_size == expected.batch_size
    first, second = (pose.predict([pose.prepare(picture)])[0] for pose in (expected, found))
    np.testing.assert_array_equal(first.keypoints, second.keypoints)


def test_detectors_and_refiners_run_in_onnx_runtime(tmp_path: Path) -> None:
    model = stand_in.write_model(tmp_path / "model.onnx")
    assert find_detector(model, device="auto") is not None
    with pytest.raises(UsageError, match="finds people and refines none"):
        load_refiner(model, device="auto")


def test_a_model_of_torch_runs_in_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device(tmp_path).device == "cuda"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device(tmp_path).device == "cpu"
    monkeypatch.setitem(__import__("sys").modules, "everypose.inference.runtimes.torch", None)
    assert choose_device(tmp_path).device == "cpu"


def test_a_model_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("words")
    with pytest.raises(EveryposeError, match=r"text.onnx is not an ONNX file"):
        load(tmp_path / "text.onnx", device="auto")
    with pytest.raises(UsageError, match="a size of 65 pixels is not possible"):
        choose_device(stand_in.write_model(tmp_path / "model.onnx"), size=65)


def test_predict_stores_and_prints_the_choice(everypose, tmp_path, monkeypatch):
    model = stand_in.write_model(tmp_path / "model.onnx")
    monkeypatch.setattr(device_choice, "candidate_devices", lambda: ["cpu"])
    done = everypose(
        "predict", pictures()[0], "-m", model, "-o", tmp_path / "out", "--device", "auto", "--save", "json"
    )
    assert done.code == 0, done.err
    stored = json.loads((tmp_path / "out" / "run.json").read_text())["device"]
    assert stored["device"] == "cpu"
    assert stored["candidates"][0]["device"] == "cpu"
    assert f"device         cpu ({stored['reason']})" in done.out
    everypose("predict", pictures()[0], "-m", model, "-o", tmp_path / "out", "--save", "json")
    stored = json.loads((tmp_path / "out" / "run.json").read_text())["device"]
    assert stored == {"device": "cpu", "reason": "as given", "candidates": []}
