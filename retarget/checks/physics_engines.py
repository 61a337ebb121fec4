"""Which engine evaluates the checks: MuJoCo C in threads, or MuJoCo Warp on a GPU."""

from typing import Any

from musclemap.skeletons.body import TargetBody

from .physics_checks import CPhysics, Physics


def choose_physics(body: TargetBody, device: Any) -> Physics:
    """MuJoCo Warp for a GPU; MuJoCo C, in threads, for a CPU, where it is three to six times as fast.

    Args:
        body: Target.
        device: JAX device, or None for the CPU.
    """
    if device is None or device.platform == "cpu":
        return CPhysics(body)
    from .warp_physics import WarpPhysics  # compiles kernels: only where they are used

    return WarpPhysics(body, device=f"cuda:{device.local_hardware_id}")
