"""Tracks of the small arm without a search: constant excitations, in place of the tracker."""

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.tracking.clip_check import check_clip
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.track import ProgressCallback, Track, TrackingProgress, advance, set_state


def constant_track(
    body: SimulationBody,
    clip: Clip,
    config: TrackingConfig,
    *,
    progress: ProgressCallback | None = None,
    nstep: int | None = None,
    failure: str = "",
) -> Track:
    """Simulate constant excitations from the first frame of a clip; errors are invented.

    Args:
        body: Body.
        clip: Clip.
        config: Its seed chooses the excitations.
        progress: Called after each step.
        nstep: Number of control steps; the whole clip if None.
        failure: Failure to report.
    """
    check_clip(body, clip)
    rng = np.random.default_rng(config.seed)
    excitation = rng.uniform(0.0, 0.05, body.model.nu).astype(np.float32)
    data = mujoco.MjData(body.model)
    qpos, qvel = clip.qpos[0, body.clip_qpos].astype(np.float64), clip.qvel[0, body.clip_qvel].astype(np.float64)
    warmstart = rng.standard_normal(body.model.nv)
    set_state(data, qpos, qvel, np.full(body.model.nu, 1 / 3), warmstart)
    states = [(data.qpos.copy(), data.qvel.copy(), data.act.copy())]
    steps = clip.nframe - 1 if nstep is None else nstep
    for step in range(steps):
        advance(body, data, excitation)
        states.append((data.qpos.copy(), data.qvel.copy(), data.act.copy()))
        if progress is not None:
            progress(TrackingProgress(stage="track", done=step + 1, total=clip.nframe - 1, reached=step + 1))
    columns = [np.array(column) for column in zip(*states, strict=True)]
    return Track(
        start=0, qpos=columns[0], qvel=columns[1], act=columns[2],
        excitation=np.tile(excitation, (steps, 1)), warmstart=warmstart, failure=failure,
        relative_error=np.linspace(0.01, 0.02, steps), root_error=np.full(steps, 0.005), seconds=0.5,
        control_steps=10 * steps,
    )  # fmt: skip
