"""Setup of a physics engine: buffer sizes and MuJoCo's warnings."""

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.task.reference import Reference

MAX_FRAMES = 200
"""Largest number of frames of the clips that buffer sizes are determined from."""


def buffer_arguments(
    body: SimulationBody, reference: Reference, physics: PhysicsConfig, *, kind: str
) -> dict[str, Any]:
    """Arguments of `make_engine` for the buffer sizes of MuJoCo Warp.

    Sizes that the settings do not give are determined from frames of the clips. Empty for another engine.
    """
    if kind != "warp":
        return {}
    from musclemap.imitation.physics.buffers import buffers_for

    rows = np.linspace(0, len(reference.qpos) - 1, min(len(reference.qpos), MAX_FRAMES)).astype(int)
    sized = buffers_for(body, np.asarray(reference.qpos[rows]), np.asarray(reference.qvel[rows]))
    return {"nconmax": physics.nconmax or sized.nconmax, "njmax": physics.njmax or sized.njmax}


def report_mujoco_warnings(on_message: Callable[[str], None]) -> None:
    """Send each distinct MuJoCo warning once to a callback, instead of to the file MUJOCO_LOG.TXT.

    Changes MuJoCo for this process, so only programs call it, never a library. A training run counts the relevant
    events, non-finite states and contact buffer overflows, by itself.
    """
    reported: set[str] = set()

    def report(text: str) -> None:
        warning = text.partition("Time =")[0].strip()
        if warning not in reported:
            reported.add(warning)
            on_message(f"MuJoCo warns: {warning}")

    mujoco.set_mju_user_warning(report)
