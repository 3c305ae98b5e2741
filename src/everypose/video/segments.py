"""A video in segments that are decoded independently: each begins at a key frame, and together they have all frames."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

import numpy as np

from everypose.core.arrays import Int64, Mask
from everypose.errors import UsageError
from everypose.video.conversion import RgbConverter
from everypose.video.decoding import Decoder, Preview, fraction, read_packets
from everypose.video.file import Opener, VideoFile, open_container, video_stream
from everypose.video.frames import VideoFrame
from everypose.video.selection import START_TOLERANCE


@dataclass(frozen=True)
class Segment:
    """Consecutive frames of a video, of which the first is a key frame.

    Attributes:
        first: number of its first frame in the video, from 0.
        end: number of the frame after its last one; None for the rest of the video.
        key_frame: decoding time stamp of the key frame; None for the start of the video.
        start: time stamp of the first frame; None for the start of the video.
        stop: time stamp of the next segment's first frame; None for the rest of the video.
        packets: number of its frames by the packets, of which some may be damaged.

    >>> Segment(first=1800, end=3600).end
    3600
    """

    first: int = 0
    end: int | None = None
    key_frame: int | None = None
    start: int | None = None
    stop: int | None = None
    packets: int = 0


def find_segments(path: str | PathLike[str], seconds: float, *, opener: Opener | None = None) -> list[Segment]:
    """Divide a video at key frames; the packets are read, and nothing is decoded.

    A key frame is a border only if all frames before it are shown before it and all later ones after it. A video whose
    time stamps are missing or repeat is one segment.

    >>> find_segments("clip.mp4", 60)  # a short clip is one segment
    [Segment(first=0, end=None, ...)]

    Args:
        path: the video.
        seconds: least length of a segment, except the last.
        opener: as of `everypose.video.file.VideoFile`.

    Raises:
        UsageError: if the length is not above 0.
        EveryposeError: if the file cannot be opened or has no video.
    """
    if not seconds > 0:
        raise UsageError(f"segments of {seconds:g} seconds: give a length above 0")
    name = str(path)
    with open_container(name, opener) as container:
        stream = video_stream(container, name)
        unit = fraction(stream.time_base)
        shown, decoded, flags = array("q"), array("q"), bytearray()
        times_are_known = unit is not None
        for packet in read_packets(container, stream):
            if packet.size:
                flags.append(packet.is_keyframe + 2 * packet.is_discard)
                times_are_known &= packet.pts is not None
                shown.append(packet.pts or 0)
                decoded.append(packet.dts if packet.dts is not None else packet.pts or 0)  # Matroska states pts only
    marks = np.frombuffer(flags, np.uint8)
    stamps = np.array(shown, np.int64)
    counts = np.concatenate([[0], np.cumsum(marks < 2)])
    total = int(counts[-1])
    if not times_are_known or unit is None or len(stamps) < 2 or len(np.unique(stamps)) < len(stamps):
        return [Segment(packets=total)]
    borders = _borders(stamps, marks % 2 == 1, least=float(seconds / unit))
    numbers = counts[borders].tolist()
    starts = stamps[borders].tolist()
    keys = np.array(decoded, np.int64)[borders].tolist()
    ends = [*numbers, None]
    stops = [*starts, None]
    return [
        Segment(first, end, key, start, stop, packets=(total if end is None else end) - first)
        for first, end, key, start, stop in zip([0, *numbers], ends, [None, *keys], [None, *starts], stops, strict=True)
    ]


def _borders(stamps: Int64, is_key: Mask, *, least: float) -> Int64:
    """Return the positions of the packets at which segments begin, without the first.

    Args:
        stamps: (N,) times at which packets are shown, in the order of decoding.
        is_key: (N,) whether they are key frames.
        least: shortest time from border to border, in the unit of the stamps.
    """
    before = np.maximum.accumulate(stamps)[:-1]
    after = np.minimum.accumulate(stamps[::-1])[::-1][1:]
    possible = 1 + np.flatnonzero(is_key[1:] & (stamps[1:] > before) & (stamps[1:] <= after))
    borders = []
    last = int(stamps.min())
    for place in possible.tolist():
        if stamps[place] - last >= least:
            borders.append(place)
            last = int(stamps[place])
    return np.array(borders, dtype=np.int64)


class VideoSegment(VideoFile):
    """The frames of a segment, with the numbers and times that they have in the video.

    >>> with VideoSegment("clip.mp4", Segment(), every=2) as video:
    ...     [frame.index for frame in video]
    [0, 2]
    """

    def __init__(
        self,
        path: str | PathLike[str],
        segment: Segment,
        *,
        every: int = 1,
        seconds_after: float = 0.0,
        opener: Opener | None = None,
    ) -> None:
        """Open the video.

        Args:
            path: the video.
            segment: of `find_segments`.
            every: yield the frames whose number is a multiple of this.
            seconds_after: also yield the frames this long after the end of the segment.
            opener: as of `everypose.video.file.VideoFile`.

        Raises:
            EveryposeError: if the file is missing, unreadable, or no video.
        """
        super().__init__(path, opener=opener)
        self._segment = segment
        self._every = every
        self._stop = None if segment.stop is None else segment.stop + round(seconds_after / float(self.time_base))

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the frames in the order of their times; none if damage left none."""
        segment = self._segment
        converter = RgbConverter()
        decoder = Decoder(self._container, self._stream, self.origin, self.frame_rate)
        if segment.key_frame is not None:
            decoder.seek(Preview((), segment.key_frame))
        number = segment.first - 1
        for decoded in decoder.frames():
            self.corrupt = decoder.corrupt
            stamp = decoded.frame.pts
            if segment.start is not None and stamp is not None and stamp < segment.start:
                continue
            if self._stopped or (self._stop is not None and stamp is not None and stamp >= self._stop):
                break
            number += 1
            if number % self._every == 0 and decoded.time >= -START_TOLERANCE:
                yield VideoFrame(number, decoded.time, converter.to_rgb(decoded.frame))
        self.corrupt = decoder.corrupt
