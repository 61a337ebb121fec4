"""Where the markers of the known sets are on the body: one table, with one row per place.

A place is given on the left of the mean adult (1.70 m) in the neutral pose: upright, legs straight, arms level to the
sides, palms down. Sources:

- Vicon: Plug-in Gait Reference Guide, chapter on full-body marker placement.
- CMU: marker placement guide of the CMU Graphics Lab Motion Capture Database (41 markers).
- OpenCap: Uhlrich et al. 2023, PLoS Comput. Biol. 19:e1011462; marker set of its model LaiUhlrich2022, whose positions
  relative to the joint centres are used here for pelvis, knee, ankle and foot.
- Rajagopal: Rajagopal et al. 2016, IEEE Trans. Biomed. Eng. 63:2068; marker set of the model, which AddBiomechanics
  (Werling et al. 2023, PLoS ONE 18:e0295152) starts from.

Depths and breadths of head, trunk and arms, which these state in words only, are rounded values for the mean adult. All
positions are starting points: the calibration moves each marker to where it is on the subject.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MARKER_SETS = ("Plug-in Gait", "CMU 41", "OpenCap", "Rajagopal")
"""Sets in the order in which they are preferred if names fit several equally well."""

BONE, SKIN = 0.012, 0.05
"""Standard deviation of a marker's place [m]: over a bony landmark, and anywhere on the surface of a segment."""


@dataclass(frozen=True)
class Place:
    """A place on the body where sets have a marker.

    Attributes:
        segment: Joint of the SMPL family with whose segment the marker moves.
        start: Joint from which the place is given.
        end: Joint at the other end of the line along which `share` is measured.
        share: Fraction of the way from `start` to `end`.
        offset: From that point: to the subject's left, up, forward, shape (3,) [m].
        spread: Standard deviation of the place [m].
    """

    segment: str
    start: str
    end: str
    share: float
    offset: tuple[float, float, float]
    spread: float


def _at(segment: str, joint: str, *offset: float, spread: float = BONE) -> Place:
    x, y, z = offset
    return Place(segment, joint, joint, 0.0, (x, y, z), spread)


def _between(segment: str, end: str, share: float, *offset: float) -> Place:
    x, y, z = offset
    return Place(segment, segment, end, share, (x, y, z), SKIN)


_TABLE: tuple[tuple[Place, tuple[str, str, str, str]], ...] = (
    # Place, and names in Plug-in Gait, CMU 41, OpenCap (without the ending _study) and Rajagopal's model
    (_at("pelvis", "pelvis", 0.128, 0.002, 0.084), ("LASI", "LFWT", "L.ASIS", "LASI")),
    (_at("pelvis", "pelvis", 0.050, 0.017, -0.098), ("LPSI", "LBWT", "L.PSIS", "LPSI")),
    (_at("pelvis", "pelvis", 0.0, 0.010, -0.105), ("SACR", "", "", "")),
    (_at("pelvis", "left_hip", 0.0, 0.0, 0.0), ("", "", "LHJC", "LHJC")),
    (_between("left_hip", "left_knee", 0.5, 0.080, 0.0, 0.0), ("LTHI", "LTHI", "L_thigh1", "LTH1")),
    (_between("left_hip", "left_knee", 0.6, 0.050, 0.0, 0.060), ("", "", "L_thigh2", "LTH2")),
    (_between("left_hip", "left_knee", 0.7, 0.065, 0.0, 0.0), ("", "", "L_thigh3", "LTH3")),
    (_between("left_hip", "left_knee", 0.7, 0.040, 0.0, 0.050), ("", "", "", "LTH4")),
    (_at("left_hip", "left_knee", 0.055, 0.005, 0.012), ("LKNE", "LKNE", "L_knee", "LLFC")),
    (_at("left_hip", "left_knee", -0.055, 0.008, 0.015), ("LKNM", "", "L_mknee", "LMFC")),
    (_at("left_hip", "left_knee", 0.0, 0.0, 0.0), ("", "", "", "LKJC")),
    (_between("left_knee", "left_ankle", 0.5, 0.055, 0.0, 0.0), ("LTIB", "LSHN", "L_sh1", "LTB1")),
    (_between("left_knee", "left_ankle", 0.4, 0.010, 0.0, 0.050), ("", "", "L_sh2", "LTB2")),
    (_between("left_knee", "left_ankle", 0.6, 0.040, 0.0, 0.0), ("", "", "L_sh3", "LTB3")),
    (_at("left_knee", "left_ankle", 0.053, 0.015, -0.010), ("LANK", "LANK", "L_ankle", "LLMAL")),
    (_at("left_knee", "left_ankle", -0.038, 0.020, 0.016), ("LMED", "", "L_mankle", "LMMAL")),
    (_at("left_knee", "left_ankle", 0.0, 0.0, 0.0), ("", "", "", "LAJC")),
    (_at("left_ankle", "left_ankle", -0.003, -0.015, -0.081), ("LHEE", "LHEE", "L_calc", "LCAL")),
    (_at("left_ankle", "left_foot", 0.013, 0.010, 0.011), ("LTOE", "LTOE", "L_toe", "LTOE")),
    (_at("left_ankle", "left_foot", 0.060, 0.004, -0.036), ("LMT5", "LMT5", "L_5meta", "LMT5")),
    (_at("left_ankle", "left_foot", -0.035, 0.010, 0.005), ("LMT1", "LMT1", "", "LMT1")),
    (_at("spine3", "neck", 0.0, 0.0, -0.065), ("C7", "C7", "C7", "C7")),
    (_at("spine3", "spine3", 0.0, -0.010, -0.095), ("T10", "T10", "", "T10")),
    (_at("spine3", "neck", 0.0, -0.085, 0.050), ("CLAV", "CLAV", "", "CLAV")),
    (_at("spine3", "spine3", 0.0, 0.0, 0.105), ("STRN", "STRN", "", "STRN")),
    (_at("spine3", "spine3", -0.080, 0.100, -0.100, spread=SKIN), ("RBAK", "RBAC", "", "")),
    (_at("left_collar", "left_shoulder", 0.0, 0.040, 0.0), ("LSHO", "LSHO", "L_shoulder", "LACR")),
    (_at("left_collar", "left_shoulder", 0.0, 0.0, 0.050, spread=0.025), ("", "", "", "LASH")),
    (_at("left_collar", "left_shoulder", 0.0, 0.0, -0.050, spread=0.025), ("", "", "", "LPSH")),
    (_at("left_collar", "left_shoulder", 0.0, 0.0, 0.0), ("", "", "", "LSJC")),
    (_between("left_shoulder", "left_elbow", 0.5, 0.0, 0.045, 0.0), ("LUPA", "LUPA", "", "LUA1")),
    (_between("left_shoulder", "left_elbow", 0.4, 0.0, 0.0, -0.045), ("", "", "", "LUA2")),
    (_between("left_shoulder", "left_elbow", 0.6, 0.0, 0.040, 0.0), ("", "", "", "LUA3")),
    (_at("left_shoulder", "left_elbow", 0.0, 0.038, 0.0), ("LELB", "LELB", "L_lelbow", "LLEL")),
    (_at("left_shoulder", "left_elbow", 0.0, -0.042, 0.0), ("", "", "L_melbow", "LMEL")),
    (_at("left_shoulder", "left_elbow", 0.0, 0.0, 0.0), ("", "", "", "LEJC")),
    (_between("left_elbow", "left_wrist", 0.5, 0.0, 0.035, 0.0), ("LFRM", "LFRM", "", "LFAsuperior")),
    (_at("left_elbow", "left_wrist", 0.0, 0.005, 0.035), ("LWRA", "LWRA", "L_lwrist", "LFAradius")),
    (_at("left_elbow", "left_wrist", 0.0, 0.005, -0.035), ("LWRB", "LWRB", "L_mwrist", "LFAulna")),
    (_at("left_wrist", "left_wrist", 0.085, 0.015, 0.020), ("LFIN", "LFIN", "", "")),
    (_at("head", "head", 0.070, 0.050, 0.080), ("LFHD", "LFHD", "", "")),
    (_at("head", "head", 0.070, 0.050, -0.080), ("LBHD", "LBHD", "", "")),
)  # fmt: skip
"""The left side and the middle; places of the right side are mirrored. A backpack marker has its own side."""

