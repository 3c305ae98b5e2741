"""Scenes: annotated images, one dataclass each, independent of the file format."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Image, Int64, Mask
from everypose.data.images import decode_image, read_image
from everypose.data.tars import TarMember
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton

# COCO's segmentations: polygons as [[x, y, x, y, ...], ...], a run-length code {"size", "counts"}, or none.
Segmentation = list[list[float]] | dict[str, Any] | None


@dataclass(frozen=True)
class Scene:
    """One annotated image; arrays have one row for each annotation, including crowd regions.

    Attributes:
        image_id: id of the image in the annotation file.
        path: the image file; it may be missing. Of an image in a tar, the tar's path and the name in it.
        file_name: the image's name in the annotation file.
        width: in pixels, from the annotation file.
        height: in pixels, from the annotation file.
        annotation_ids: (N,) int64.
        keypoints: (N, K, 3) float64: x, y in image pixels and COCO visibility (0 unlabeled, 1 hidden, 2 visible).
        boxes: (N, 4) float64: x1, y1, x2, y2 in image pixels; they may extend beyond the image.
        areas: (N,) float64: square pixels, of the segmentation if the file has areas.
        is_crowd: (N,) bool: the annotation is a region of many people, not a person.
        segmentations: N entries.
        extra: other fields of the image's entry (CrowdPose's ``crowdIndex``, a clip, a source).
        member: the image's place in a tar; None for a file.

    >>> scene = Scene(
    ...     image_id=1, path=Path("a.jpg"), file_name="a.jpg", width=64, height=48, annotation_ids=np.array([7]),
    ...     keypoints=np.ones((1, 17, 3)), boxes=np.array([[0.0, 0, 20, 40]]), areas=np.array([424.0]),
    ...     is_crowd=np.array([False]), segmentations=[None],
    ... )
    >>> len(scene), scene.is_labeled_person.tolist()
    (1, [True])
    """

    image_id: int
    path: Path
    file_name: str
    width: int
    height: int
    annotation_ids: Int64
    keypoints: Float64
    boxes: Float64
    areas: Float64
    is_crowd: Mask
    segmentations: list[Segmentation]
    extra: dict[str, Any] = field(default_factory=dict)
    member: TarMember | None = None

    def __len__(self) -> int:
        return len(self.annotation_ids)

    def read_image(self, reduction: int = 1) -> Image:
        """Read the image; arguments, result and errors as of :func:`everypose.data.images.read_image`."""
        if self.member is None:
            return read_image(self.path, reduction)
        return decode_image(self.member.read(), str(self.path), reduction)

    @property
    def has_keypoints(self) -> Mask:
        """(N,) bool: at least one keypoint is labeled."""
        return np.asarray((self.keypoints[:, :, 2] > 0).any(axis=1))

    @property
    def is_labeled_person(self) -> Mask:
        """(N,) bool: a person, not a crowd region, with at least one labeled keypoint."""
        return self.has_keypoints & ~self.is_crowd


@dataclass(frozen=True)
class SceneSet:
    """The scenes of one annotated set with one skeleton.

    Attributes:
        scenes: in the annotation file's order.
        skeleton: names and order of the K keypoints.
        name: name in messages and reports.
        annotation_file: where the scenes were read from; None if composed or joined.
        repairs: one sentence for each kind of flaw that was repaired while reading.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> len(SceneSet([], Skeleton.named("coco"), "train"))
    0
    """

    scenes: list[Scene]
    skeleton: Skeleton
    name: str
    annotation_file: Path | None = None
    repairs: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What messages call the set: its annotation file, or its name if it has none."""
        return str(self.annotation_file or self.name)

    def __len__(self) -> int:
        return len(self.scenes)

    def __iter__(self) -> Iterator[Scene]:
        return iter(self.scenes)


def joined(sets: list[SceneSet], name: str) -> SceneSet:
    """Concatenate sets with the same skeleton, such as CrowdPose's train and val.

    Raises:
        EveryposeError: if the skeletons differ, or one image id is used for two different images.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> first = SceneSet([], Skeleton.named("crowdpose"), "train")
    >>> len(joined([first, SceneSet([], Skeleton.named("crowdpose"), "val")], "trainval"))
    0
    """
    first = sets[0]
    for other in sets[1:]:
        if other.skeleton.keypoints != first.skeleton.keypoints:
            raise EveryposeError(
                f"cannot join {first.name} and {other.name}: their skeletons differ "
                f"({first.skeleton.name}, {other.skeleton.name}); convert one of them first"
            )
    scenes: dict[int, Scene] = {}
    for scene in (scene for each in sets for scene in each):
        known = scenes.setdefault(scene.image_id, scene)
        if known is not scene:
            raise EveryposeError(
                f"cannot join {' and '.join(each.name for each in sets)}: image id {scene.image_id} stands for "
                f"{known.file_name} and {scene.file_name}"
            )
    repairs = [f"{each.name}: {repair}" for each in sets for repair in each.repairs]
    return SceneSet(list(scenes.values()), first.skeleton, name, None, repairs)
