"""AP of a network in training, through the graph and the estimator that also serve the finished model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from everypose.boir.network import BoIR
from everypose.cid.network import CID
from everypose.data.coco import coco_content
from everypose.data.scenes import SceneSet
from everypose.drawing import draw_people
from everypose.evaluation.oks import OksScores, evaluate_oks
from everypose.inference.estimator import Estimator
from everypose.inference.torch_runtime import TorchRuntime
from everypose.models import ModelConfig
from everypose.people import People
from everypose.training.recipe import ValidationSection

CHUNK = 16


@dataclass(frozen=True)
class Prediction:
    """What was found in the images of one process: a COCO results list, and pictures of the first few."""

    results: list[dict[str, Any]]
    pictures: dict[str, npt.NDArray[np.uint8]]


class Validator:
    """Measures a network on a fixed set of images.

    Args:
        scenes: the validation set.
        config: the model's configuration.
        settings: how many images, which protocol, how many pictures.
        name: what to call the set in the log, where there are several.

    Attributes:
        suffix: "-" and the name, or nothing.
    """

    def __init__(self, scenes: SceneSet, config: ModelConfig, settings: ValidationSection, name: str = "") -> None:
        self.suffix = f"-{name}" if name else ""
        self._scenes = scenes.scenes[: settings.images or None]
        self._skeleton = scenes.skeleton
        self._config = config
        self._settings = settings
        self._truth = coco_content(replace(scenes, scenes=self._scenes))

    def __len__(self) -> int:
        return len(self._scenes)

    def predict(
        self, network: BoIR | CID, device: torch.device, rank: int = 0, world_size: int = 1,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Prediction:  # fmt: skip
        """Find the people in every ``world_size``-th image from the ``rank``-th on; leaves the network in eval mode."""
        network.eval()
        runtime = TorchRuntime.of(network, self._config, str(device), self._settings.flip)
        estimator = Estimator(runtime, self._config, min_score=0.0)
        results: list[dict[str, Any]] = []
        pictures: dict[str, npt.NDArray[np.uint8]] = {}
        mine = list(range(rank, len(self._scenes), world_size))
        for start in range(0, len(mine), CHUNK):
            numbers = mine[start : start + CHUNK]
            found = estimator([self._scenes[number].path for number in numbers])
            for number, people in zip(numbers, found, strict=True):
                scene = self._scenes[number]
                results += people.to_coco(scene.image_id)
                if number < self._settings.pictures:
                    pictures[scene.file_name] = _picture(people)
            advance(len(numbers) * world_size)
        return Prediction(results, pictures)

    def score(self, results: list[dict[str, Any]]) -> OksScores:
        """AP of the results of all processes."""
        return evaluate_oks(self._truth, results, self._skeleton, self._settings.protocol)


def _picture(people: People) -> npt.NDArray[np.uint8]:
    assert people.image is not None
    return draw_people(people.image, people)
