"""AP of a network in training, by the code that ``everypose evaluate`` runs on the saved model.

The validation set is an ``AnnotatedSet``, the network runs in the estimator of a finished model, and its results are
scored as ``everypose evaluate --boxes truth`` scores them. Both therefore give the same numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from everypose.core.arrays import Image
from everypose.data.discovery.layouts import Layout, find_data
from everypose.data.formats.tar_set import names_tars
from everypose.data.scenes import SceneSet
from everypose.drawing import draw_people
from everypose.errors import EveryposeError
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.box_source import annotated_boxes
from everypose.evaluation.coco_schema import JsonObject
from everypose.evaluation.metrics.average_precision import OksScores
from everypose.evaluation.predict import image_results, predict_people
from everypose.inference.estimator import Estimator
from everypose.inference.runtimes.torch import TorchCropRuntime, TorchRuntime
from everypose.inference.single_stage import SingleStageEstimator, images_at_once
from everypose.inference.top_down import TopDownEstimator
from everypose.models.config import ModelConfig
from everypose.models.skeleton_choice import select_skeleton
from everypose.skeleton.skeleton import Skeleton
from everypose.training.datasets import require_same_skeleton
from everypose.training.recipe import OneSetRecipe
from everypose.training.sections import OneSetSection, Source, ValidationSection


@dataclass(frozen=True)
class Prediction:
    """The predictions of one process.

    Attributes:
        results: COCO results list.
        pictures: file name to a drawn image (H, W, 3), of the first few images.

    >>> Prediction(results=[], pictures={}).results
    []
    """

    results: list[dict[str, Any]]
    pictures: dict[str, Image]


class Validator:
    """Measures a network on an annotated set.

    Args:
        annotated: the validation set.
        config: the model's configuration.
        settings: how many images, flip test, how many pictures.
        name: of the set in the log if there are several; a PoseBH is measured with its part of that name.

    Attributes:
        annotated: the images and people that are scored.
        suffix: "-" and the name, or "".

    Raises:
        EveryposeError: if the set cannot be scored, so that training ends before its first step.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.build import build_network
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = CIDSettings(backbone=backbone, instance=4)
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"))
    >>> layout = Layout((Path("people.json"),), Path(), None, None, "one image")
    >>> validator = Validator(AnnotatedSet.read(layout), config, ValidationSection(flip=False, pictures=0))
    >>> prediction = validator.predict(build_network(settings, 17), torch.device("cpu"))
    >>> validator.score(prediction.results).people
    1
    """

    def __init__(
        self, annotated: AnnotatedSet, config: ModelConfig, settings: ValidationSection, *, name: str = ""
    ) -> None:
        self.suffix = f"-{name}" if name else ""
        self._part = name or None
        self._config = config
        self._settings = settings
        if settings.images:
            annotated = annotated.select_images(annotated.ground_truth.image_ids[: settings.images])
        self.annotated = annotated
        self._pictured = set(list(annotated.paths)[: settings.pictures])
        self._boxes = annotated_boxes(annotated) if config.is_top_down else None

    def __len__(self) -> int:
        return len(self.annotated.paths)

    @property
    def has_labeled_people(self) -> bool:
        """Whether there is a person with labeled keypoints; without one there is no AP."""
        return bool(self.annotated.ground_truth.is_scored.any())

    def predict(
        self,
        network: nn.Module,
        device: torch.device,
        *,
        rank: int = 0,
        world_size: int = 1,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Prediction:
        """Predict the people in every ``world_size``-th image from the ``rank``-th on.

        Args:
            network: is left in evaluation mode.
            device: where it runs.
            rank: number of this process.
            world_size: number of processes.
            advance: is called with the number of images that all processes have finished since the last call.
        """
        network.eval()
        estimator = self.estimator(network, str(device))
        own = self.annotated.select_images(list(self.annotated.paths)[rank::world_size])
        results: list[dict[str, Any]] = []
        pictures: dict[str, Image] = {}
        for image_id, people in predict_people(estimator, own):
            results += image_results(estimator, self.annotated, image_id, people=people)
            if image_id in self._pictured and people.image is not None:
                pictures[self.annotated.paths[image_id].name] = draw_people(people.image, people)
            advance(world_size)
        return Prediction(results, pictures)

    def estimator(self, network: nn.Module, device: str) -> Estimator:
        """The estimator of a finished model around the network; top-down models predict in the annotated boxes."""
        (network, config), flip = select_skeleton(network, self._config, self._part), self._settings.flip
        if config.is_top_down:
            assert self._boxes is not None
            crops = TorchCropRuntime(network, config, device=device, flip=flip)
            return TopDownEstimator(crops, config, self._boxes, min_score=0.0)
        runtime = TorchRuntime(network, config, device=device, flip=flip)
        return SingleStageEstimator(runtime, config, min_score=0.0, batch_size=images_at_once(device))

    def score(self, results: Sequence[JsonObject]) -> OksScores:
        """AP of the results of all processes."""
        return self.annotated.score_oks(results)


def make_validators(recipe: OneSetRecipe, training: SceneSet, config: ModelConfig) -> list[Validator]:
    """The recipe's validation: one set, or none.

    Raises:
        EveryposeError: if the set cannot be found or read, or has other keypoints than the training set.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.training.recipe import parse_recipe
    >>> recipe = parse_recipe({"model": {"family": "cid"}, "schedule": {"epochs": 2}, "data": {"val_split": ""}})
    >>> config = ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> make_validators(recipe, SceneSet([], Skeleton.named("coco"), "train"), config)  # no validation
    []
    """
    if not (recipe.data.val or recipe.data.val_split):
        return []
    try:
        annotated = read_validation_set(recipe.data, recipe.validation)
    except EveryposeError as error:
        if recipe.data.val:
            raise
        raise type(error)(f"{error}; to train without validation, give --set data.val_split='\"\"'") from error
    require_same_skeleton(training, str(annotated.layout.annotation_file), annotated.skeleton)
    annotated = annotated.for_model(config.name, config.skeleton)
    return [Validator(annotated, config, recipe.validation)]


def read_validation_set(data: OneSetSection, settings: ValidationSection) -> AnnotatedSet:
    """Read the set that a recipe validates on.

    Raises:
        EveryposeError: if it cannot be found or read, or there are several.

    >>> data = OneSetSection(root=".", val=(Source(annotations="people.json", images="."),))
    >>> read_validation_set(data, ValidationSection()).metric
    'coco'
    """
    skeleton = Skeleton.find(data.skeleton) if data.skeleton else None
    if len(data.val) > 1:
        raise EveryposeError("data.val names several sets: AP is measured on one")
    if data.val:
        return read_source(data.val[0], Path(data.root), skeleton=skeleton, settings=settings)
    layout = find_data(Path(data.root), data.val_split, data.val_dataset or data.dataset)
    if len(layout.annotation_files) > 1:
        raise EveryposeError(f"data.val_split {data.val_split!r} is several sets: AP is measured on one")
    return AnnotatedSet.read(layout, metric=settings.protocol, skeleton=skeleton)


def read_source(source: Source, root: Path, *, skeleton: Skeleton | None, settings: ValidationSection) -> AnnotatedSet:
    """Read an annotation file and its images, named relative to ``root``.

    Raises:
        EveryposeError: if the file cannot be read, or has other keypoints than ``skeleton``; if the images are in tars.

    >>> tars = Source(images="val-{000..003}.tar")
    >>> read_source(tars, Path(), skeleton=None, settings=ValidationSection())
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: validation needs an annotation file and a folder of images, not ...
    """
    if names_tars(source.images) or not source.annotations:
        raise EveryposeError(f"validation needs an annotation file and a folder of images, not {source.images}")
    layout = Layout((Path(root, source.annotations),), Path(root, source.images), None, None, "named by the recipe")
    return AnnotatedSet.read(layout, metric=settings.protocol, skeleton=skeleton)
