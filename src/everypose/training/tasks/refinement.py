"""Training of PoseFix: on crops of people and poses with synthetic errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from everypose.core.arrays import Float64
from everypose.core.geometry import box_iou
from everypose.data.scenes import Scene, SceneSet
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.inference.estimator import Estimator
from everypose.inference.refinement import Refiner, RefiningEstimator
from everypose.inference.results.coco import read_people_by_image
from everypose.inference.runtimes.torch import TorchRefinementRuntime
from everypose.inference.saved_people import SavedPeople
from everypose.methods.posefix.error_rates import ErrorRates
from everypose.methods.posefix.graph import RefinementNetwork
from everypose.methods.posefix.network import IMAGE_MEAN
from everypose.methods.posefix.samples import RefinementBatch, RefinementSample, SampleMaker, collate
from everypose.methods.posefix.settings import PoseFixAugmentation
from everypose.methods.spec import spec_of
from everypose.methods.top_down.augmentation import draw
from everypose.methods.top_down.crops import CropGeometry
from everypose.models.config import ModelConfig
from everypose.models.settings import method_of
from everypose.people import People
from everypose.training.recipe import RefinementRecipe
from everypose.training.sample_stream import generator_at, index_at
from everypose.training.sections import ValidationSection
from everypose.training.tasks.one_set import OneSetTask
from everypose.training.tasks.people import list_people, require_people
from everypose.training.validation import Validator, make_validators


class RefinementTask(OneSetTask):
    """A crop and a pose for each person: the network is called as ``network(images, poses, given)``.

    Attributes:
        samples: the training samples.

    Raises:
        EveryposeError: if the results of ``poses.train`` or ``poses.val`` cannot be read.

    >>> from everypose.training.recipe import parse_recipe
    >>> data = {"train": [{"annotations": "people.json", "images": "."}], "val_split": ""}
    >>> table = {"model": {"family": "posefix"}, "inference": {"crop_size": [192, 256]}, "data": data}
    >>> task = RefinementTask(parse_recipe(table | {"schedule": {"epochs": 2}}))
    >>> len(task.samples), task.samples.unit
    (1, 'people')
    """

    def __init__(self, recipe: RefinementRecipe) -> None:
        self._poses = recipe.poses
        self._root = Path(recipe.data.root)
        super().__init__(recipe)
        objective = spec_of(method_of(recipe.model)).objective
        assert objective is not None
        self._objective = objective(recipe)
        self._mean = torch.tensor(IMAGE_MEAN)[:, None, None]
        inference = recipe.inference
        maker = SampleMaker(
            self._skeleton,
            ErrorRates.of(self._skeleton),
            CropGeometry(inference.crop_size, "classic", inference.padding),
        )
        estimates = read_people_by_image(self._root / self._poses.train, self._skeleton) if self._poses.train else {}
        self.samples = _RefinementSamples(
            self._training, maker, recipe.crops.augmentation, estimates=estimates, seed=recipe.trainer.seed
        )

    def losses(self, network: nn.Module, batch: RefinementBatch[Tensor]) -> dict[str, Tensor]:
        """Return the method's losses."""
        assert isinstance(network, RefinementNetwork)
        pixels = batch.images.permute(0, 3, 1, 2).float() - self._mean.to(batch.images.device)
        images = pixels.contiguous(memory_format=torch.channels_last)
        heatmaps = network(images, batch.poses[..., :2], batch.poses[..., 2] > 0)
        return self._objective(heatmaps, batch.targets[..., :2] / network.stride, batch.targets[..., 2] > 0)

    def _make_validators(self) -> list[Validator]:
        """Return the validation of refined poses: one set, or none without ``poses.val``."""
        if not self._poses.val:
            return []
        path = self._root / self._poses.val
        found = read_people_by_image(path, self._skeleton)
        return [
            _RefinementValidator(one.annotated, self.config, self._recipe.validation, people=found)
            for one in make_validators(self._recipe, self._training[0], self.config)
        ]


