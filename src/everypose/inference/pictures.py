"""The JPEG files of a run: drawn images, crops of people, the contact sheet."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from everypose.core.arrays import Image
from everypose.core.files import write_bytes
from everypose.data.images import read_image
from everypose.drawing import DrawingStyle, blur_faces, contact_sheet, encode, person_crops
from everypose.people import People

SHEET_PICTURES = 24
"""The most pictures on a contact sheet."""
SHEET_SIDE = 400
"""The longer side of a picture kept for the contact sheet, in pixels."""
LARGE_PICTURE = 20_000_000
"""A picture of more pixels is read at a quarter of its size for the contact sheet."""
JPEG_LARGEST_SIDE = 65_500


class ContactSheet:
    """An overview of a run: small versions of some of its pictures.

    Attributes:
        path: the file.

    >>> sheet = ContactSheet(Path("sheet.jpg"), ["a", "b"])
    >>> write_picture(Path("a.jpg"), np.zeros((48, 64, 3), np.uint8))
    >>> sheet.add("a", Path("a.jpg"), "a.jpg: 0", pixels=48 * 64)
    >>> sheet.write()
    >>> sheet.path.exists()
    True
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """Choose the images, evenly spread over the run.

        Args:
            path: the file.
            names: output names of all images of the run.
        """
        self.path = path
        self._chosen = set(names[:: max(1, -(-len(names) // SHEET_PICTURES))])
        self._small: list[tuple[Image, str]] = []

    def add(self, name: str, picture: Path, caption: str, *, pixels: int) -> None:
        """Add an image's picture, if it is one of those on the sheet.

        The picture is read again from its file, so that a resumed run gives the same sheet.

        Args:
            name: output name of the image.
            picture: its drawn picture.
            caption: the text below it.
            pixels: width times height of the image.

        Raises:
            EveryposeError: if the picture cannot be read.
        """
        if name in self._chosen:
            reduction = 4 if pixels > LARGE_PICTURE else 1
            self._small.append((_shrink(read_image(picture, reduction), SHEET_SIDE), caption))

    def write(self) -> None:
        """Write the sheet; without pictures there is none."""
        if self._small:
            images, captions = zip(*self._small, strict=True)
            write_picture(self.path, contact_sheet(images, captions))


def write_picture(path: Path, image: Image, *, overwrite: bool = False) -> None:
    """Write an image as JPEG, atomically; one too long for a JPEG is scaled down to fit.

    Args:
        path: the file.
        image: (H, W, 3) uint8 RGB.
        overwrite: use the memory of ``image``, whose content is lost.

    >>> write_picture(Path("gray.jpg"), np.full((48, 64, 3), 128, np.uint8))
    >>> read_image(Path("gray.jpg")).shape
    (48, 64, 3)
    """
    write_bytes(path, encode(_shrink(image, JPEG_LARGEST_SIDE), ".jpg", overwrite=overwrite))


def write_crops(folder: Path, name: str, people: People, style: DrawingStyle) -> None:
    """Write a picture of each person: ``NAME_person3.jpg`` for the identity or, without tracking, the position 3.

    Args:
        folder: where to write.
        name: what the files' names begin with.
        people: with their image.
        style: says whose crops are written, and whether faces are blurred.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> pose = np.random.default_rng(0).uniform(10, 40, (1, 17, 3))
    >>> people = People(pose, [0.9], Skeleton.named("coco"), image=np.zeros((48, 64, 3), np.uint8), ids=[3])
    >>> write_crops(Path("crops"), "a", people, DrawingStyle())
    >>> [path.name for path in Path("crops").iterdir()]
    ['a_person3.jpg']
    """
    if people.image is None:
        return
    image = blur_faces(people.image, people) if style.blur_faces else people.image
    shown = people[people.scores >= style.min_score]
    numbers = range(len(shown)) if shown.ids is None else shown.ids.tolist()
    for number, crop in zip(numbers, person_crops(image, shown), strict=True):
        if crop.size:
            write_picture(folder / f"{name}_person{number}.jpg", crop)
    following = len(shown)
    while shown.ids is None and (left := folder / f"{name}_person{following}.jpg").is_file():
        left.unlink()  # of an earlier run with more people
        following += 1


def _shrink(image: Image, side: int) -> Image:
    """Return the image, at most ``side`` pixels long."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
