"""FiftyOne data sets of photos with the people in them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from everypose.errors import UsageError
from everypose.inference.estimator import Estimator
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    import fiftyone

FIELD = "poses"


def keypoint_skeleton(skeleton: Skeleton) -> "fiftyone.KeypointSkeleton":
    """The skeleton for ``dataset.default_skeleton``, by which FiftyOne draws limbs.

    Raises:
        UsageError: if the package ``fiftyone`` is not installed.
    """
    try:
        import fiftyone
    except ImportError as error:
        raise UsageError("FiftyOne data sets need the package fiftyone: pip install fiftyone") from error
    return fiftyone.KeypointSkeleton(labels=list(skeleton.keypoints), edges=[list(link) for link in skeleton.links])


def add_photos(dataset: "fiftyone.Dataset", photos: Iterable[Path], pose: Estimator, field: str = FIELD) -> None:
    """Add photos with the people that an estimator finds in them to a data set, and its skeleton.

    Args:
        dataset: the data set.
        photos: image files.
        pose: the loaded model.
        field: name of the field with the people.

    Raises:
        UsageError: if the package ``fiftyone`` is not installed.
        EveryposeError: if a photo cannot be read.
    """
    skeleton = keypoint_skeleton(pose.skeleton)
    import fiftyone

    dataset.default_skeleton = skeleton
    for photo in photos:
        sample = fiftyone.Sample(filepath=str(photo))
        sample[field] = pose(photo).to_fiftyone()
        dataset.add_sample(sample)
