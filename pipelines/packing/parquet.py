"""The frames of a bundle's clips as Parquet tables, one row per frame, which the Hugging Face hub shows and streams.

    data/train-00000-of-00002.parquet

Columns: `clip` (path in the bundle), `frame`, `time` [s], then the arrays of the clip as lists of fixed size, vectors
as lists of three; null in a clip that lacks the array. The schema's metadata hold, under the key `musclemap`, the names
along each list. Each clip has row groups of its own, so it can be read alone.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.clip_schema import ARRAYS, CONTACTS, OPTIONAL, OPTIONAL_NAMES, dtype_of
from musclemap.errors import SettingsError

from .contents import PackContents, PackedClip
from .splits import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

FRAMES = "data"
"""Folder of the tables in a bundle."""

MEDIA_TYPE = "application/vnd.apache.parquet"

SHARD_BYTES = 2**29
"""Size of a file before compression [B]; the hub recommends files of some hundred megabytes."""

ROW_GROUP = 2**16
"""Most frames of a row group; a clip of eleven minutes at 100 Hz still has one."""

FORMAT, VERSION = "musclemap-frames", 1


def check_pyarrow() -> None:
    """Refuse to begin without the package that writes the tables.

    Raises:
        SettingsError: If it is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        raise SettingsError("Parquet tables need pyarrow: pip install 'musclemap[data]'") from error


def write_tables(root: Path, contents: PackContents, out: Path) -> dict[str, tuple[int, str, str]]:
    """Write the tables of all clips, with one clip in memory at a time.

    Args:
        root: Folder of the clips.
        contents: The clips, all of one body.
        out: Folder of the bundle.

    Returns:
        Size [bytes], SHA-256 and media type of each file, by its path in the bundle.

    Raises:
        SettingsError: If the clips are of several bodies, or pyarrow is not installed.
        ClipError: If a clip cannot be read.
        OSError: If a file cannot be written.
    """
    check_pyarrow()
    layout = _Layout(root, contents.clips)
    written = {}
    for split in SPLITS:
        shards = _shards([clip for clip in contents.clips if clip.split == split], layout.row_bytes)
        for number, clips in enumerate(shards):
            path = f"{FRAMES}/{split}-{number:05}-of-{len(shards):05}.parquet"
            written[path] = _write_shard(root, clips, layout, out / path)
    return written


class _Layout:
    """Columns of the tables: the arrays that any of the clips has, with their shapes and names."""

    def __init__(self, root: Path, clips: Sequence[PackedClip]) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.facts: dict[str, Any] = {}
        for packed in clips:
            self._add(_read(root, packed), packed.path)

    def _add(self, clip: Clip, path: str) -> None:
        facts = {
            "model": clip.model, "model_sha256": clip.model_sha256, "joint_names": list(clip.joint_names),
            "landmark_names": list(clip.landmark_names),
            **({"variant": clip.variant.canonical} if clip.variant else {}),
            **{key: list(names) for key in OPTIONAL_NAMES if (names := getattr(clip, key))},
        }  # fmt: skip
        shapes = {key: array.shape[1:] for key in (*ARRAYS, *OPTIONAL) if (array := getattr(clip, key)) is not None}
        differing = [key for key, value in facts.items() if self.facts.get(key, value) != value]
        differing += [key for key, shape in shapes.items() if self.shapes.get(key, shape) != shape]
        if differing:
            raise SettingsError(
                f"one table cannot hold clips of several bodies: {path} has another {differing[0]} than the clips "
                "before it; pack the clips of each body on their own"
            )
        self.facts |= facts
        self.shapes |= shapes

    @property
    def row_bytes(self) -> int:
        """Bytes of a row before compression."""
        return sum(math.prod(shape) * np.dtype(dtype_of(key)).itemsize for key, shape in self.shapes.items())

    def schema(self) -> "pa.Schema":
        """Schema of the tables."""
        import pyarrow as pa

        fields = [pa.field("clip", pa.string(), False), pa.field("frame", pa.int32(), False)]
        fields.append(pa.field("time", pa.float64(), False))
        for key in (*ARRAYS, *OPTIONAL):
            if key in self.shapes:
                kind: pa.DataType = pa.uint8() if dtype_of(key) is np.uint8 else pa.float32()
                for size in reversed(self.shapes[key]):
                    kind = pa.list_(kind, size)
                fields.append(pa.field(key, kind))
        facts = {"format": FORMAT, "version": VERSION, "contact_names": list(CONTACTS), **self.facts}
        return pa.schema(fields, {"musclemap": json.dumps(facts, sort_keys=True)})

    def table(self, clip: Clip, path: str) -> "pa.Table":
        """Rows of a clip."""
        import pyarrow as pa

        schema, frames = self.schema(), np.arange(clip.nframe)
        columns: dict[str, Any] = {"clip": pa.array([path] * clip.nframe, pa.string())}
        columns |= {"frame": pa.array(frames, pa.int32()), "time": pa.array(frames / clip.fps, pa.float64())}
        for key in self.shapes:
            array = getattr(clip, key)
            columns[key] = pa.nulls(clip.nframe, schema.field(key).type) if array is None else _lists(array)
        return pa.table([columns[name] for name in schema.names], schema=schema)


