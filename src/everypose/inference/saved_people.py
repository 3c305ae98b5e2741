"""An estimator that gives saved people: the input of a refinement."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from everypose.inference.boxes import Photo
from everypose.inference.estimator import Estimator
from everypose.inference.image_like import ImageLike, image_file, image_pixels
from everypose.models.config import ModelConfig
from everypose.people import People


class SavedPeople(Estimator[Photo]):
    """Gives the people that another model found in image files.

    Args:
        config: of the model that the people go to; they have its skeleton.
        people: by image file; others have none.

    >>> import numpy as np
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="saved", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> people = People(np.ones((1, 17, 3)), [0.9], config.skeleton)
    >>> pose = SavedPeople(config, {Path("a.jpg"): people})
    >>> photos = [Photo(np.zeros((8, 8, 3), np.uint8), Path(name)) for name in ("a.jpg", "b.jpg")]
    >>> [len(found) for found in pose.predict(photos)]
    [1, 0]
    """

    def __init__(self, config: ModelConfig, people: Mapping[Path, People]) -> None:
        super().__init__(config, min_score=0.0, batch_size=1)
        self._people = people

    def prepare(self, image: ImageLike) -> Photo:
        """Read an image."""
        return Photo(image_pixels(image), image_file(image))

    def predict(self, prepared: Sequence[Photo]) -> list[People]:
        """Give the people of prepared images."""
        empty = People.empty(self.skeleton)
        found = [empty if photo.path is None else self._people.get(photo.path, empty) for photo in prepared]
        return [
            People(people.keypoints, people.scores, people.skeleton, boxes=people.boxes, image=photo.image)
            for people, photo in zip(found, prepared, strict=True)
        ]
