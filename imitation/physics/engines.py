"""Selection of the physics engine."""

from functools import partial

import jax

from musclemap.errors import SettingsError
from musclemap.files import shown

from .bodies import SimulationBody
from .engine import Engine
from .mujoco_engine import MujocoEngine
from .randomisation import Variants
from .split_engine import SplitEngine, split_variants

KINDS = ("auto", "warp", "mujoco")
""""warp" is MuJoCo Warp, "mujoco" is MuJoCo C; "auto" selects Warp if there is an NVIDIA GPU, otherwise C."""


def make_engine(
    body: SimulationBody, nworld: int, *, kind: str = "auto", threads: int | None = None, device: str | None = None,
    nconmax: int | None = None, njmax: int | None = None, variants: Variants | None = None, gpus: int = 1,
) -> Engine:  # fmt: skip
    """Create an engine. With several GPUs it can combine one MuJoCo Warp engine per GPU.

    Args:
        body: The body.
        nworld: Number of worlds that are stepped together.
        kind: One of `KINDS`.
        threads: See `MujocoEngine`; ignored by Warp.
        device: See `WarpEngine`; this and the remaining arguments, except `variants`, are ignored by MuJoCo C.
        nconmax: See `WarpEngine`.
        njmax: See `WarpEngine`.
        variants: Differences between the worlds.
        gpus: Number of GPUs to spread the worlds over if `device` is None; 0 for all.

    Raises:
        SettingsError: If the kind is unknown or its requirements are not met; the message lists what is available.
    """
    if kind not in KINDS:
        raise SettingsError(f"no engine {shown(kind)}; there are: {', '.join(KINDS)}")
    if engine_kind(kind) == "mujoco":
        return MujocoEngine(body, nworld, threads=threads, variants=variants)
    from .warp_engine import WarpEngine  # importing Warp takes seconds

    make_warp = partial(WarpEngine, body, nconmax=nconmax, njmax=njmax)
    available = jax.local_devices(backend="cuda") if has_cuda() else []
    if device is not None or len(available) < 2 or gpus == 1:
        return make_warp(nworld, device=device or ("cuda:0" if available else None), variants=variants)
    count = gpus or len(available)
    if count > len(available) or nworld % count:
        raise SettingsError(f"{nworld} worlds cannot be spread evenly over {count} GPUs; available: {len(available)}")
    parts = split_variants(variants, count)
    engines = [make_warp(nworld // count, device=f"cuda:{k}", variants=part) for k, part in enumerate(parts)]
    return SplitEngine(engines, available[:count])


def engine_kind(kind: str) -> str:
    """Resolve "auto" to "warp" or "mujoco" on this machine; return any other kind unchanged."""
    if kind != "auto":
        return kind
    return "warp" if has_cuda() else "mujoco"


def has_cuda() -> bool:
    """Whether JAX has an NVIDIA GPU. Warp is not queried because it prints a message if there is none."""
    try:
        return bool(jax.devices("cuda"))
    except RuntimeError:
        return False
