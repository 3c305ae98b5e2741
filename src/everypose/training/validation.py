"""AP of a network in training, through the graph and the estimator that also serve the finished model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from everypose.data.formats.coco import coco_content
from everypose.data.scenes import Scene, SceneSet
from everypose.drawing import draw_people
from everypose.errors import EveryposeError
from everypose.evaluation.metrics.oks import OksScores, evaluate_oks
from everypose.inference.box_sources import AnnotatedBoxes
from everypose.inference.estimator import Estimator
from everypose.inference.runtimes.torch import TorchCropRuntime, TorchRuntime
from everypose.inference.single_stage import SingleStageEstimator, images_at_once
from everypose.inference.top_down import TopDownEstimator
from everypose.methods.top_down.samples import trainable_people
from everypose.models.build import PoseNetwork
from everypose.models.config import ModelConfig
from everypose.models.skeleton_choice import select_skeleton
from everypose.people import People
from everypose.training.datasets import read_validation_set, require_same_skeleton
from everypose.training.recipe import Recipe
from everypose.training.sections import ValidationSection

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
        name: what to call the set in the log, where there are several; a PoseBH is measured by its part for it.

    Attributes:
        scene_set: the validation set, whole.
        suffix: "-" and the name, or nothing.
    """

    def __init__(
        self, scenes: SceneSet, config: ModelConfig, settings: ValidationSection, name: str = ""
    ) -> None:  # fmt: skip
        self.scene_set = scenes
        self._part = name or None
        self.suffix = f"-{name}" if name else ""
        self._scenes = scenes.scenes[: settings.images or None]
        self._skeleton = scenes.skeleton
        self._config = config
        self._settings = settings
        self._truth = coco_content(replace(scenes, scenes=self._scenes))

    def __len__(self) -> int:
        return len(self._scenes)

    @property
    def has_labelled_people(self) -> bool:
        """Whether any of its images has a person with labelled keypoints, without whom there is no AP."""
        return any(scene.is_labelled_person.any() for scene in self._scenes)

    def predict(
        self, network: PoseNetwork, device: torch.device, rank: int = 0, world_size: int = 1,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Prediction:  # fmt: skip
        """Find the people in every ``world_size``-th image from the ``rank``-th on; leaves the network in eval mode."""
        network.eval()
        estimator = self._estimator(network, str(device))
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

    def _estimator(self, network: PoseNetwork, device: str) -> Estimator:
        """What finds the people; in their annotated boxes, where the network works on crops."""
        (network, config), flip = select_skeleton(network, self._config, self._part), self._settings.flip
        if config.is_top_down:
            crops, boxes = TorchCropRuntime.of(network, config, device, flip), annotated_boxes(self._scenes)
            return TopDownEstimator(crops, config, boxes, min_score=0.0)
        runtime = TorchRuntime.of(network, config, device, flip)
        return SingleStageEstimator(runtime, config, min_score=0.0, batch_size=images_at_once(device))

    def score(self, results: list[dict[str, Any]]) -> OksScores:
        """AP of the results of all processes."""
        return evaluate_oks(self._truth, results, self._skeleton, self._settings.protocol)


def annotated_boxes(scenes: Sequence[Scene]) -> AnnotatedBoxes:
    """The boxes of the people in scenes who are trained on."""
    return AnnotatedBoxes({scene.path: scene.boxes[trainable_people(scene)] for scene in scenes})


def make_validators(recipe: Recipe, training: SceneSet, config: ModelConfig) -> list[Validator]:
    """What the recipe measures: one set, or nothing.

    Raises:
        EveryposeError: the set cannot be found or read, or has other keypoints than the training set.
    """
    if not (recipe.data.val or recipe.data.val_split):
        return []
    try:
        validation = read_validation_set(recipe.data)
    except EveryposeError as error:
        if recipe.data.val:
            raise
        raise type(error)(f"{error}; to train without validation, give --set data.val_split='\"\"'") from error
    require_same_skeleton(training, validation)
    return [Validator(validation, config, recipe.validation)]


def _picture(people: People) -> npt.NDArray[np.uint8]:
    assert people.image is not None
    return draw_people(people.image, people)