class _RefinementValidator(Validator):
    """Measures a refinement network on saved results.

    Args:
        annotated: the validation set.
        config: the model's configuration.
        settings: how many images, flip test, how many pictures.
        people: the saved people by image id.
    """

    def __init__(
        self, annotated: AnnotatedSet, config: ModelConfig, settings: ValidationSection, *, people: dict[int, People]
    ) -> None:
        super().__init__(annotated, config, settings)
        paths = self.annotated.paths
        self._people = {paths[image_id]: own for image_id, own in people.items() if image_id in paths}

    def estimator(self, network: nn.Module, device: str) -> Estimator:
        """Return the saved people, refined by the network."""
        runtime = TorchRefinementRuntime(network, self._config, device=device, flip=self._settings.flip)
        return RefiningEstimator(SavedPeople(self._config, self._people), Refiner(runtime, self._config))


class _RefinementSamples(Dataset[RefinementSample]):
    """Samples by their position in the run, each a person's crop with the true and the input pose.

    Args:
        sets: the training sets, of one skeleton.
        maker: makes a sample.
        augmentation: ranges of the random augmentation.
        estimates: results of another estimator by image id.
        seed: seed of order, augmentation and errors.

    Raises:
        EveryposeError: if there is no person to train on.
    """

    unit = "people"

    def __init__(
        self,
        sets: Sequence[SceneSet],
        maker: SampleMaker,
        augmentation: PoseFixAugmentation,
        *,
        estimates: dict[int, People],
        seed: int,
    ) -> None:
        self._scenes = [scene for one in sets for scene in one]
        self._maker = maker
        self._augmentation = augmentation
        self._estimates = estimates
        self._seed = seed
        self._scene_of, self._row = list_people(self._scenes)
        require_people(self._row, sets)

    def __len__(self) -> int:
        return len(self._row)

    def index(self, position: int) -> int:
        """Return which person is at a position."""
        return index_at(position, len(self), self._seed)

    def __getitem__(self, position: int) -> RefinementSample:
        index = self.index(position)
        scene, person = self._scenes[self._scene_of[index]], int(self._row[index])
        rng = generator_at(position, self._seed)
        draws = draw(rng, self._augmentation)
        estimated = estimated_pose(scene, person, self._estimates.get(scene.image_id))
        return self._maker.sample(scene, person, scene.read_image(), estimated, draws=draws, rng=rng)

    def collate(self, samples: Sequence[RefinementSample]) -> RefinementBatch[Tensor]:
        """Join samples to one batch of tensors."""
        batch: RefinementBatch[Tensor] = collate(samples).map(torch.from_numpy)
        return batch


def estimated_pose(scene: Scene, person: int, estimates: People | None) -> Float64:
    """Return another estimator's pose of a person.

    Args:
        scene: the image's annotations.
        person: row of the annotation.
        estimates: the estimator's people in this image, if there are any.

    Returns:
        (K, 3) x, y in image pixels and 1, of the result whose box overlaps the person's most; zero if none overlaps.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.array([7]), np.ones((1, 17, 3)), np.array([[0.0, 0, 20, 40]]),
    ...     np.array([424.0]), np.array([False]), [None],
    ... )
    >>> pose = np.full((1, 17, 3), 9.0)
    >>> people = People(pose, [0.9], Skeleton.named("coco"), boxes=[[2, 0, 22, 40]])
    >>> estimated_pose(scene, 0, people)[0].tolist(), estimated_pose(scene, 0, None)[0].tolist()
    ([9.0, 9.0, 1.0], [0.0, 0.0, 0.0])
    """
    pose = np.zeros((scene.keypoints.shape[1], 3))
    if estimates is None or not len(estimates):
        return pose
    overlaps = box_iou(scene.boxes[[person]], estimates.boxes)[0]
    if overlaps.max() > 0:
        pose[:, :2] = estimates.keypoints[overlaps.argmax(), :, :2]
        pose[:, 2] = 1
    return pose
