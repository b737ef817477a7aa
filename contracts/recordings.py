"""How a recording is read, by ingest and by reports that read it again: what may be opened, and what time it is.

Rows are keyed by the pts that ``FrameClock`` gives; whoever reads the recording again finds the same ones.
"""

from fractions import Fraction

# What recordings and stills come in. Others stay closed: playlists (hls, concat) and numbered pictures (image2) would
# make FFmpeg read further files, and it takes any text for a video of a terminal (tty). Sound is here so that a sound
# file gets the message that fits.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,mpjpeg,mjpeg,h261,h263,h264,hevc,m4v,av1,obu,ivf,"
    "flv,live_flv,asf,ogg,mxf,gxf,nut,nuv,dv,rm,wtv,dhav,dnxhd,vc1,yuv4mpegpipe,gif,apng,jpeg_pipe,png_pipe,webp_pipe,"
    "bmp_pipe,tiff_pipe,ppm_pipe,pgm_pipe,j2k_pipe,jpegxl_pipe,wav,mp3,flac,aac,ac3,aiff,amr"
)
OPEN_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}

# A jump back of at least this much is a new clock, whose own intervals are kept; less is a slip of single frames.
_CLOCK_RESET_S = 1.0
# A jump ahead of more than this (11 days) is a damaged number, not a pause in a recording.
MAX_PAUSE_S = 1_000_000.0
# A container that names a lower rate than this (one frame in 16 minutes) has a damaged number there.
_MIN_FPS = 0.001
# AVI stores no pts. What FFmpeg guesses for it goes back and forth where pictures are reordered; its dts do not.
FORMATS_WITHOUT_PTS = ("avi",)


class FrameClock:
    """Turns what a file says about time into strictly increasing pts."""

    def __init__(self, time_base: Fraction, average_fps: float) -> None:
        self.time_base = time_base
        self.start_pts: int | None = None
        self.last_pts: int | None = None
        self.num_repaired = 0
        self.min_interval = 0
        self.max_interval = 0
        self._offset = 0
        self._has_lost = False  # a packet since the last picture: the next interval is not the file's own
        fps = max(average_fps, _MIN_FPS) if average_fps else 25
        self._interval = max(1, round(1 / (time_base * Fraction(fps).limit_denominator(100_000))))

    def read_pts(self, pts: int | None) -> tuple[int, bool]:
        """Return the pts to use and whether it had to be repaired.

        A missing one is the last one and a usual interval; a repeated or slightly backward one the next free tick;
        after a jump back, or ahead by days, the file's own intervals go on from the last frame.
        """
        if self.last_pts is None:
            self.last_pts = (self.start_pts or 0) if pts is None else pts
            if self.start_pts is None:
                self.start_pts = self.last_pts
            self.num_repaired += pts is None
            return self.last_pts, pts is None
        last = self.last_pts
        fixed = last + self._interval if pts is None else pts + self._offset
        jump_s = (fixed - last) * self.time_base.numerator / self.time_base.denominator
        is_new_clock = jump_s <= -_CLOCK_RESET_S or jump_s > MAX_PAUSE_S
        is_repaired = pts is None or fixed <= last or is_new_clock
        if is_new_clock:
            self._offset += last + self._interval - fixed
            fixed = last + self._interval
        elif fixed <= last:
            fixed = last + 1
        if is_repaired:
            self.num_repaired += 1
        elif not self._has_lost:
            self._interval = fixed - last
            self.min_interval = min(self.min_interval or self._interval, self._interval)
            self.max_interval = max(self.max_interval, self._interval)
        self.last_pts = fixed
        self._has_lost = False
        return fixed, is_repaired

    def place(self, pts: int | None) -> int:
        """Return where a packet without a picture belongs: at its own pts, but not before the last frame.

        One before the first frame starts the clock: the recording begins with it.
        """
        if self.start_pts is None:
            self.start_pts = pts
        last = self.last_pts if self.last_pts is not None else (self.start_pts or 0)
        self._has_lost = True
        placed = last if pts is None else max(last, pts + self._offset)
        return placed if (placed - last) * self.time_base < MAX_PAUSE_S else last

    def to_seconds(self, pts: int) -> float:
        """Return seconds from the recording's start."""
        return (pts - (self.start_pts or 0)) * self.time_base.numerator / self.time_base.denominator

    @property
    def is_variable(self) -> bool:
        """Whether the intervals between frames differ by more than rounding to the time base explains."""
        return is_variable(self.min_interval, self.max_interval)


def is_variable(min_interval: int, max_interval: int) -> bool:
    """Return whether intervals, in ticks, differ by more than rounding to the time base explains."""
    return max_interval - min_interval > 2 + 0.1 * min_interval
