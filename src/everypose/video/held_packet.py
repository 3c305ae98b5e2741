"""Packets with exact durations, known only once the next packet's timestamp arrives."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

    AnyPacket = Packet[Stream] | Packet[VideoStream]


class HeldPacket:
    """Holds the last packet of one track until the next one comes.

    In a fragmented MP4 a packet begins where the one before ends: with a wrong duration, times would drift.

    >>> import av
    >>> with av.open("clip.mp4") as source, av.open("copy.mp4", "w") as output:
    ...     stream = source.streams.video[0]
    ...     track, held = output.add_stream_from_template(stream), HeldPacket()
    ...     for packet in source.demux(stream):
    ...         if packet.size:
    ...             packet.stream = track
    ...             held.exchange(packet, output)
    ...     held.release(output)
    >>> with av.open("copy.mp4") as copy:
    ...     sum(1 for _ in copy.decode(video=0))
    3
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self._packet: AnyPacket | None = None

    def exchange(self, packet: "AnyPacket", output: "OutputContainer") -> None:
        """Write the packet that is held, with its duration, and hold the next one."""
        held, self._packet = self._packet, packet
        if held is None or held.dts is None or packet.dts is None:
            return
        held.duration = packet.dts - held.dts
        if not packet.duration:
            packet.duration = held.duration  # the best guess for the last one
        output.mux(held)

    def release(self, output: "OutputContainer") -> None:
        """Write the last packet."""
        if self._packet is not None:
            output.mux(self._packet)
            self._packet = None