def _lists(array: np.ndarray) -> "pa.Array":
    """An array of shape (nframe, ...) as lists of fixed size."""
    import pyarrow as pa

    values: pa.Array = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in reversed(array.shape[1:]):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return values


def _shards(clips: Sequence[PackedClip], row_bytes: int) -> list[list[PackedClip]]:
    """Clips of each file, in their order."""
    shards: list[list[PackedClip]] = []
    size = 0
    for clip in clips:
        nbyte = clip.facts["nframe"] * row_bytes
        if not shards or size + nbyte > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(clip)
        size += nbyte
    return shards


def _write_shard(root: Path, clips: Sequence[PackedClip], layout: _Layout, path: Path) -> tuple[int, str, str]:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    schema = layout.schema()
    with path.open("xb") as file:
        # the bytes of floats are split before compression, as by the shuffle filter of the clips
        options = {"compression": "zstd", "use_dictionary": ["clip"], "use_byte_stream_split": _float_leaves(schema)}
        with pq.ParquetWriter(file, schema, **options) as writer:
            for table in _tables_of(root, clips, layout):
                writer.write_table(table, row_group_size=ROW_GROUP)
        file.flush()
        os.fsync(file.fileno())
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, sha256, MEDIA_TYPE


def _tables_of(root: Path, clips: Sequence[PackedClip], layout: _Layout) -> Iterator["pa.Table"]:
    for packed in clips:
        yield layout.table(_read(root, packed), packed.path)


def _float_leaves(schema: "pa.Schema") -> list[str]:
    """Paths of the columns of single-precision numbers, as Parquet names them inside lists."""
    import pyarrow as pa

    leaves = []
    for field in schema:
        kind, path = field.type, field.name
        while pa.types.is_fixed_size_list(kind):
            kind, path = kind.value_type, f"{path}.list.element"
        leaves += [path] if pa.types.is_float32(kind) else []
    return leaves


def _read(root: Path, packed: PackedClip) -> Clip:
    return read_clip(root / (packed.entry.clip or ""), sha256=packed.entry.clip_sha256)


def preview_header(files: Mapping[str, object]) -> list[str]:
    """Lines of the card's YAML header by which the hub shows the tables first, then the list of clips."""
    splits = [split for split in SPLITS if any(path.startswith(f"{FRAMES}/{split}-") for path in files)]
    lines = ["configs:", "- config_name: default"]
    if splits:
        lines += ["  data_files:"]
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {FRAMES}/{split}-*.parquet"]
        lines += ["- config_name: clips"]
    return [*lines, "  data_files: clips.csv"]

