"""Muscles as line segments along their wrapped paths, and their colours."""

import mujoco
import numpy as np

SHORT_RGB, MIDDLE_RGB, LONG_RGB = (0.10, 0.32, 0.88), (0.62, 0.56, 0.62), (0.88, 0.10, 0.08)
"""Colours at the lower end, in the middle and at the upper end of a muscle's operating range."""
REST_RGB, FULL_RGB = (0.80, 0.62, 0.60), (0.78, 0.00, 0.02)
"""Colours of activation 0 and 1."""
PASSIVE_RGB = (0.42, 0.46, 0.50)
"""Colour of tendons that no muscle pulls, such as ligaments."""

_SPATIAL = [int(getattr(mujoco.mjtWrap, f"mjWRAP_{name}")) for name in ("SITE", "SPHERE", "CYLINDER")]


class MusclePaths:
    """All tendons of a body as one array of segments, which has the same shape in every frame.

    A path has more points while it lies around a bone than while it runs free. So each tendon owns as many segments as
    it may ever need (a site gives one point, a wrapped geom two), and those left over repeat its last one, which
    changes nothing in the picture.

    Attributes:
        tendon: Tendon of every segment, shape (nsegment,).
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        points = np.where(model.wrap_type == mujoco.mjtWrap.mjWRAP_SITE, 1, 2) * np.isin(model.wrap_type, _SPATIAL)
        room = np.array([
            max(points[adr : adr + num].sum() - 1, 0)
            for adr, num in zip(model.tendon_adr, model.tendon_num, strict=True)
        ])  # fmt: skip
        self.tendon = np.repeat(np.arange(model.ntendon), room)
        self._place = np.arange(room.sum()) - np.repeat(np.cumsum(room) - room, room)

    def segments(self, data: mujoco.MjData) -> np.ndarray:
        """Both ends of every segment [m], shape (nsegment, 2, 3), world frame; `data` is fresh from `mj_tendon`."""
        point, wrapped = data.wrap_xpos.reshape(-1, 3), data.wrap_obj.reshape(-1)
        last = np.maximum(data.ten_wrapnum[self.tendon] - 2, 0)
        start = data.ten_wrapadr[self.tendon] + np.minimum(self._place, last)
        ends = np.stack([point[start], point[start + 1]], axis=1)
        gap = (wrapped[start] == -2) | (wrapped[start + 1] == -2)  # a pulley: the path goes on elsewhere
        ends[gap, 1] = ends[gap, 0]
        return ends


class MuscleColours:
    """Colours of tendons by what the muscles that pull them do. An actuator on anything else than a tendon has none."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._actuator = np.flatnonzero(model.actuator_trntype == mujoco.mjtTrn.mjTRN_TENDON)
        self._tendon = model.actuator_trnid[self._actuator, 0]
        self._gear = model.actuator_gear[self._actuator, 0]
        self._range = model.actuator_lengthrange[self._actuator]
        self._ntendon = model.ntendon

    def fraction(self, ten_length: np.ndarray) -> np.ndarray:
        """Length of every muscle in its operating range, 0 at the lower end and 1 at the upper, shape (nmuscle,).

        The range is MuJoCo's `actuator_lengthrange`, which the muscle's force-length curve is laid upon.
        """
        low, high = self._range.T
        length = ten_length[self._tendon] * self._gear
        return np.divide(length - low, high - low, out=np.full(len(low), 0.5), where=high > low)

    def by_length(self, ten_length: np.ndarray) -> np.ndarray:
        """Short blue, middle grey, long red, shape (ntendon, 3) uint8."""
        return self._paint(self.fraction(ten_length), (SHORT_RGB, MIDDLE_RGB, LONG_RGB))

    def by_activation(self, activation: np.ndarray) -> np.ndarray:
        """Pale at rest, red when active, from activations of shape (nu,). Shape (ntendon, 3) uint8."""
        return self._paint(activation[self._actuator], (REST_RGB, FULL_RGB))

    def _paint(self, value: np.ndarray, scale: tuple[tuple[float, float, float], ...]) -> np.ndarray:
        rgb = np.tile(np.array(PASSIVE_RGB), (self._ntendon, 1))
        stops = np.linspace(0.0, 1.0, len(scale))
        rgb[self._tendon] = np.stack([np.interp(value, stops, band) for band in zip(*scale, strict=True)], axis=-1)
        return np.round(rgb * 255.0).astype(np.uint8)
