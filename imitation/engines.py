"""Choose what simulates."""

import jax

from musclemap.skeletons.errors import SettingsError

from .bodies import Body
from .engine import Engine
from .mujoco_engine import MujocoEngine
from .randomisation import Variants

KINDS = ("auto", "warp", "mujoco")
"""MuJoCo Warp where there is a GPU and MuJoCo C elsewhere; the one; the other."""


def make_engine(
    body: Body, nworld: int, *, kind: str = "auto", threads: int | None = None, device: str | None = None,
    nconmax: int | None = None, njmax: int | None = None, variants: Variants | None = None,
) -> Engine:  # fmt: skip
    """Make an engine.

    Args:
        body: The body.
        nworld: Worlds that are stepped together.
        kind: One of `KINDS`.
        threads: See `MujocoEngine`, which alone has them.
        device: See `WarpEngine`; this and the rest are its own.
        nconmax: See `WarpEngine`.
        njmax: See `WarpEngine`.
        variants: What differs between the worlds.

    Raises:
        SettingsError: There is no such kind, or what it needs is not there; the message lists what there is.
    """
    if kind not in KINDS:
        raise SettingsError(f"no engine {kind!r}; there are: {', '.join(KINDS)}")
    if kind == "mujoco" or (kind == "auto" and not has_cuda()):
        return MujocoEngine(body, nworld, threads=threads, variants=variants)
    from .warp_engine import WarpEngine  # imports Warp, which takes seconds

    return WarpEngine(body, nworld, device=device, nconmax=nconmax, njmax=njmax, variants=variants)


def has_cuda() -> bool:
    """Whether JAX sees an NVIDIA GPU; Warp is not asked, for it prints when there is none."""
    try:
        return bool(jax.devices("cuda"))
    except RuntimeError:
        return False
