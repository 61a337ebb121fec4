"""Measured ground forces of a motion while it is converted: in the clip's world, and in the frame of the fit."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion, SourceWarning
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.forces.bearing import detect_bearing
from musclemap.retarget.forces.contact_forces import GRAVITY
from musclemap.retarget.forces.measured import ClipPlates, FeetOfBoth, KnownForces, known_forces, place_plates
from musclemap.retarget.forces.plates_under_feet import FEET
from musclemap.retarget.forces.required_forces import required_forces
from musclemap.retarget.targets.landmark_targets import MotionTargets
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.source_kinematics import source_fk

OVERHANG = 0.05
"""Distance of heel or toes from the plate from which a foot is partly beside it [m]: joints of markers are some
centimetres off, and the edge of a shoe that is over the edge of a plate bears little."""

LEAST_OVERHANG = 0.1
"""Shortest time for which that is said [s]."""


@dataclass(frozen=True, kw_only=True)
class FittedPlates:
    """Measured forces beside a fit.

    Attributes:
        placed: Forces as the clip stores them, in its world (overground, if it was recorded on a treadmill).
        known: Forces on the body's feet in the frame of the fit; None if the mass of the subject is unknown.
        warnings: What could not be used, and why.
    """

    placed: ClipPlates
    known: KnownForces | None
    warnings: tuple[SourceWarning, ...]


def fitted_plates(
    body: TargetBody, motion: SourceMotion, targets: MotionTargets, q: np.ndarray, *, subject: np.ndarray,
    fitted: np.ndarray,
) -> FittedPlates:  # fmt: skip
    """Place measured forces under a fit.

    Args:
        body: Target body with feet.
        motion: Source at the clip's frame rate, with forces.
        targets: Targets of the fit.
        q: Configurations of the fit, shape (nframe, 7 + njoint).
        subject: Rest joints of the subject, shape (22, 3) [m].
        fitted: Rest joints of the skeleton with the body's proportions, shape (22, 3) [m].
    """
    assert motion.forces is not None
    required = required_forces(body, body.reduced.expand(q), targets.fps)
    load = required.wrench[:, 2] / (body.mass * GRAVITY)
    bearing = detect_bearing(body.support, required.points, load, required.com, targets.fps, held=targets.held)
    rot, scale = Rotation.from_euler("z", targets.heading).as_matrix(), targets.stance.scale
    pelvis = motion.trans + subject[0]
    path = np.arange(targets.nframe)[:, None] / targets.fps * (rot[:, :2] @ targets.travel)
    root = scale * pelvis - [0.0, 0.0, targets.stance.floor]  # as in `build_targets`, in the world, without the path
    feet = FeetOfBoth(
        source=_feet(motion.rotvec, subject) + pelvis[:, None, None],
        clip=_feet(motion.rotvec, fitted) + root[:, None, None],
        travel=path,
        sole=np.stack([required.points[:, body.support.part == foot, 2].min(axis=1) for foot in range(2)], axis=1),
        bearing=bearing,
        height=required.com[:, 2],
    )
    placed = place_plates(motion.forces, feet, targets.fps, scale=scale)
    known = known_forces(placed, body, bearing, scale=scale)
    return FittedPlates(
        placed=placed,
        known=None if known is None else known.in_frame(rot, targets.origin),
        warnings=_warnings(placed, known, targets.fps),
    )


def _feet(rotvec: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Ankle and ball of both feet relative to the pelvis, shape (nframe, 2, 2, 3) [m]."""
    xpos, _ = source_fk(rotvec, np.broadcast_to(-joints[0], (len(rotvec), 3)), joints)
    return np.stack([xpos[:, [BODY_NAMES.index(f"{side}_{part}") for part in ("ankle", "foot")]] for side in FEET], 1)


def _warnings(placed: ClipPlates, known: KnownForces | None, fps: float) -> tuple[SourceWarning, ...]:
    """Sentences about frames in which forces are measured and cannot be used."""
    texts = []
    loaded = placed.plates.loaded
    if known is None:
        texts.append(
            "the subject's mass is not stated, and the plates never bear the whole body for long enough to show it: "
            "measured forces are kept and not used; to state it, add --mass"
        )
    both = np.asarray(placed.foot.all(axis=2))
    shared = (both & loaded).any(axis=1)
    if shared.any():
        texts.append(
            f"for {shared.sum() / fps:.2f} s both feet may be on one force plate, which cannot tell them apart: forces "
            "are estimated there"
        )
    missing = both.all(axis=1) & ~loaded.any(axis=1)
    if missing.any():
        texts.append(f"ground forces are not recorded for {missing.sum() / fps:.2f} s: they are estimated there")
    stray = loaded & ~placed.foot.any(axis=2)
    if stray.any():
        names = ", ".join(name for name, on in zip(placed.plates.names, stray.T, strict=True) if on.any())
        texts.append(
            f"{names} is loaded for {stray.any(axis=1).sum() / fps:.2f} s where no foot is: ignored there; check that "
            "forces and motion have the same axes and times"
        )
    for side, over in zip(FEET, placed.overhang.T, strict=True):
        beside = over > OVERHANG
        if beside.sum() > LEAST_OVERHANG * fps:
            texts.append(
                f"for {beside.sum() / fps:.2f} s the {side} foot reaches {100 * np.median(over[beside]):.0f} cm over "
                "the edge of its force plate, which then misses a part of the force: it is used as measured; to "
                "estimate it, add --forces estimated"
            )
    return tuple(SourceWarning(ReasonCode.BAD_FORCES, text) for text in texts)
