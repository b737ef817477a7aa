"""GStreamer's RTSP server as a camera: ``gstreamer_camera.py PORT`` serves /live until it is killed.

It runs under the system's Python, whose ``python3-gi`` comes with the packages that ``.ci/run`` installs. It prints its
port when it is ready.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

_PICTURES = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1"
_ENCODER = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 threads=1"
_SOUND = "audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay1 pt=8"


def main() -> None:
    """Serve a picture of colour bars at 25 per second, with sound as cameras have it."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(f"( {_PICTURES} ! {_ENCODER} ! rtph264pay name=pay0 pt=96 config-interval=1 {_SOUND} )")
    factory.set_shared(True)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
