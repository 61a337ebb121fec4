"""Formats of other programs that clips and tracked motions are exported to."""

from collections.abc import Callable
from dataclasses import dataclass

from musclemap.datasets.clip import Clip
from musclemap.datasets.formats.bvh import bvh_bytes
from musclemap.datasets.formats.export_body import ExportBody
from musclemap.datasets.formats.locomujoco import trajectory_arrays
from musclemap.datasets.formats.mjlab import mjlab_arrays
from musclemap.datasets.formats.npz import npz_bytes
from musclemap.datasets.formats.opensim import opensim_angles, opensim_companions, opensim_motion
from musclemap.datasets.formats.tables import csv_bytes, csv_companions, mot_bytes
from musclemap.datasets.formats.track_tables import csv_track, opensim_track
from musclemap.datasets.track_file import StoredTrack


@dataclass(frozen=True, kw_only=True)
class Format:
    """An export format.

    Attributes:
        extension: File name extension.
        description: Description.
        fingers: Whether the format supports finger joints.
        write: Encodes a clip as the bytes of a file.
        companions: Encodes other parts of the clip as further files, by the end of their names after the clip's.
        activations: Whether the files hold activations if the clip has them.
        write_tracked: Encodes a tracked motion, if that differs from `write`.
        tracks: Encodes excitations and activations of a track as further files, in place of `companions`.
    """

    extension: str
    description: str
    fingers: bool
    write: Callable[[Clip, ExportBody], bytes]
    companions: Callable[[Clip, ExportBody], dict[str, bytes]] = lambda _clip, _body: {}
    activations: bool = False
    write_tracked: Callable[[Clip, ExportBody], bytes] | None = None
    tracks: Callable[[Clip, StoredTrack], dict[str, bytes]] = lambda _clip, _track: {}


FORMATS = {
    "musclemimic": Format(
        extension=".npz",
        description="trajectory of MuscleMimic and LocoMuJoCo",
        fingers=False,
        write=lambda clip, body: npz_bytes(trajectory_arrays(clip, body)),
    ),
    "mjlab": Format(
        extension=".npz",
        description="motion of mjlab and BeyondMimic",
        fingers=True,
        write=lambda clip, body: npz_bytes(mjlab_arrays(clip, body)),
    ),
    "csv": Format(
        extension=".csv",
        description="table, one row per frame",
        fingers=True,
        write=csv_bytes,
        companions=csv_companions,
        tracks=csv_track,
    ),
    "mot": Format(extension=".mot", description="OpenSim motion, degrees", fingers=True, write=mot_bytes),
    "opensim": Format(
        extension=".mot",
        description="OpenSim motion, ground reaction, moments and activations",
        fingers=True,
        write=opensim_motion,
        companions=opensim_companions,
        activations=True,
        write_tracked=opensim_angles,
        tracks=opensim_track,
    ),
    "bvh": Format(extension=".bvh", description="skeleton of the landmarks", fingers=False, write=bvh_bytes),
}
