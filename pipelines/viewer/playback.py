"""The playback clock: which frame to show, independent of how fast frames are drawn."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Playback:
    """Position in a clip. It runs on time stamps, so skipped frames do not affect the speed."""

    nframe: int
    fps: float
    """Frames per second of the clip."""
    speed: float = 1.0
    """Playback speed relative to real time."""
    playing: bool = True
    loop: bool = True
    """Start over at the end, or stop there."""
    time: float = 0.0
    """Time since the first frame [s]."""

    @property
    def frame(self) -> int:
        """Index of the frame to show."""
        return min(int(self.time * self.fps + 1e-6), self.nframe - 1)

    @property
    def duration(self) -> float:
        """Time from the first to the last frame [s]."""
        return (self.nframe - 1) / self.fps

    def advance(self, seconds: float) -> None:
        """Advance by a duration of wall-clock time [s]."""
        if not self.playing:
            return
        self.time += seconds * self.speed
        span = self.nframe / self.fps  # the last frame lasts as long as the others
        if self.time >= span:
            self.playing = self.loop
            self.time = self.time % span if self.loop else self.duration

    def seek(self, frame: int) -> None:
        """Go to a frame; indices are clamped to the clip."""
        self.time = min(max(frame, 0), self.nframe - 1) / self.fps

    def toggle(self) -> None:
        """Play or pause; playing from the end starts over."""
        self.playing = not self.playing
        if self.playing and not self.loop and self.frame == self.nframe - 1:
            self.time = 0.0
