"""Several runs of the network at a time: `Estimator.predict_batches`."""

import threading

import cv2
import pytest

from everypose.errors import EveryposeError
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from inference.stand_in import StandIn, config, crowd


class Overlapping(StandIn):
    """Notes how many runs were in work at a time; each waits for another, if there may be one."""

    def __init__(self, at_once: int) -> None:
        super().__init__()
        self.most = self.running = 0
        self._counting = threading.Lock()
        self._together = threading.Barrier(at_once)

    def run(self, images, min_score=0.0):
        with self._counting:
            self.running += 1
            self.most = max(self.most, self.running)
        self._together.wait(timeout=10)
        with self._counting:
            self.running -= 1
        return super().run(images, min_score)


@pytest.mark.parametrize("at_once", [1, 2])
def test_batches_go_through_the_network_at_the_same_time_and_stay_in_order(tmp_path, at_once):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        assert cv2.imwrite(str(folder / f"{number}.png"), crowd([(0, 0, 100 + number)])[..., ::-1])
    runtime = Overlapping(at_once)
    model = SingleStageEstimator(runtime, ModelConfig.model_validate(config()), runs_at_once=at_once)
    batches = ([(number, model.prepare(folder / f"{number}.png"))] for number in range(6))
    found = list(model.predict_batches(batches))
    assert [number for number, _ in found] == list(range(6))
    assert [round(255 * float(people.scores[0])) for _, people in found] == [100 + number for number in range(6)]
    assert runtime.most == at_once


def test_large_inputs_go_through_the_network_alone(monkeypatch):
    monkeypatch.setattr("everypose.inference.estimator.MOST_NETWORK_PIXELS", 64 * 64)
    runtime = Overlapping(1)
    model = SingleStageEstimator(runtime, ModelConfig.model_validate(config()), runs_at_once=2)
    batches = [[(number, model.prepare(crowd([])))] for number in range(4)]
    assert len(list(model.predict_batches(batches))) == 4
    assert runtime.most == 1


def test_an_error_of_the_network_ends_the_run():
    class Broken(StandIn):
        def run(self, images, min_score=0.0):  # noqa: ARG002
            raise EveryposeError("out of memory")

    model = SingleStageEstimator(Broken(), ModelConfig.model_validate(config()), runs_at_once=2)
    with pytest.raises(EveryposeError, match="out of memory"):
        list(model.predict_batches([[(0, model.prepare(crowd([])))]]))
