"""A clip of arms on a moving base, from configurations and the motion of the base."""

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.velocities import velocities
from musclemap.skeletons.body import TargetBody


def base_clip(body: TargetBody, qpos: np.ndarray, base_motion: np.ndarray | None, *, fps: float) -> Clip:
    """A clip that follows its own landmarks exactly.

    Args:
        body: Body that is fixed to a base.
        qpos: Configurations, shape (nframe, nq).
        base_motion: Motion of the base, shape (nframe, 4, 3), or None.
        fps: Frame rate [Hz].
    """
    landmarks = evaluate_clip(body, qpos).landmark_pos
    return Clip(
        qpos=qpos.astype(np.float32), qvel=velocities(qpos, fps, free=False).astype(np.float32),
        landmark_pos=landmarks, target_pos=landmarks, contact=np.zeros((len(qpos), 4), np.uint8), fps=fps,
        joint_names=body.joint_names, landmark_names=body.landmark_names, model=body.name, model_version=body.version,
        model_sha256=body.sha256, source="a.npz", source_sha256="", source_fps=None, fps_source="test",
        body_model="mean", subject_scale=1.0, hands="tracked", config={}, software={}, licence="CC0-1.0", metrics={},
        verdict="feasible", reasons=(),
        base_motion=None if base_motion is None else base_motion.astype(np.float32),
    )  # fmt: skip
