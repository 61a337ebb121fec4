"""The room that a physics engine is given, and what MuJoCo has to say."""

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.task.reference import Reference

LOOKED_AT = 200
"""Most frames of the clips that room is sized on."""


def room_for(body: SimulationBody, reference: Reference, physics: PhysicsConfig, *, kind: str) -> dict[str, Any]:
    """Arguments of `make_engine` for MuJoCo Warp's buffers, where settings give none sized on frames of the clips."""
    if kind != "warp":
        return {}
    from musclemap.imitation.physics.buffers import buffers_for

    rows = np.linspace(0, len(reference.qpos) - 1, min(len(reference.qpos), LOOKED_AT)).astype(int)
    sized = buffers_for(body, np.asarray(reference.qpos[rows]), np.asarray(reference.qvel[rows]))
    return {"nconmax": physics.nconmax or sized.nconmax, "njmax": physics.njmax or sized.njmax}


def tell_mujoco_warnings(on_message: Callable[[str], None]) -> None:
    """Have MuJoCo's warnings told, each text once, in place of the file MUJOCO_LOG.TXT that it writes where it runs.

    Changes MuJoCo for this process, so only a program calls it, never a library. What matters in them, states that are
    not finite and contacts without room, a run counts by itself.
    """
    seen: set[str] = set()

    def hear(text: str) -> None:
        kind = text.partition("Time =")[0].strip()
        if kind not in seen:
            seen.add(kind)
            on_message(f"MuJoCo warns: {kind}")

    mujoco.set_mju_user_warning(hear)
