"""The clock of a clip that plays: which frame is to be seen, independent of how fast frames are drawn."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Playback:
    """Place in a clip. It runs by time stamps, so speed is right however many frames are left out."""

    nframe: int
    fps: float
    """Frames a second of the clip."""
    speed: float = 1.0
    """Of the motion, relative to how it was."""
    playing: bool = True
    loop: bool = True
    """Begin anew at the end, or stop there."""
    time: float = 0.0
    """Since the first frame [s]."""

    @property
    def frame(self) -> int:
        """Frame to be seen."""
        return min(int(self.time * self.fps + 1e-6), self.nframe - 1)

    @property
    def duration(self) -> float:
        """Time until the last frame [s]."""
        return (self.nframe - 1) / self.fps

    def advance(self, seconds: float) -> None:
        """Let time pass on the clock on the wall [s]."""
        if not self.playing:
            return
        self.time += seconds * self.speed
        span = self.nframe / self.fps  # the last frame lasts as long as any
        if self.time >= span:
            self.playing = self.loop
            self.time = self.time % span if self.loop else self.duration

    def seek(self, frame: int) -> None:
        """Go to a frame; beyond the ends, to the end."""
        self.time = min(max(frame, 0), self.nframe - 1) / self.fps

    def toggle(self) -> None:
        """Play, or stop; from the end it starts anew."""
        self.playing = not self.playing
        if self.playing and not self.loop and self.frame == self.nframe - 1:
            self.time = 0.0
