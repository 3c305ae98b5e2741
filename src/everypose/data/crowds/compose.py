"""The crowd compositor: pastes people over photos and updates the labels of the people they hide.

How labels change:

* A visible keypoint (2) that a pasted person covers becomes hidden (1) and keeps its coordinates.
* Boxes and areas go on describing the whole person: the OKS tolerance and the rule for small people are about a
  person's size, not its visibility. Of a pasted person, what falls outside the photo is cut off from the
  box and, in proportion, from the area; keypoints there become unlabeled.
* Segmentations describe what is seen.
* A cut-out is not pasted if it would hide more than ``Settings.most_hidden`` of another person's visible keypoints.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64
from everypose.data.crowds.cutouts import CutOut, row_bands
from everypose.data.crowds.grabcut import body_size
from everypose.data.crowds.light import blended, relit
from everypose.data.crowds.placement import People, Place, find_place, heaviest_overlap
from everypose.data.crowds.regions import Region, hide_covered, outlines
from everypose.data.masks import segmentation_mask
from everypose.data.scenes import Scene, Segmentation
from everypose.skeleton.skeleton import Skeleton

Image = npt.NDArray[np.uint8]

OVERLAP = 0.3  # two people overlap heavily when the IoU of their boxes is greater
ATTEMPTS = 15  # to find a person and a place, before one person fewer is pasted
GRAY = 2.0  # a photo whose color channels differ by less on average is black and white


@dataclass(frozen=True)
class Settings:
    """How a crowd is composed.

    Attributes:
        people: fewest and most people pasted on one photo.
        overlap: the share of the photo's people whose box should overlap another's by an IoU above 0.3.
        most_hidden: the greatest share of a person's visible keypoints that may become hidden.
        light: how far a pasted person's brightness and contrast move towards those of the place, 0 to 1.

    >>> Settings().people
    (2, 5)
    """

    people: tuple[int, int] = (2, 5)
    overlap: float = 0.5
    most_hidden: float = 0.85
    light: float = 0.5


def compose(
    rng: np.random.Generator,
    scene: Scene,
    image: Image,
    cutouts: Sequence[CutOut],
    settings: Settings,
    skeleton: Skeleton,
    *,
    in_place: bool = False,
) -> tuple[Image, Scene]:
    """Paste people over a photo.

    While fewer people than ``settings.overlap`` overlap another, the next one is placed over a person; otherwise
    apart. Each goes in front of all before.

    Args:
        rng: source of all random numbers.
        scene: the photo's labels; they are not changed.
        image: the photo (H, W, 3) uint8 RGB; it is not changed, unless ``in_place``.
        cutouts: at least one; those from the same photo are not used.
        settings: how many people, how close.
        skeleton: of the scene and the cut-outs.
        in_place: paste on ``image`` itself, which saves the memory of a copy.

    Returns:
        The new photo and its labels: the old annotations in their order, then the pasted ones.
        ``extra["pasted"]`` names each pasted person's photo and annotation.

    >>> from pathlib import Path
    >>> nothing = np.zeros(0)
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 128, 96, nothing, np.zeros((0, 17, 3)), np.zeros((0, 4)), nothing,
    ...     nothing > 0, [],
    ... )
    >>> alpha, keypoints = np.ones((40, 20), np.float32), np.full((17, 3), (10.0, 20.0, 2.0))
    >>> green = np.full((40, 20, 3), (0, 200, 0), np.uint8)
    >>> cutout = CutOut(green, alpha, keypoints, np.array([0.0, 0, 20, 40]), 800.0, 12.0, "b.jpg", 7, True)
    >>> rng, image = np.random.default_rng(0), np.full((96, 128, 3), (90, 60, 30), np.uint8)
    >>> photo, labels = compose(rng, scene, image, [cutout], Settings(people=(1, 1)), Skeleton.named("coco"))
    >>> photo.shape, labels.extra["pasted"]
    ((96, 128, 3), [{'file_name': 'b.jpg', 'annotation_id': 7}])
    """
    composition = Composition(scene, image, skeleton, in_place=in_place)
    usable = [cutout for cutout in cutouts if cutout.file_name != scene.file_name]
    gray = _is_gray(image)
    for _ in range(int(rng.integers(settings.people[0], settings.people[1] + 1)) if usable else 0):
        people = composition.people()
        heavy = heaviest_overlap(people.boxes) > OVERLAP
        close = len(heavy) == 0 or heavy.mean() < settings.overlap
        for _ in range(ATTEMPTS):
            cutout = usable[int(rng.integers(len(usable)))]
            if _is_gray(cutout.pixels) and not gray:
                continue
            if rng.random() < 0.5:
                cutout = cutout.flipped(skeleton)
            place = find_place(rng, people, cutout, close, *image.shape[:2])
            if place is not None:
                cutout = cutout.resized(place.scale)
                if composition.paste(cutout, place, settings):
                    break
    return composition.image, composition.scene()


class Composition:
    """A photo and its labels while people are being pasted.

    >>> from pathlib import Path
    >>> nothing = np.zeros(0)
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 128, 96, nothing, np.zeros((0, 17, 3)), np.zeros((0, 4)), nothing,
    ...     nothing > 0, [],
    ... )
    >>> alpha, keypoints = np.ones((40, 20), np.float32), np.full((17, 3), (10.0, 20.0, 2.0))
    >>> green = np.full((40, 20, 3), (0, 200, 0), np.uint8)
    >>> cutout = CutOut(green, alpha, keypoints, np.array([0.0, 0, 20, 40]), 800.0, 12.0, "b.jpg", 7, True)
    >>> composition = Composition(scene, np.zeros((96, 128, 3), np.uint8), Skeleton.named("coco"))
    >>> composition.paste(cutout, Place(50, 40, 1.0), Settings())
    True
    >>> composition.scene().boxes.tolist()
    [[50.0, 40.0, 70.0, 80.0]]
    """

    def __init__(self, scene: Scene, image: Image, skeleton: Skeleton, *, in_place: bool = False) -> None:
        """Begin with the photo as it is; ``scene`` and, unless ``in_place``, ``image`` are copied."""
        self.image = image if in_place else image.copy()
        self._source = scene
        self._skeleton = skeleton
        self._gray = _is_gray(image)
        self._keypoints, self._boxes, self._areas = scene.keypoints.copy(), scene.boxes.copy(), scene.areas.copy()
        self._is_crowd = scene.is_crowd.copy()
        self._visible_at_first = (scene.keypoints[:, :, 2] > 1).sum(axis=1)
        self._seen = [self._region_of(person) for person in range(len(scene))]
        self._changed = np.zeros(len(scene), bool)
        self._pasted: list[dict[str, Any]] = []

    def _region_of(self, person: int) -> Region | None:
        segmentation = self._source.segmentations[person]
        if segmentation is None or self._is_crowd[person]:
            return None
        return Region.of(segmentation_mask(segmentation, *self.image.shape[:2]))

    def people(self) -> People:
        """The people next to whom a cut-out is placed: no crowd regions, at least one labeled keypoint."""
        chosen = np.flatnonzero((self._keypoints[:, :, 2] > 0).any(axis=1) & ~self._is_crowd)
        height, width = self.image.shape[:2]
        sizes = [body_size(self._keypoints[index], self._boxes[index], self._skeleton) for index in chosen]
        return People(self._boxes[chosen].clip(0, [width, height, width, height]), np.array(sizes))

    def paste(self, cutout: CutOut, place: Place, settings: Settings) -> bool:
        """Put a cut-out, already of the right scale, on the photo, unless it would hide too much of a person.

        Returns:
            Whether it was pasted.
        """
        height, width = self.image.shape[:2]
        window = _window(cutout, place, height, width)
        if window is None:
            return False
        rows, columns, own_rows, own_columns = window
        alpha = cutout.alpha[own_rows, own_columns]
        region = Region(rows.start, columns.start, alpha > 0.5)
        keypoints = moved_keypoints(cutout.keypoints, place, height, width)
        if (keypoints[:, 2] > 0).sum() < 0.5 * (cutout.keypoints[:, 2] > 0).sum():
            return False
        updated = hide_covered(self._keypoints, region.mask, (columns.start, rows.start))
        left = (updated[:, :, 2] > 1).sum(axis=1)
        lost = (updated[:, :, 2] != self._keypoints[:, :, 2]).any(axis=1)
        if (lost & (self._visible_at_first - left > settings.most_hidden * self._visible_at_first)).any():
            return False

        lit = relit(cutout, self.image[rows, columns], settings.light)[own_rows, own_columns]
        if self._gray:
            lit = np.repeat(cv2.cvtColor(lit, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        self.image[rows, columns] = blended(lit, self.image[rows, columns], alpha)
        self._add(cutout, place, updated, keypoints, region)
        return True

    def _add(self, cutout: CutOut, place: Place, behind: Float64, keypoints: Float64, region: Region) -> None:
        """Enter the pasted person into the labels."""
        for index, other in enumerate(self._seen):
            if other is not None and (left := other.without(region)) is not None:
                self._seen[index] = left
                self._changed[index] = True
        self._seen.append(region)
        self._changed = np.append(self._changed, True)
        self._keypoints = np.concatenate([behind, keypoints[None]])
        self._visible_at_first = np.append(self._visible_at_first, (keypoints[:, 2] > 1).sum())
        height, width = self.image.shape[:2]
        whole = cutout.box + np.array([place.x, place.y, place.x, place.y])
        box = whole.clip(0, [width, height, width, height])
        share = (box[2:] - box[:2]).prod() / (whole[2:] - whole[:2]).prod()
        self._boxes = np.concatenate([self._boxes, box[None]])
        self._areas = np.append(self._areas, cutout.area * share)
        self._is_crowd = np.append(self._is_crowd, False)
        self._pasted.append({"file_name": cutout.file_name, "annotation_id": cutout.annotation_id})

    def scene(self) -> Scene:
        """The labels of the photo as it is now."""
        old = self._source
        first = int(old.annotation_ids.max(initial=0)) + 1
        segmentations: list[Segmentation] = [*old.segmentations, *([None] * len(self._pasted))]
        for index in np.flatnonzero(self._changed):
            region = self._seen[index]
            segmentations[index] = None if region is None else outlines(region.mask, (region.left, region.top))
        pasted = list(self._pasted)
        return replace(
            old,
            annotation_ids=np.append(old.annotation_ids, np.arange(first, first + len(pasted))),
            keypoints=self._keypoints,
            boxes=self._boxes,
            areas=self._areas,
            is_crowd=self._is_crowd,
            segmentations=segmentations,
            extra={**old.extra, "pasted": pasted},
        )


def moved_keypoints(keypoints: Float64, place: Place, height: int, width: int) -> Float64:
    """A cut-out's keypoints (K, 3) on the photo; those outside it become zeros.

    >>> moved_keypoints(np.array([[1.0, 1, 2], [90, 1, 2]]), Place(5, 5, 1.0), height=20, width=20).tolist()
    [[6.0, 6.0, 2.0], [0.0, 0.0, 0.0]]
    """
    moved: Float64 = keypoints + np.array([place.x, place.y, 0.0])
    inside = (moved[:, :2] >= -0.5).all(axis=1) & (moved[:, 0] < width - 0.5) & (moved[:, 1] < height - 0.5)
    moved[~inside | (keypoints[:, 2] == 0)] = 0
    return moved


def _window(cutout: CutOut, place: Place, height: int, width: int) -> tuple[slice, slice, slice, slice] | None:
    """Rows and columns of the photo that the cut-out takes, and the same of the cut-out; None if it is outside."""
    own_height, own_width = cutout.alpha.shape
    top, left = max(0, place.y), max(0, place.x)
    bottom, right = min(height, place.y + own_height), min(width, place.x + own_width)
    if top >= bottom or left >= right:
        return None
    rows, columns = slice(top, bottom), slice(left, right)
    own_rows, own_columns = slice(top - place.y, bottom - place.y), slice(left - place.x, right - place.x)
    return rows, columns, own_rows, own_columns


def _is_gray(image: Image) -> bool:
    """Whether the photo is black and white."""
    sample = image[::4, ::4]
    differences = sum(
        int(np.abs(sample[band].astype(np.int16) - sample[band, :, 1:2]).sum(dtype=np.int64))
        for band in row_bands(*sample.shape[:2])
    )
    return differences < GRAY * sample.size
