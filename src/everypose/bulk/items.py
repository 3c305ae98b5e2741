"""The images of a bulk run: their names, and where their files are."""

from dataclasses import dataclass
from pathlib import Path

from everypose.bulk.addresses import read_address
from everypose.data.discovery.walk import problem_of
from everypose.data.image_header import parse_header
from everypose.data.images import decode_image
from everypose.data.web_images import fetch_image, is_web_address
from everypose.errors import EveryposeError
from everypose.inference.bulk import pixels_of_file
from everypose.inference.image_like import ImageLike


@dataclass(frozen=True)
class Item:
    """One image of a bulk run; can be pickled, for processes on other machines.

    >>> read_item(Item("tiny.ppm", b"P6 1 1 255 abc")).shape
    (1, 1, 3)

    Attributes:
        key: its name in tables and records, the same on every machine; unique in the run.
        content: the image file as a path, an address on the web or in an object store, or bytes; an error if it
            cannot be read.
    """

    key: str
    content: Path | str | bytes | EveryposeError


def read_item(item: Item) -> ImageLike:
    """Return the image of an item, as estimators accept it: a path, or (H, W, 3) uint8 RGB pixels.

    Raises:
        EveryposeError: if it cannot be read; the message names it.

    >>> read_item(Item("tiny.ppm", b"P6 1 1 255 abc")).tolist()
    [[[97, 98, 99]]]
    """
    content = item.content
    if isinstance(content, EveryposeError):
        raise content
    if isinstance(content, Path):
        if problem := problem_of(content):  # opening a named pipe would wait for its writer
            raise EveryposeError(problem)
        return content
    if isinstance(content, str):
        if is_web_address(content):
            return fetch_image(content)
        content = read_address(content)
    return decode_image(content, item.key)


def pixels_of_item(item: Item) -> int:
    """Return the number of pixels according to the image's header; 0 if the header is not at hand.

    >>> import numpy as np
    >>> from everypose.drawing import encode
    >>> pixels_of_item(Item("a.png", encode(np.zeros((2, 4, 3), np.uint8), ".png")))
    8
    """
    if isinstance(item.content, Path):
        return pixels_of_file(item.content)
    if not isinstance(item.content, bytes):
        return 0
    try:
        header = parse_header(item.content, item.key)
    except EveryposeError:
        return 0
    return 0 if header is None else header.width * header.height
