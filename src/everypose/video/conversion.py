"""Decoded frames to RGB arrays: one converter for all frames of a video, upright."""

from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import VideoReformatter

from everypose.core.arrays import Image

if TYPE_CHECKING:
    import av


class RgbConverter:
    """Converts decoded frames to RGB, with tables that are built once and not for each frame.

    Example:
        >>> import av
        >>> RgbConverter().to_rgb(av.VideoFrame(64, 48, "yuv420p")).shape
        (48, 64, 3)
    """

    def __init__(self) -> None:
        """Create the converter; its tables are built with the first frame."""
        self._reformatter = VideoReformatter()

    def to_rgb(self, frame: "av.VideoFrame") -> Image:
        """Convert a frame of any pixel format and turn it as its rotation metadata says.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        rotation = frame.rotation
        rgb = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        turned = np.rot90(rgb, round(rotation / 90)) if rotation else rgb
        return np.ascontiguousarray(turned, dtype=np.uint8)
