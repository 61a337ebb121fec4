"""Motions of the SMPL family in .npz archives: AMASS and the layouts of other tools."""

from pathlib import Path

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.motion import SourceMotion

from .motion_reader import MotionReader, ReadOptions, SourceFile


def _recognises(head: bytes, path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _read(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    return [
        read_motion(file.path, name=file.name, default_fps=options.default_fps, fps_override=options.source_fps)
    ]


NPZ = MotionReader(
    name="SMPL arrays, .npz",
    suffixes=(".npz",),
    written_by="AMASS",
    reads="Rotations and translation of SMPL, SMPL-H and SMPL-X, betas, gender, frame rate.",
    assumes="Z up, metres",
    recognises=_recognises,
    read=_read,
)
