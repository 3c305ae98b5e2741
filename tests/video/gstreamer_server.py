"""A GStreamer RTSP server: sends a moving ball as H.264 from rtsp://127.0.0.1:PORT/live until it is killed.

Runs in a Python that has GObject introspection: Debian's python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good and gstreamer1.0-plugins-ugly (x264).
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")

from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1 "
    "! x264enc tune=zerolatency key-int-max=15 ! rtph264pay name=pay0 pt=96 )"
)

Gst.init(None)
if Gst.ElementFactory.find("x264enc") is None:
    sys.exit("no x264enc")
if len(sys.argv) > 1:
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit("the port is in use")
    print("ready", flush=True)
    GLib.MainLoop().run()
