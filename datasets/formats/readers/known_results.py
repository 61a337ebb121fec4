"""Results of programs and data sets that hold poses but no motion in the world, named by keys that only they have."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from musclemap.errors import FileError, SourceError
from musclemap.reason_codes import ReasonCode

MAX_DEPTH, MAX_ITEMS = 5, 30
"""How deep keys are looked for, and in how many entries of each dictionary or list."""

_IN_WORLD = "give the result of an estimator in the world, such as GVHMR, WHAM, PromptHMR or SLAHMR"


@dataclass(frozen=True)
class KnownResult:
    """A kind of result that is refused.

    Attributes:
        keys: Keys that a file of this kind has, each as the alternatives of which one is enough.
        sentence: What it is, and what to give instead.
    """

    keys: tuple[frozenset[str], ...]
    sentence: str


def _with(*keys: str, sentence: str) -> KnownResult:
    return KnownResult(tuple(frozenset(key.split("|")) for key in keys), sentence)


KNOWN_RESULTS = (
    _with("dof|dof_pos", "root_rot|root_trans_offset",
          sentence="it is a motion of a robot (dof), not of a person: give the human motion that it was made from"),
    _with("Rh", "Th", "poses",
          sentence="it is EasyMocap's result, whose Rh turns the body about the origin of the world, not the pelvis: "
          "with J0 the pelvis of the rest pose, save poses with Rh as first rotation, and trans = Th + R(Rh) J0 - J0"),
    _with("pred_pose|pred_rotmat", "pred_trans",
          sentence="it is a track of TRAM in the camera's frame: combine it with camera.npy as TRAM's viewer does, "
          "and save poses and trans in the world"),
    _with("tid|tracked_ids", "smpl", "camera",
          sentence=f"it is a track of 4D-Humans (PHALP), one pose per image in the camera's frame: {_IN_WORLD}"),
    _with("pred_output_list",
          sentence=f"it is one frame of FrankMocap in the camera's frame: {_IN_WORLD}"),
    _with("pred_cam|pred_camera|orig_cam|pred_cam_t|pred_pose",
          sentence=f"it is the result of an estimator in the camera's frame (as of VIBE, PARE, HMR 2.0): {_IN_WORLD}"),
    _with("motion", "lengths", "text",
          sentence="it holds the joint positions of a generator (as of MDM): run its SMPL fit (visualize.render_mesh) "
          "and give the *_smpl_params.npy"),
    _with("joints3D|joints3d", "poses",
          sentence="it holds poses without a translation (as HumanAct12): give the motions they were made from"),
)  # fmt: skip
"""Kinds in the order in which they are compared. Layouts: the programs' own code at release."""


def keys_of(content: Any, depth: int = 0) -> set[str]:
    """Names of the entries of nested dictionaries and lists, from the first few entries of each."""
    if depth == MAX_DEPTH or not isinstance(content, dict | list):
        return set()
    named = {key for key in content if isinstance(key, str)} if isinstance(content, dict) else set()
    values = list(content.values()) if isinstance(content, dict) else content
    return named.union(*(keys_of(value, depth + 1) for value in values[:MAX_ITEMS]))


def refuse_known_result(keys: Iterable[str], error: SourceError | FileError) -> None:
    """Refuse a file that cannot be read by what it is, if its keys tell ("unsupported_format").

    Args:
        keys: Names of its entries.
        error: Why it cannot be read.
    """
    if error.code not in (ReasonCode.MISSING_KEY, ReasonCode.AMBIGUOUS_LAYOUT):
        return
    have = set(keys)
    for kind in KNOWN_RESULTS:
        if all(have & alternatives for alternatives in kind.keys):
            raise SourceError(ReasonCode.UNSUPPORTED_FORMAT, kind.sentence) from error
