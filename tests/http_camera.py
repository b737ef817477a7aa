"""A camera for tests that speaks HTTP: motion JPEG (multipart/x-mixed-replace), plain H.264, or a folder's HLS."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
from make_videos import draw_pattern

_BOUNDARY = "frame"


@dataclass(frozen=True)
class HttpAct:
    """What the camera does: ``folder`` serves files, else pictures come at ``fps``, those of ``h264`` if given."""

    fps: float = 25.0
    freeze_at: int | None = None
    close_at: int | None = None
    is_silent: bool = False
    folder: Path | None = None
    h264: Sequence[bytes] = ()


@contextmanager
def run_http_camera(act: HttpAct) -> Iterator[str]:
    """Run a camera on loopback and give its URL, which ends with a slash."""
    stop = threading.Event()
    pictures = [cv2.imencode(".jpg", draw_pattern(index))[1].tobytes() for index in range(20)]
    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: "
    parts = [f"{head}{len(picture)}\r\n\r\n".encode() + picture + b"\r\n" for picture in pictures]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if act.is_silent:
                stop.wait()
                return
            with suppress(ConnectionError):
                if act.folder is not None:
                    self._send_file(act.folder / Path(self.path).name)
                else:
                    self._send_pictures()

        def log_message(self, *arguments: object) -> None:
            """Nothing, so that tests stay quiet."""

        def _send_file(self, path: Path) -> None:
            if not path.is_file():
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            self.wfile.write(path.read_bytes())

        def _send_pictures(self) -> None:
            self.send_response(200)
            kind = "video/h264" if act.h264 else f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
            self.send_header("Content-Type", kind)
            self.end_headers()
            for index in range(1_000_000):
                if index == act.close_at:
                    return
                if index == act.freeze_at:
                    stop.wait()
                self.wfile.write(act.h264[index % len(act.h264)] if act.h264 else parts[index % len(parts)])
                if stop.wait(1 / act.fps):
                    return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def write_hls(source: Path, folder: Path, segment_s: float = 1.0) -> None:
    """Write a recording as an HLS playlist ``live.m3u8`` with its parts, without encoding anew."""
    options = {"hls_time": str(segment_s), "hls_list_size": "0"}
    with av.open(str(source)) as reader, av.open(str(folder / "live.m3u8"), "w", "hls", options=options) as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
