"""Muscles of a scaled body: optimal fibre lengths, tendon slack lengths and peak forces.

MuJoCo's muscle has no fibre length of its own. Its `lengthrange` [m] and its operating `range`, in optimal fibre
lengths, give the optimal fibre length L0 and the tendon slack length LT (`mju_muscleGain`):

    L0 = (lengthrange[1] - lengthrange[0]) / (range[1] - range[0]),   LT = lengthrange[0] - range[0] L0

and the normalised fibre length of a path of length L is (L - LT) / L0.
"""

import warnings
from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.skeletons.reduced import ReducedCoordinates

_PEAK = 2
"""Index of the peak force [N] among a muscle's parameters."""

FORCE_METHODS = ("mass-height", "mass")
"""How peak forces follow from the subject's size; see `force_ratio`."""

_VOLUME_SLOPE, _VOLUME_OFFSET = 47.05, 1289.6
"""Volume of the muscles of a leg by mass times height [cm^3/(kg m)], [cm^3]: the regression of Handsfield et al. 2014
(J Biomech 47:631-638, doi:10.1016/j.jbiomech.2013.12.002), as programs that scale OpenSim's models use it."""

_SAMPLES = 512
"""Configurations at which paths are compared, a power of two for Sobol's sequence."""

_ROUNDS = 3
"""Rounds of the fit; frames with outliers are left out of all but the first."""

_DIGITS = 6
"""Decimals of slope and offset [m]: the last bits of lengths differ between processors, the hash of a body must not."""

_OUTLIER = 6.0
"""Deviation from the line, in medians, beyond which a path has slipped: four standard deviations of a normal error."""


@dataclass(frozen=True, kw_only=True)
class FibreFit:
    """Path lengths of the scaled body as `slope * unscaled + offset`, the best line over the joints' ranges.

    Attributes:
        slope: Ratio of optimal fibre lengths, shape (nu,).
        offset: Shift of the tendon's length [m], shape (nu,).
    """

    slope: np.ndarray
    offset: np.ndarray


def joint_samples(reduced: ReducedCoordinates, *, count: int = _SAMPLES, first: int = 0) -> np.ndarray:
    """Configurations spread over the ranges of all independent joints, shape (count, 7 + njoint).

    Args:
        reduced: Coordinates.
        count: Number of configurations.
        first: How many members of the Sobol sequence to leave out before them.
    """
    from scipy.stats import qmc  # here, because it takes as long to import as MuJoCo

    sequence = qmc.Sobol(reduced.njoint, scramble=False)  # not scrambled: a body's parameters are reproducible
    if first:
        sequence.fast_forward(first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of counts that are no power of two
        unit = sequence.random(count)
    joints = reduced.lower + unit * (reduced.upper - reduced.lower)
    root = np.tile([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (count, 1))
    return np.concatenate([root, joints], axis=1)


def path_lengths(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """Length of each muscle's path [m], shape (nframe, nu).

    Args:
        model: The model.
        qpos: Configurations, shape (nframe, nq).
    """
    data, result = mujoco.MjData(model), np.empty((len(qpos), model.nu))
    for row, q in zip(result, qpos, strict=True):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)  # moment arms need it; MuJoCo computes both together
        mujoco.mj_tendon(model, data)
        mujoco.mj_transmission(model, data)
        row[:] = data.actuator_length
    return result


def fit_fibres(unscaled: np.ndarray, scaled: np.ndarray, *, lowest: float, highest: float) -> FibreFit:
    """Fit the muscles' lengths so that normalised fibre lengths are those of the unscaled body.

    Both optimal fibre length and tendon slack length follow from a least-squares fit over the joints' whole range, in
    the manner of Modenese et al. 2016 (J Biomech 49:141-148, doi:10.1016/j.jbiomech.2015.11.006), who generalise Winby
    et al. 2008. They fit normalised fibre lengths with pennation; MuJoCo's muscles have none, which leaves a line.
    Frames in which a path slips over the bone that it wraps on one of the two bodies only are left out.

    Args:
        unscaled: Path lengths of the unscaled body [m], shape (nframe, nu).
        scaled: Path lengths of the scaled body at the same joint angles [m], same shape.
        lowest: Smallest scale factor of the body's segments, which bounds the slope.
        highest: Largest one.
    """
    weight = np.ones_like(unscaled)
    slope = offset = np.zeros(unscaled.shape[1])
    for _ in range(_ROUNDS):
        total = weight.sum(axis=0)
        mean, ref = (weight * unscaled).sum(axis=0) / total, (weight * scaled).sum(axis=0) / total
        spread = (weight * (unscaled - mean) ** 2).sum(axis=0)
        covariance = (weight * (unscaled - mean) * (scaled - ref)).sum(axis=0)
        slope = np.clip(covariance / np.maximum(spread, 1e-12), lowest, highest)
        offset = ref - slope * mean
        error = np.abs(scaled - slope * unscaled - offset)
        usual = np.median(error, axis=0)
        weight = (error <= _OUTLIER * usual + 1e-6).astype(float)
    return FibreFit(slope=np.round(slope, _DIGITS), offset=np.round(offset, _DIGITS))


def force_ratio(
    fibre: np.ndarray, *, method: str, mass: float, height: float, released: tuple[float, float]
) -> np.ndarray:  # fmt: skip
    """Ratio of peak forces to those of the released body, shape (nu,).

    With "mass-height", muscles have the volume of the regression of Handsfield et al. 2014 over mass times height, and
    peak force is proportional to volume per fibre length. The regression is that of legs, used for all muscles. With
    "mass", it grows with mass to the power of 2/3, like areas of similar bodies.

    Args:
        fibre: Ratio of optimal fibre lengths, shape (nu,).
        method: One of `FORCE_METHODS`.
        mass: Mass of the person [kg].
        height: Height of the person [m].
        released: Mass [kg] and height [m] of the released body.
    """
    if method == "mass":
        return np.full_like(fibre, (mass / released[0]) ** (2 / 3))
    volumes = [_VOLUME_SLOPE * m * h + _VOLUME_OFFSET for m, h in ((mass, height), released)]
    return volumes[0] / volumes[1] / fibre


def scale_muscles(spec: mujoco.MjSpec, model: mujoco.MjModel, fit: FibreFit, force: np.ndarray) -> None:
    """Give muscles their lengths and peak forces, in place.

    Args:
        spec: Specification of the scaled model.
        model: The unscaled model.
        fit: Lengths.
        force: Ratio of peak forces, shape (nu,).
    """
    for item in spec.actuators:
        k = model.actuator(item.name).id
        item.lengthrange = fit.slope[k] * model.actuator_lengthrange[k] + fit.offset[k]
        item.gainprm[_PEAK] *= force[k]
        item.biasprm[_PEAK] *= force[k]
