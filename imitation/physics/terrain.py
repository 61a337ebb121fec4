"""Terrain: a height field for the simulation, and its heights for placing references on the ground."""

from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array
from scipy.ndimage import gaussian_filter, maximum_filter

from musclemap.errors import TargetError

from .world_settings import TerrainConfig

CELL = 0.1
"""Side length of a height-field cell [m]; edges of steps and obstacles rise over one cell."""

BASE = 0.5
"""Thickness of the ground below its lowest point [m]."""

STEPS_PER_FLIGHT = 5
"""Number of steps up before the same number down."""

FOOT_REACH = 0.2
"""Horizontal distance from a foot's landmarks within which the foot may touch ground [m]. In MyoFullBody's rest
configuration the foot geoms extend at most 0.12 m, and a cell adds 0.1 m."""

OBSTACLE_SIZE = 0.3
"""Side length of an obstacle [m]."""


class HeightField(NamedTuple):
    """Heights at the corners of square cells around the world's origin, rows along y.

    Attributes:
        height: Heights [m], shape (nrow, nrow).
        highest: Maximum height within a foot's reach of each corner [m], shape (nrow, nrow).
        extent: Half the side length of the square [m].
    """

    height: np.ndarray
    highest: np.ndarray
    extent: float


def make_ground(config: TerrainConfig) -> HeightField | None:
    """Generate the heights, starting at 0; None for flat ground."""
    if config.kind == "flat":
        return None
    count = 2 * round(config.extent / CELL) + 1
    axis = np.linspace(-config.extent, config.extent, count)
    rng = np.random.default_rng(config.seed)
    generate = {"rough": _rough, "slope": _slope, "steps": _stairs, "obstacles": _obstacles}
    height = generate[config.kind](config, axis, rng)
    height = height - height.min()
    window = 2 * round(FOOT_REACH / CELL) + 1
    return HeightField(height=height, highest=maximum_filter(height, window, mode="nearest"), extent=config.extent)


def _rough(config: TerrainConfig, axis: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = gaussian_filter(rng.standard_normal((len(axis), len(axis))), config.length / 4.0 / CELL)
    low, high = noise.min(), noise.max()
    return config.height * (noise - low) / (high - low)


def _slope(config: TerrainConfig, axis: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    level = np.abs((axis / config.length) % 2.0 - 1.0)
    return np.broadcast_to(config.height * level, (len(axis), len(axis))).copy()


def _stairs(config: TerrainConfig, axis: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    number = np.floor(axis / config.length + 1e-9) % (2 * STEPS_PER_FLIGHT)
    level = np.minimum(number, 2 * STEPS_PER_FLIGHT - number)
    return np.broadcast_to(config.height * level, (len(axis), len(axis))).copy()


def _obstacles(config: TerrainConfig, axis: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height = np.zeros((len(axis), len(axis)))
    half = max(round(0.5 * OBSTACLE_SIZE / CELL), 1)
    count = max(round((2 * config.extent / (config.length + OBSTACLE_SIZE)) ** 2), 1)
    for row, column in rng.integers(half, len(axis) - half, (count, 2)):
        height[row - half : row + half + 1, column - half : column + half + 1] = config.height
    return height


def height_at(ground: HeightField, xy: Array, *, highest: bool = False) -> Array:
    """Height of the ground [m] below points (..., 2), on MuJoCo's triangles; beyond the edge, the height of the edge.

    With `highest`, the maximum height within a foot's reach.
    """
    table = jnp.asarray(ground.highest if highest else ground.height, jnp.float32)
    last = table.shape[0] - 1
    position = jnp.clip((xy + ground.extent) / (2.0 * ground.extent) * last, 0.0, last)
    corner = jnp.minimum(position.astype(jnp.int32), last - 1)
    u, v = jnp.moveaxis(position - corner, -1, 0)
    column, row = jnp.moveaxis(corner, -1, 0)
    bottom_left, bottom_right = table[row, column], table[row, column + 1]
    top_left, top_right = table[row + 1, column], table[row + 1, column + 1]
    below = bottom_left + u * (bottom_right - bottom_left) + v * (top_right - bottom_right)
    above = bottom_left + v * (top_left - bottom_left) + u * (top_right - top_left)
    return jnp.where(u >= v, below, above)


def add_terrain(spec: mujoco.MjSpec, ground: HeightField) -> None:
    """Replace a body's flat floor with terrain of the same friction and softness.

    Raises:
        TargetError: If the body does not have exactly one flat floor.
    """
    floors = [
        geom for geom in spec.worldbody.geoms
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE and (geom.contype or geom.conaffinity)
    ]  # fmt: skip
    if len(floors) != 1:
        raise TargetError(f"terrain replaces exactly one flat floor; the body has {len(floors)}")
    max_height = float(ground.height.max())
    spec.add_hfield(
        name="terrain", nrow=ground.height.shape[0], ncol=ground.height.shape[1],
        size=[ground.extent, ground.extent, max_height, BASE], userdata=(ground.height / max_height).ravel().tolist(),
    )  # fmt: skip
    floor = floors[0]
    floor.type, floor.hfieldname = mujoco.mjtGeom.mjGEOM_HFIELD, "terrain"
    floor.pos = [0.0, 0.0, 0.0]
