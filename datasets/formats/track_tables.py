"""Excitations and activations of a track as tables of other programs, with the muscles of the simulated body."""

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import StoredTrack

from .opensim import sto_bytes
from .tables import clip_times, table_text

_EXCITATIONS = "Excitations from 0 to 1, each held until the next row; from the state of the first row they cause the"
_ACTIVATIONS = "Activations from 0 to 1 of the simulated body that follows the clip. Feedback may contract muscles and"


def opensim_track(clip: Clip, track: StoredTrack) -> dict[str, bytes]:
    """Encode the excitations and activations as one storage file of OpenSim each, by the end of its name.

    Args:
        clip: Tracked motion, from `tracked_clip`.
        track: Its track.

    Raises:
        ClipError: If a muscle's name cannot be a heading.
    """
    times, names = clip_times(clip), track.muscle_names
    excitation_notes = [_EXCITATIONS, "motion of the .mot file without further input, in MuJoCo."]
    activation_notes = [_ACTIVATIONS, "their antagonists together; this is not the least effort, unlike mm-validate."]
    return {
        "_excitations.sto": sto_bytes("excitations", names, times[:-1], track.excitation, excitation_notes),
        "_activations.sto": sto_bytes("activations", names, times, track.tracked_act, activation_notes),
    }


def csv_track(clip: Clip, track: StoredTrack) -> dict[str, bytes]:
    """Encode the excitations and activations as one table each, by the end of the file name.

    Args:
        clip: Tracked motion, from `tracked_clip`.
        track: Its track.

    Raises:
        ClipError: If a muscle's name cannot be a heading.
    """
    times, columns = clip_times(clip), ("time", *track.muscle_names)
    tables = {"_excitations.csv": (times[:-1], track.excitation), "_activations.csv": (times, track.tracked_act)}
    return {
        end: table_text(columns, rows, np.asarray(values, np.float64), separator=",", number="%.9g").encode()
        for end, (rows, values) in tables.items()
    }