_OTHER_NAMES = {"LHEL": "LHEE", "RHEL": "RHEE", "LKNEE": "LKNE", "RKNEE": "RKNE"}
"""Spellings in use of names of the table."""

_MIDDLE = frozenset(("SACR", "C7", "T10", "CLAV", "STRN", "RBAK", "RBAC"))


@dataclass(frozen=True, kw_only=True)
class MarkerSet:
    """Markers of a recording that belong to one set.

    Attributes:
        name: Name of the set.
        labels: Labels of the recording, shape (nmarker,).
        columns: Their columns in the recording.
        places: Their places.
    """

    name: str
    labels: tuple[str, ...]
    columns: tuple[int, ...]
    places: tuple[Place, ...]


def find_marker_set(labels: Sequence[str]) -> MarkerSet:
    """The set to which most labels belong, and which marker of it each label is.

    A prefix up to a colon (the subject's name in Vicon's files), an ending _study (OpenCap's) and case do not matter.
    Of labels that occur twice, the first counts.

    Args:
        labels: All labels of a recording.

    Returns:
        The set, possibly without markers.
    """
    plain = [_plain(label) for label in labels]
    found: list[tuple[str, list[int], list[Place]]] = []
    for k, name in enumerate(MARKER_SETS):
        places = {_plain(key): place for key, place in _places(k)}
        columns = [column for column, key in enumerate(plain) if key in places and plain.index(key) == column]
        found.append((name, columns, [places[plain[column]] for column in columns]))
    name, columns, places = max(found, key=lambda each: len(each[1]))
    return MarkerSet(name=name, labels=tuple(labels[k] for k in columns), columns=tuple(columns), places=tuple(places))


def _places(which: int) -> Iterator[tuple[str, Place]]:
    """Names and places of a set, both sides."""
    for place, names in _TABLE:
        name = names[which]
        if name:
            yield name, place
        if name and name not in _MIDDLE:
            yield f"R{name[1:]}", _mirrored(place)


def _mirrored(place: Place) -> Place:
    right = lambda joint: joint.replace("left_", "right_")  # noqa: E731
    x, y, z = place.offset
    return Place(right(place.segment), right(place.start), right(place.end), place.share, (-x, y, z), place.spread)


def _plain(label: str) -> str:
    """A label as it is compared."""
    name = label.rpartition(":")[2].strip()
    name = _OTHER_NAMES.get(name.upper(), name)
    return name.casefold().removesuffix("_study")
