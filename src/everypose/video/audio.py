"""Audio tracks of a video, copied packet by packet to an annotated one."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from everypose.video.decoding import fraction, read_packets
from everypose.video.file import VideoFile
from everypose.video.held_packet import HeldPacket

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream


class AudioTracks:
    """The audio tracks of a video file, copied in step with its frames.

    They are demuxed from a second handle of the file, so that memory stays constant.

    Attributes:
        left_out: codecs of tracks that an MP4 cannot hold.

    Example:
        >>> with VideoFile("clip.mp4") as video:
        ...     audio = AudioTracks(video)  # the clip has none
        ...     audio.left_out
        ...     audio.close()
        []
    """

    def __init__(self, video: VideoFile) -> None:
        """Open the file a second time.

        Args:
            video: the file whose frames are processed; its selected span is that of the audio.

        Raises:
            EveryposeError: if it cannot be opened.
        """
        self.left_out: list[str] = []
        self._container = video.open_again()
        self._start = video.origin + Fraction(video.selection.start)
        self._end = None if video.selection.end is None else float(video.selection.end - video.selection.start)
        self._outputs: dict[int, Stream] = {}
        self._held: dict[int, HeldPacket] = {}
        self._packets: Iterator[Packet[Stream]] = iter(())
        self._waiting: Packet[Stream] | None = None
        for stream in self._container.streams:
            if stream.type != "audio":
                stream.discard = av.stream.Discard.all

    def add_to(self, output: "OutputContainer") -> None:
        """Add a track to the output for each one that it can hold."""
        for stream in self._container.streams.audio:
            codec = stream.codec_context.name if stream.codec_context else "unknown"
            if codec in output.supported_codecs:
                self._outputs[stream.index] = output.add_stream_from_template(stream)
                self._held[stream.index] = HeldPacket()
            else:
                self.left_out.append(codec)
        tracks = [stream for stream in self._container.streams.audio if stream.index in self._outputs]
        if tracks:
            self._packets = read_packets(self._container, *tracks)

    def copy(self, output: "OutputContainer", *, until: float | None) -> None:
        """Copy packets to the output.

        Args:
            output: where the tracks were added.
            until: packets from this time on wait, in seconds after the start; None copies all.
        """
        while (packet := self._waiting or next(self._packets, None)) is not None:
            self._waiting = None
            if packet.pts is None or packet.dts is None:
                continue
            unit = fraction(packet.time_base) or Fraction(1)
            time = float(packet.pts * unit - self._start)
            if until is not None and time >= until:
                self._waiting = packet
                return
            if time < 0 or (self._end is not None and time >= self._end):
                continue
            shift = round(self._start / unit)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            index = packet.stream_index
            packet.stream = self._outputs[index]
            self._held[index].exchange(packet, output)

    def finish(self, output: "OutputContainer", *, rest: bool) -> None:
        """Copy the last packets.

        Args:
            output: where the tracks were added.
            rest: also those after the last frame.
        """
        if rest:
            self.copy(output, until=None)
        for held in self._held.values():
            held.release(output)

    def close(self) -> None:
        """Close the file."""
        self._container.close()
