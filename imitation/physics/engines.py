"""Choose what simulates."""

from functools import partial

import jax

from musclemap.errors import SettingsError

from .bodies import SimulationBody
from .engine import Engine
from .mujoco_engine import MujocoEngine
from .randomisation import Variants
from .split_engine import SplitEngine, split_variants

KINDS = ("auto", "warp", "mujoco")
"""MuJoCo Warp where there is a GPU and MuJoCo C elsewhere; the one; the other."""


def make_engine(
    body: SimulationBody, nworld: int, *, kind: str = "auto", threads: int | None = None, device: str | None = None,
    nconmax: int | None = None, njmax: int | None = None, variants: Variants | None = None, gpus: int = 1,
) -> Engine:  # fmt: skip
    """Make an engine; of MuJoCo Warp, if so asked, one on each of several GPUs that together are one.

    Args:
        body: The body.
        nworld: Worlds that are stepped together.
        kind: One of `KINDS`.
        threads: See `MujocoEngine`, which alone has them.
        device: See `WarpEngine`; this and the rest are its own.
        nconmax: See `WarpEngine`.
        njmax: See `WarpEngine`.
        variants: What differs between the worlds.
        gpus: GPUs that worlds are spread over, where no device is named; 0 for all there are.

    Raises:
        SettingsError: There is no such kind, or what it needs is not there; the message lists what there is.
    """
    if kind not in KINDS:
        raise SettingsError(f"no engine {kind!r}; there are: {', '.join(KINDS)}")
    if engine_kind(kind) == "mujoco":
        return MujocoEngine(body, nworld, threads=threads, variants=variants)
    from .warp_engine import WarpEngine  # imports Warp, which takes seconds

    make = partial(WarpEngine, body, nconmax=nconmax, njmax=njmax)
    there = jax.local_devices(backend="cuda") if has_cuda() else []
    if device is not None or len(there) < 2 or gpus == 1:
        return make(nworld, device=device or ("cuda:0" if there else None), variants=variants)
    count = gpus or len(there)
    if count > len(there) or nworld % count:
        raise SettingsError(f"{nworld} worlds cannot be spread evenly over {count} GPUs; {len(there)} are there")
    parts = split_variants(variants, count)
    engines = [make(nworld // count, device=f"cuda:{k}", variants=part) for k, part in enumerate(parts)]
    return SplitEngine(engines, there[:count])


def engine_kind(ref: str) -> str:
    """What "auto" stands for on this machine, "warp" or "mujoco"; anything else as it is."""
    if ref != "auto":
        return ref
    return "warp" if has_cuda() else "mujoco"


def has_cuda() -> bool:
    """Whether JAX sees an NVIDIA GPU; Warp is not asked, for it prints when there is none."""
    try:
        return bool(jax.devices("cuda"))
    except RuntimeError:
        return False
