"""Which joint of a source's skeleton is which joint of the SMPL family, and the TOML file that says so.

A joint-map file has one table. Names on the left are those of the SMPL family, names on the right those of the source:

    [joints]
    pelvis = "Hips"
    left_hip = "LeftUpLeg"
    ...

Joints that the source lacks are left out, except those in `REQUIRED`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from musclemap.datasets.atomic_file import write_atomically
from musclemap.errors import FileError, SettingsError, SourceError
from musclemap.failures import Failure
from musclemap.files import read_bytes, shown
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS, HAND_NAMES
from musclemap.toml_text import parse_toml, toml_lines

REQUIRED = (
    "pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
"""Joints that every source must have; the others can be placed between them."""

ALL_NAMES = BODY_NAMES + HAND_NAMES["left"] + HAND_NAMES["right"]
"""Names that a map may have: the body's 22, then the fingers'."""

MAX_MAP_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class JointMap:
    """A mapping of joints.

    Attributes:
        family: Name of the skeleton's family, "file" for a map from a file, or "guess".
        joints: Name of the source's joint by name of the SMPL family's.
    """

    family: str
    joints: Mapping[str, str]

    @property
    def pairs(self) -> tuple[str, ...]:
        """Each joint as text such as "pelvis = Hips", in the order of `ALL_NAMES`."""
        return tuple(f"{key} = {self.joints[key]}" for key in ALL_NAMES if key in self.joints)

    def indices(self, names: Sequence[str], parents: Sequence[int]) -> dict[str, int]:
        """Index of the source's joint by name of the SMPL family's.

        Args:
            names: The source's joints.
            parents: Index of the joint above each, -1 for the root.

        Raises:
            SourceError: If the source lacks a joint of the map, or a limb is not below the joint that carries it
                ("unknown_skeleton").
        """
        missing = [f"{joint} ({key})" for key, joint in self.joints.items() if joint not in names]
        if missing:
            raise SourceError(
                ReasonCode.UNKNOWN_SKELETON,
                f"the skeleton has no joint {', '.join(missing[:5])}; its joints are {shown(', '.join(names))}",
            )
        index = {key: names.index(joint) for key, joint in self.joints.items()}
        for key, joint in index.items():
            above = BODY_NAMES[BODY_PARENTS[BODY_NAMES.index(key)]] if key in BODY_NAMES[1:] else None
            if above in REQUIRED and above in index and index[above] not in ancestors(parents, joint):
                raise SourceError(
                    ReasonCode.UNKNOWN_SKELETON,
                    f"{names[joint]} ({key}) is not below {names[index[above]]} ({above}) in the skeleton",
                )
        return index


def ancestors(parents: Sequence[int], joint: int) -> list[int]:
    """Joints above a joint, the nearest first."""
    above = []
    while (joint := parents[joint]) >= 0:
        above.append(joint)
    return above


def load_joint_map(path: Path) -> JointMap:
    """Read a joint-map file.

    Raises:
        SettingsError: If the file cannot be read, is not such a file, has an unknown name or lacks a required one; the
            message lists the names.
    """
    try:
        text = read_bytes(path, limit=MAX_MAP_BYTES).decode("utf-8")
    except (FileError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the joint map: {error}") from error
    tree = parse_toml(text)
    if isinstance(tree, Failure):
        raise SettingsError(f"{path} is not TOML: {tree.message}")
    joints = tree.get("joints")
    if set(tree) != {"joints"} or not isinstance(joints, dict):
        raise SettingsError(f"{path} has the tables {shown(', '.join(tree))}; a joint map has one table, [joints]")
    return _checked(joints, where=str(path))


def joint_map_of(pairs: Iterable[str]) -> JointMap:
    """Joint map from `JointMap.pairs`.

    Raises:
        SettingsError: As `load_joint_map`, except for the file.
    """
    split = [pair.partition("=") for pair in pairs]
    return _checked({key.strip(): joint.strip() for key, _, joint in split}, where="the joint map")


def _checked(joints: Mapping[str, object], *, where: str) -> JointMap:
    named = {key: joint for key, joint in joints.items() if key in ALL_NAMES and isinstance(joint, str) and joint}
    for key, joint in joints.items():
        if key not in named:
            raise SettingsError(f"{where}: {key} = {shown(joint)}; names are {', '.join(BODY_NAMES)} and the fingers'")
    missing = [key for key in REQUIRED if key not in named]
    if missing:
        raise SettingsError(f"{where} lacks {', '.join(missing)}")
    twice = [joint for joint, count in Counter(named.values()).items() if count > 1]
    if twice:
        raise SettingsError(f"{where} uses {', '.join(twice)} more than once")
    return JointMap(family="file", joints=named)


def save_joint_map(path: Path, joint_map: JointMap) -> None:
    """Write a joint-map file, to be edited and read by `load_joint_map`."""
    ordered = {key: joint_map.joints[key] for key in ALL_NAMES if key in joint_map.joints}
    write_atomically(path, "\n".join([*toml_lines({"joints": ordered}), ""]).lstrip("\n").encode())
