"""Serve one clip as many RTSP cameras on loopback: 15 frames a second, H.264, encoded once.

python benchmarks/video_server.py VIDEO NUM_CAMERAS WIDTH HEIGHT prints its port; any path is a camera. For each line on
standard input it prints how many frames it has sent; at the input's end it ends.
"""

import sys
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from rtsp_server import AccessUnit, Act, encode_clip, run_camera

FPS = 15
_KEYFRAME_INTERVAL = 2 * FPS


def read_pictures(path: Path, width: int, height: int) -> list[NDArray[np.uint8]]:
    """Return the clip at ``FPS``, fitted into width x height, forth and back, so that its end is no cut."""
    pictures: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time * FPS >= len(pictures):
                pictures.append(_fit(frame.to_ndarray(format="rgb24"), width, height))
    return pictures + pictures[-2:0:-1]


def _fit(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    scale = min(width / picture.shape[1], height / picture.shape[0])
    columns, rows = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    left, top = (width - columns) // 2, (height - rows) // 2
    fitted = np.zeros((height, width, 3), np.uint8)
    fitted[top : top + rows, left : left + columns] = cv2.resize(
        picture, (columns, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    return fitted


def encode(path: Path, width: int, height: int) -> list[AccessUnit]:
    """Return the clip as a camera would send it."""
    pictures = read_pictures(path, width, height)
    return encode_clip(len(pictures), width, height, _KEYFRAME_INTERVAL, pictures.__getitem__, "veryfast", FPS)


def main() -> None:
    video, num_cameras, width, height = Path(sys.argv[1]), *map(int, sys.argv[2:])
    clip = encode(video, width, height)
    # Each camera begins at another keyframe, so that not all of them send large frames at once.
    num_groups = -(-len(clip) // _KEYFRAME_INTERVAL)
    script = [Act(clip, fps=FPS, first=(index % num_groups) * _KEYFRAME_INTERVAL) for index in range(num_cameras)]
    with run_camera(*script) as camera:
        print(camera.url.split(":")[2].split("/")[0], flush=True)
        for _ in sys.stdin:
            print(sum(camera.num_sent), flush=True)


if __name__ == "__main__":
    main()
