"""A finished picture, and the bytes of picture files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Image
from everypose.core.files import write_bytes
from everypose.data.images import swap_channels
from everypose.errors import EveryposeError, UsageError

NOTEBOOK_SIDE = 1280


@dataclass(frozen=True, eq=False, repr=False)
class Drawing:
    r"""A finished picture; ``np.asarray(drawing)`` is its ``image``.

    >>> Drawing(np.zeros((4, 6, 3), np.uint8)).to_png()[:4]
    b'\x89PNG'

    Attributes:
        image: (H, W, 3) uint8 RGB.
    """

    image: Image

    def save(self, path: Path | str) -> None:
        """Write the picture atomically; the suffix determines the format (.jpg, .png, .webp ...).

        Raises:
            UsageError: if no picture format has that suffix.
            EveryposeError: if the file cannot be written.
        """
        write_bytes(Path(path), encode(self.image, Path(path).suffix))

    def to_png(self) -> bytes:
        """Return PNG bytes, scaled down to the size that a notebook shows."""
        height, width = self.image.shape[:2]
        factor = min(1.0, NOTEBOOK_SIDE / max(height, width))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        return encode(cv2.resize(self.image, size, interpolation=cv2.INTER_AREA) if factor < 1 else self.image, ".png")

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.image, dtype=dtype) if copy else np.asarray(self.image, dtype=dtype)

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"Drawing({width} x {height} pixels)"

    def _repr_png_(self) -> bytes:
        return self.to_png()


def encode(image: Image, suffix: str, *, overwrite: bool = False) -> bytes:
    r"""Return the bytes of a picture file.

    Args:
        image: (H, W, 3) uint8 RGB.
        overwrite: use the memory of ``image``, whose content is lost.
        suffix: ``.jpg``, ``.png`` or another that OpenCV writes.

    Raises:
        UsageError: if no picture format has that suffix.
        EveryposeError: if the picture is too large for the format.

    Example:
        >>> encode(np.zeros((2, 3, 3), np.uint8), ".png")[:4]
        b'\x89PNG'
    """
    if not cv2.haveImageWriter(f"picture{suffix}"):
        raise UsageError(f"cannot write a picture as {suffix or 'a file without suffix'!r}; use .jpg or .png")
    try:
        if overwrite:
            swap_channels(image)
        done, content = cv2.imencode(suffix, image if overwrite else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        height, width = image.shape[:2]
        raise EveryposeError(f"cannot write {width} x {height} pixels as {suffix}: too large for the format; use .png")
    return content.tobytes()
