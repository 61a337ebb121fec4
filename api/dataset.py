"""A data set: its table, its clips, and windows of them for training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musclemap.datasets.clip import read_clip
from musclemap.errors import SettingsError
from musclemap.pipelines.wording import close_names

from .clip import Clip
from .optional import require
from .windows import DEFAULT_ARRAYS, HELD_CLIPS, Window, Windows, batches

if TYPE_CHECKING:
    import pandas as pd

    from .torch_windows import TorchWindows

Row = Mapping[str, Any]
"""Facts about one source: `source`, `clip` (its path below the folder, or None), `split`, `status`, `verdict`,
`reason`, `nframe`, `seconds`, and the metrics of the clip."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dataset:
    """Clips that belong together: the output folder of a conversion, a bundle, or a built-in data set.

    Made by `mm.open` and `mm.retarget`. Clips are read when they are asked for, and not kept.

    Attributes:
        name: The folder, or the name of a built-in data set.
        rows: Facts about every source, sorted by source; sources without a clip say why in `reason`.
        read: Reads a clip by its path below the folder.
        root: The folder; None for a built-in data set that has none.

    Raises:
        ClipError: A clip that is read is missing or damaged.

    Example:
        >>> import musclemap as mm
        >>> data = mm.open("out/clips")
        >>> data
        <Dataset out/clips: 4 clips, 0.006 h, 4 feasible>
        >>> walk = data["walk_1.2"]
        >>> best = data.filter(lambda row: row["verdict"] == "feasible" and row["landmark_error_mm"] < 15)
        >>> for clip in best:
        ...     print(clip.source, clip.qpos.shape)
    """

    name: str
    rows: tuple[Row, ...]
    read: Callable[[str], Clip]
    root: Path | None = None

    def __repr__(self) -> str:
        hours = sum(row["seconds"] or 0.0 for row in self._with_clip) / 3600.0
        verdicts = [row["verdict"] for row in self._with_clip if row["verdict"]]
        counts = "".join(f", {verdicts.count(v)} {v}" for v in ("feasible", "warn", "infeasible") if v in verdicts)
        without = len(self.rows) - len(self)
        failed = f", {without} sources without a clip" if without else ""
        return f"<Dataset {self.name}: {len(self)} clips, {hours:.3f} h{counts}{failed}>"

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._with_clip)

    def __iter__(self) -> Iterator[Clip]:
        """Read one clip after the other."""
        return (self.read(name) for name in self.names)

    def __getitem__(self, key: int | str) -> Clip:
        """Read the clip with a number, or the one whose path contains a text.

        Raises:
            IndexError: If there is no clip with this number.
            SettingsError: If the text is in no path, or in several and is not a whole one.
        """
        return self.read(self.names[key] if isinstance(key, int) else self.find(key))

    @property
    def _with_clip(self) -> list[Row]:
        return [row for row in self.rows if row["clip"] is not None]

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the clips below the folder, sorted.

        Example:
            >>> data.names[0]
        """
        return tuple(row["clip"] for row in self._with_clip)

    def find(self, text: str) -> str:
        """Path of the one clip whose path contains a text; a path with or without ".h5" is always found.

        Args:
            text: Part of a path.

        Returns:
            The path below the folder.

        Raises:
            SettingsError: If there is none or more than one; the message lists some.

        Example:
            >>> data.find("walk_1.2")
        """
        names = self.names
        if exact := [name for name in names if text in (name, name.removesuffix(".h5"))]:
            return exact[0]
        matching = [name for name in names if text in name]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise SettingsError(f"{len(matching)} clips contain {text!r}, such as {', '.join(matching[:3])}")
        close = close_names(text, names)
        raise SettingsError(f"no clip of {self.name} contains {text!r}; close names: {', '.join(close)}")

    def items(self) -> Iterator[tuple[str, Clip]]:
        """Read one clip after the other, each with its path below the folder.

        Raises:
            ClipError: If a clip is missing or damaged.

        Example:
            >>> longest = max(data.items(), key=lambda item: item[1].nframe)[0]
        """
        return ((name, self.read(name)) for name in self.names)

    @property
    def table(self) -> "pd.DataFrame":
        """One row per source, those without a clip included.

        Returns:
            Table with the index "source" and the columns "clip", "split", "status", "verdict", "reason", "nframe",
            "seconds" [s], then the metrics, whose names end in their units.

        Raises:
            MissingPackageError: If pandas is not installed.

        Example:
            >>> data.table.sort_values("landmark_error_mm")[["clip", "verdict", "landmark_error_mm"]]
        """
        pd = require("pandas", what="Dataset.table")
        return pd.DataFrame([dict(row) for row in self.rows]).set_index("source")

    @property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """Paths of the clips of each split: "train", "val" and "test" of a bundle; empty for other data sets.

        Example:
            >>> {split: len(names) for split, names in data.splits.items()}
        """
        present = sorted({row["split"] for row in self._with_clip if row["split"]})
        return {split: tuple(row["clip"] for row in self._with_clip if row["split"] == split) for split in present}

    def split(self, name: str) -> "Dataset":
        """The clips of one split.

        Args:
            name: Split of a bundle, such as "train".

        Returns:
            Data set of these clips.

        Raises:
            SettingsError: If there is no such split; the message lists those that there are.

        Example:
            >>> training = mm.open("bundle").split("train")
        """
        if name not in self.splits:
            available = ", ".join(self.splits) or "none: mm-pack divides a folder of clips into splits"
            raise SettingsError(f"{self.name} has no split {name!r}; available: {available}")
        return self.filter(lambda row: row["split"] == name)

    def filter(self, keep: Callable[[Row], bool]) -> "Dataset":
        """The clips that a function selects; no clip is read.

        Args:
            keep: Takes the row of a clip, as in `rows`, and returns whether to keep it.

        Returns:
            Data set of these clips; sources without a clip are left out.

        Example:
            >>> feasible = data.filter(lambda row: row["verdict"] != "infeasible")
        """
        rows = tuple(row for row in self._with_clip if keep(row))
        return Dataset(name=self.name, rows=rows, read=self.read, root=self.root)

    def windows(
        self, *, length: int, stride: int | None = None, arrays: Sequence[str] = DEFAULT_ARRAYS, held: int = HELD_CLIPS
    ) -> Windows:
        """Windows of equal length as NumPy arrays; `torch` and `jax` give them to a training loop.

        Args:
            length: Frames of a window.
            stride: Frames between the beginnings of two windows; None for windows that do not overlap.
            arrays: Arrays of the clips, such as "qpos", "qvel", "activation".
            held: Number of clips that are in memory, and whose windows are mixed, at a time.

        Returns:
            The windows. `epoch(seed=0)` goes through them in random order, each a dictionary of arrays of shape
            (length, ...) in the clips' units, metres and radians; `len` is their number; `too_short` lists clips
            without a window.

        Raises:
            SettingsError: If no clip is long enough or an array is unknown.

        Example:
            >>> for window in data.windows(length=64, stride=16).epoch(seed=0):
            ...     print(window["qpos"].shape, window["frame"])
        """
        nframes = {row["clip"]: row["nframe"] for row in self._with_clip}
        nframes = {name: self.read(name).nframe if count is None else count for name, count in nframes.items()}
        return Windows(self.read, nframes, length=length, stride=stride, arrays=arrays, held=held)

    def torch(
        self, *, length: int, stride: int | None = None, arrays: Sequence[str] = DEFAULT_ARRAYS,
        held: int = HELD_CLIPS, shuffle: bool = True,
    ) -> "TorchWindows":  # fmt: skip
        """Windows as a data set for `torch.utils.data.DataLoader`, with any number of workers.

        Args:
            length: Frames of a window.
            stride: Frames between the beginnings of two windows; None for windows that do not overlap.
            arrays: Arrays of the clips, such as "qpos", "qvel", "activation".
            held: Number of clips that are in memory, and whose windows are mixed, at a time; for each worker.
            shuffle: Use another random order in every epoch, which follows `torch.manual_seed`.

        Returns:
            Iterable data set. A window is a dictionary of tensors of shape (length, ...) in the clips' units, metres
            and radians, and the numbers `clip` and `frame`; the loader stacks them to (batch, length, ...).

        Raises:
            MissingPackageError: If PyTorch is not installed.
            SettingsError: If no clip is long enough or an array is unknown.

        Example:
            >>> loader = torch.utils.data.DataLoader(data.torch(length=64), batch_size=32, num_workers=2)
            >>> for batch in loader:
            ...     loss = step(batch["qpos"], batch["qvel"])
        """
        require("torch", what="Dataset.torch()")
        from .torch_windows import TorchWindows

        windows = self.windows(length=length, stride=stride, arrays=arrays, held=held)
        return TorchWindows(windows, shuffle=shuffle)

    def jax(
        self, *, length: int, batch_size: int, stride: int | None = None, arrays: Sequence[str] = DEFAULT_ARRAYS,
        held: int = HELD_CLIPS, seed: int | None = 0, drop_last: bool = True,
    ) -> Iterator[Window]:  # fmt: skip
        """One epoch of batches of windows on JAX's default device.

        Args:
            length: Frames of a window.
            batch_size: Windows of a batch.
            stride: Frames between the beginnings of two windows; None for windows that do not overlap.
            arrays: Arrays of the clips, such as "qpos", "qvel", "activation".
            held: Number of clips that are in memory, and whose windows are mixed, at a time.
            seed: Seed of the order; give another one in every epoch. None for the order of the data set.
            drop_last: Leave out the last batch if it is smaller, so that all have one shape and compile once.

        Returns:
            Iterator over dictionaries of JAX arrays of shape (batch_size, length, ...) in the clips' units, metres and
            radians, and `clip` and `frame`, shape (batch_size,).

        Raises:
            SettingsError: If no clip is long enough, an array is unknown, or a number is not positive.

        Example:
            >>> for epoch in range(10):
            ...     for batch in data.jax(length=64, batch_size=32, seed=epoch):
            ...         state = update(state, batch["qpos"])
        """
        if batch_size < 1:
            raise SettingsError(f"batch_size has to be positive, got {batch_size}")
        import jax

        windows = self.windows(length=length, stride=stride, arrays=arrays, held=held)
        return map(jax.device_put, batches(windows.epoch(seed=seed), size=batch_size, drop_last=drop_last))

    def to_hub(
        self, repository: str, *, private: bool = False, infeasible: bool = False, licences: Sequence[str] = (),
        shares: Mapping[str, float] | None = None, seed: int = 0, description: str = "", parquet: bool = True,
    ) -> str:  # fmt: skip
        """Publish the data set on the Hugging Face hub, with the token of `hf auth login` or HF_TOKEN.

        A folder of clips is packed as by mm-pack: train, val and test splits by subject, hashes, a data set card,
        Croissant metadata, and Parquet tables with a row per frame, which the hub shows and streams. A bundle is
        uploaded as it is.

        Args:
            repository: OWNER/NAME; created if it does not exist.
            private: Create a private repository. Only then may it hold clips whose licence forbids redistribution or is
                unknown.
            infeasible: Include infeasible clips, too.
            licences: Licences of sources that state none, each as GLOB=LICENCE, such as "walks/*=CC-BY-4.0".
            shares: Fractions of the splits; None for {"train": 0.8, "val": 0.1, "test": 0.1}.
            seed: Seed of the split.
            description: Text of the card, in Markdown; generated if empty.
            parquet: Also upload Parquet tables; without them the hub shows the list of clips only.

        Returns:
            Address of the data set.

        Raises:
            SettingsError: If the data set has no folder, no clip is left, clips are damaged, or the licence of a clip
                does not allow publication.
            PublishError: If the hub refuses, or does not respond.

        Example:
            >>> mm.open("out/clips").to_hub("me/walks", licences=["*=CC-BY-4.0"])
        """
        from .hub import Publication, push_to_hub

        publication = Publication(
            private=private, infeasible=infeasible, licences=tuple(licences), shares=shares, seed=seed,
            description=description, parquet=parquet,
        )  # fmt: skip
        return push_to_hub(self, repository, publication)


def folder_reader(root: Path, hashes: Mapping[str, str | None]) -> Callable[[str], Clip]:
    """Return the function that reads clips of a folder, by their paths below it, and checks their hashes.

    It can be sent to other processes.
    """
    return partial(_read, root, dict(hashes))


def _read(root: Path, hashes: Mapping[str, str | None], name: str) -> Clip:
    return Clip.of(read_clip(root / name, sha256=hashes[name]))
