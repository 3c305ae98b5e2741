"""The names of the heatmap decoders. Nothing is imported here, so that the command line can list them at once."""

from typing import Literal

Decoder = Literal["quarter", "dark", "dark-17", "dark-3", "udp", "udp-0.8"]
"""How heatmaps become keypoints; see :func:`everypose.methods.top_down.decoding.decode`."""
UDP_DECODERS: tuple[Decoder, ...] = ("udp", "udp-0.8")
"""The decoders for crops of the UDP convention."""
