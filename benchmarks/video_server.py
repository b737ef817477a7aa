"""Serve one clip as many RTSP cameras on loopback: 640x360, 15 frames a second, H.264, encoded once.

python benchmarks/video_server.py VIDEO NUM_CAMERAS prints its port; any path is a camera. For each line on standard
input it prints how many frames it has sent; at the input's end it ends.
"""

import sys
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from rtsp_server import Act, encode_clip, run_camera

FPS, WIDTH, HEIGHT = 15, 640, 360
_KEYFRAME_INTERVAL = 2 * FPS


def read_pictures(path: Path) -> list[NDArray[np.uint8]]:
    """Return the clip at ``FPS``, fitted into WIDTH x HEIGHT, forth and back, so that its end is no cut."""
    pictures: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time * FPS >= len(pictures):
                pictures.append(_fit(frame.to_ndarray(format="rgb24")))
    return pictures + pictures[-2:0:-1]


def _fit(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = min(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    width, height = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    fitted = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left, top = (WIDTH - width) // 2, (HEIGHT - height) // 2
    fitted[top : top + height, left : left + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return fitted


def main() -> None:
    pictures, num_cameras = read_pictures(Path(sys.argv[1])), int(sys.argv[2])
    clip = encode_clip(
        len(pictures), WIDTH, HEIGHT, _KEYFRAME_INTERVAL, lambda index: pictures[index], preset="veryfast", fps=FPS
    )
    # Each camera begins at another keyframe, so that not all of them send large frames at once.
    num_groups = -(-len(clip) // _KEYFRAME_INTERVAL)
    script = [Act(clip, fps=FPS, first=(index % num_groups) * _KEYFRAME_INTERVAL) for index in range(num_cameras)]
    with run_camera(*script) as camera:
        print(camera.url.split(":")[2].split("/")[0], flush=True)
        for _ in sys.stdin:
            print(sum(camera.num_sent), flush=True)


if __name__ == "__main__":
    main()
