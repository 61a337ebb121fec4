"""Windows of the clips of a data set: pieces of equal length for training, read as they are needed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.clip_schema import ARRAYS, OPTIONAL
from musclemap.errors import ClipError, SettingsError
from musclemap.files import shown

DEFAULT_ARRAYS = ("qpos", "qvel", "contact")

HELD_CLIPS = 16
"""Clips whose windows are mixed, and which are in memory at a time: 16 minutes of MyoFullBody with activations take
about 260 MB."""

Window = dict[str, Any]
"""Arrays of a window by name, shape (length, ...), views of the clip's arrays; `clip`, the number of the clip in
`Windows.names`, and `frame`, the window's first frame."""


class Windows:
    """All windows of some clips.

    A clip of n frames has the windows that begin at frames 0, stride, 2 stride and so on and end within it. Clips are
    read when their windows are due, and only some at a time are in memory, so a data set may be larger than that.

    Args:
        read: Reads a clip by its name.
        nframes: Number of frames of each clip, by name.
        length: Frames of a window.
        stride: Frames between the beginnings of two windows; None for windows that do not overlap.
        arrays: Names of the arrays of a clip to return.
        held: Number of clips that are read and mixed at a time.

    Raises:
        SettingsError: If a length is not positive, an array is unknown, or no clip is long enough.
    """

    def __init__(
        self, read: Callable[[str], Clip], nframes: Mapping[str, int], *, length: int, stride: int | None = None,
        arrays: Sequence[str] = DEFAULT_ARRAYS, held: int = HELD_CLIPS,
    ) -> None:  # fmt: skip
        stride = length if stride is None else stride
        if min(length, stride, held) < 1:
            raise SettingsError(f"length, stride and held have to be positive, got {length}, {stride} and {held}")
        arrays = (arrays,) if isinstance(arrays, str) else tuple(arrays)
        for key in arrays:
            if key not in ARRAYS | OPTIONAL:
                known = ", ".join(ARRAYS | OPTIONAL)
                raise SettingsError(f"a clip has no array {shown(key)}; the arrays are {known}")
        self.length, self.stride, self.arrays, self.held = length, stride, arrays, held
        self.names = tuple(name for name, nframe in nframes.items() if nframe >= length)
        self.too_short = tuple(name for name, nframe in nframes.items() if nframe < length)
        """Clips without a window, because they have fewer frames."""
        if not self.names:
            longest = max(nframes.values(), default=0)
            raise SettingsError(f"none of the {len(nframes)} clips has {length} frames; the longest has {longest}")
        self.counts = np.array([(nframes[name] - length) // stride + 1 for name in self.names])
        self._read, self._nframes = read, dict(nframes)

    def __len__(self) -> int:
        """Number of windows."""
        return int(self.counts.sum())

    def __repr__(self) -> str:
        short = f", {len(self.too_short)} shorter clips left out" if self.too_short else ""
        return f"<{len(self)} windows of {self.length} frames of {len(self.names)} clips{short}>"

    def epoch(self, *, seed: int | None = None, part: int = 0, parts: int = 1) -> Iterator[Window]:
        """Go through all windows once; each clip is read once.

        Args:
            seed: Seed of a random order of clips, and of windows within each group of `held` clips; None for the order
                of the data set.
            part: Number of the part of the clips to go through, from 0.
            parts: Number of parts into which the clips are divided, for several processes with the same seed.

        Raises:
            ClipError: If a clip cannot be read, lacks an array, or has another number of frames than expected.
        """
        rng = None if seed is None else np.random.default_rng(seed)
        order = np.arange(len(self.names)) if rng is None else rng.permutation(len(self.names))
        mine = order[part::parts]
        for low in range(0, len(mine), self.held):
            yield from self._group(mine[low : low + self.held], rng)

    def _group(self, numbers: np.ndarray, rng: np.random.Generator | None) -> Iterator[Window]:
        starts = [(int(k), start * self.stride) for k in numbers for start in range(self.counts[k])]
        if rng is not None:
            rng.shuffle(starts)
        remaining = {int(k): int(self.counts[k]) for k in numbers}
        opened: dict[int, dict[str, np.ndarray]] = {}
        for k, frame in starts:
            if k not in opened:
                opened[k] = self._open(self.names[k])
            yield {key: array[frame : frame + self.length] for key, array in opened[k].items()} | {
                "clip": k, "frame": frame,
            }  # fmt: skip
            remaining[k] -= 1
            if not remaining[k]:
                del opened[k]

    def _open(self, name: str) -> dict[str, np.ndarray]:
        clip = self._read(name)
        if clip.nframe != self._nframes[name]:
            raise ClipError(f"{name} has {clip.nframe} frames, not {self._nframes[name]} as the data set lists")
        result = {}
        for key in self.arrays:
            array = getattr(clip, key)
            if array is None:
                muscles = ", muscles=True" if key.startswith("activation") else ""
                raise ClipError(f"{name} has no {key}; mm.validate(folder{muscles}) computes it")
            result[key] = array
        return result


def batches(windows: Iterator[Window], *, size: int, drop_last: bool) -> Iterator[Window]:
    """Stack windows: arrays of shape (size, length, ...), `clip` and `frame` of shape (size,).

    Args:
        windows: From `Windows.epoch`.
        size: Windows in a batch.
        drop_last: Leave out the last batch if it is smaller.

    Raises:
        ClipError: If the clips of a batch are of different bodies.
    """
    batch: list[Window] = []
    for window in windows:
        batch.append(window)
        if len(batch) == size:
            yield _stack(batch)
            batch = []
    if batch and not drop_last:
        yield _stack(batch)


def _stack(batch: Sequence[Window]) -> Window:
    for key in batch[0]:
        shapes = {np.shape(window[key]) for window in batch}
        if len(shapes) > 1:
            raise ClipError(f"{key} of the clips has the shapes {sorted(shapes)}: select the clips of one body")
    return {key: np.stack([window[key] for window in batch]) for key in batch[0]}
