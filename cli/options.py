"""Options that several commands have."""

from enum import StrEnum


class Device(StrEnum):
    """Where to compute."""

    cpu = "cpu"
    gpu = "gpu"


class Physics(StrEnum):
    """Physics engines; auto is MuJoCo Warp where there is a GPU, else MuJoCo."""

    auto = "auto"
    warp = "warp"
    mujoco = "mujoco"
