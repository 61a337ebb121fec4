"""Muscles as line segments along their wrapped paths, and the colours of muscles."""

from dataclasses import dataclass

import mujoco
import numpy as np

from .colour_map import activation_rgb

SHORT_RGB, MIDDLE_RGB, LONG_RGB = (0.10, 0.32, 0.88), (0.62, 0.56, 0.62), (0.88, 0.10, 0.08)
"""Colours at the lower end, the middle and the upper end of a muscle's operating range."""
PASSIVE_RGB = (0.36, 0.39, 0.42)
"""Colour of tendons without a muscle, such as ligaments."""

REST_WIDTH, FULL_WIDTH = 0.7, 1.9
"""Width of a muscle at activation 0 and 1, relative to its width in the model: what is active stands out."""

_SPATIAL = [int(getattr(mujoco.mjtWrap, f"mjWRAP_{name}")) for name in ("SITE", "SPHERE", "CYLINDER")]


class MusclePaths:
    """All tendons of a body as one array of segments with the same shape in every frame.

    A path has more points while it wraps around a bone. Each tendon therefore has a fixed number of segments, the most
    it can need (a site gives one point, a wrapped geom two); unused segments repeat the last one, which leaves the
    picture unchanged.

    Attributes:
        tendon: Tendon of every segment, shape (nsegment,).
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        points = np.where(model.wrap_type == mujoco.mjtWrap.mjWRAP_SITE, 1, 2) * np.isin(model.wrap_type, _SPATIAL)
        capacity = np.array([
            max(points[adr : adr + num].sum() - 1, 0)
            for adr, num in zip(model.tendon_adr, model.tendon_num, strict=True)
        ])  # fmt: skip
        self.tendon = np.repeat(np.arange(model.ntendon), capacity)
        self._index = np.arange(capacity.sum()) - np.repeat(np.cumsum(capacity) - capacity, capacity)

    def segments(self, data: mujoco.MjData) -> np.ndarray:
        """Both ends of every segment [m], shape (nsegment, 2, 3), world frame. Call `mj_tendon` on `data` first."""
        point, wrapped = data.wrap_xpos.reshape(-1, 3), data.wrap_obj.reshape(-1)
        last = np.maximum(data.ten_wrapnum[self.tendon] - 2, 0)
        start = data.ten_wrapadr[self.tendon] + np.minimum(self._index, last)
        ends = np.stack([point[start], point[start + 1]], axis=1)
        gap = (wrapped[start] == -2) | (wrapped[start + 1] == -2)  # a pulley: the path continues elsewhere
        ends[gap, 1] = ends[gap, 0]
        return ends


@dataclass(frozen=True, kw_only=True, eq=False)
class TendonLook:
    """How the tendons of a motion are drawn."""

    rgb: np.ndarray
    """Colours, shape (nframe, ntendon, 3) uint8."""
    width: np.ndarray
    """Width relative to that in the model, shape (nframe, ntendon)."""


class MuscleColours:
    """Colours of tendons by the length or activation of their muscles. Actuators without a tendon are ignored."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._actuator = np.flatnonzero(model.actuator_trntype == mujoco.mjtTrn.mjTRN_TENDON)
        self._tendon = model.actuator_trnid[self._actuator, 0]
        self._gear = model.actuator_gear[self._actuator, 0]
        self._range = model.actuator_lengthrange[self._actuator]
        self._ntendon = model.ntendon

    def fraction(self, ten_length: np.ndarray) -> np.ndarray:
        """Normalised length of every muscle, 0 to 1 over its operating range, shape (nmuscle,).

        The range is MuJoCo's `actuator_lengthrange`, the domain of the muscle's force-length curve.
        """
        low, high = self._range.T
        length = ten_length[self._tendon] * self._gear
        return np.divide(length - low, high - low, out=np.full(len(low), 0.5), where=high > low)

    def by_length(self, ten_length: np.ndarray) -> np.ndarray:
        """Colours from blue (short) through grey to red (long), shape (ntendon, 3) uint8."""
        scale = zip(SHORT_RGB, MIDDLE_RGB, LONG_RGB, strict=True)
        bands = [np.interp(self.fraction(ten_length), (0.0, 0.5, 1.0), band) for band in scale]
        return self._paint(np.stack(bands, axis=-1))

    def by_activation(self, activation: np.ndarray) -> np.ndarray:
        """Colours from pale (rest) to dark red (fully active) for activations of shape (..., nu).

        Returns:
            Colours of the tendons, shape (..., ntendon, 3) uint8.
        """
        return self._paint(activation_rgb(activation[..., self._actuator]))

    def look(self, activation: np.ndarray) -> TendonLook:
        """Colours and widths of the tendons for activations of a motion, shape (nframe, nu), from 0 to 1."""
        width = np.ones((len(activation), self._ntendon))
        width[:, self._tendon] = REST_WIDTH + (FULL_WIDTH - REST_WIDTH) * np.clip(activation[:, self._actuator], 0, 1)
        return TendonLook(rgb=self.by_activation(activation), width=width)

    def _paint(self, rgb: np.ndarray) -> np.ndarray:
        painted = np.empty((*rgb.shape[:-2], self._ntendon, 3), np.uint8)
        painted[:] = np.round(np.array(PASSIVE_RGB) * 255.0)
        painted[..., self._tendon, :] = np.round(rgb * 255.0)
        return painted
