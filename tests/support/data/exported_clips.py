"""Clips for tests of exports: a body that walks, turns and bends, generated without a retargeter."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.clip import Clip, write_clip
from musclemap.datasets.manifest import ManifestEntry
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.velocities import velocities
from musclemap.skeletons.bodies.myofullbody import LANDMARK_NAMES
from musclemap.skeletons.body import TargetBody

FPS = 100.0


def moving_clip(body: TargetBody, *, nframe: int = 40, **changes: object) -> Clip:
    """All independent joints including fingers swing about rest; the root rotates about all axes and moves ahead."""
    reduced, time = body.reduced_hands, np.arange(nframe) / FPS
    phase = np.linspace(0.0, 2 * np.pi, reduced.njoint)
    swing = 0.1 * np.sin(2 * np.pi * time[:, None] + phase)
    turn = Rotation.from_euler("zxy", np.stack([1.0 + 2.0 * time, 0.3 * np.sin(3 * time), 0.2 * time], axis=1))
    root = np.concatenate([np.stack([3.0 + time, -2.0 + 0.5 * time, 0.95 + 0.0 * time], axis=1),
                           turn.as_quat(scalar_first=True)], axis=1)  # fmt: skip
    qpos = reduced.expand(np.concatenate([root, reduced.rest + swing], axis=1)).astype(np.float32)
    landmarks = evaluate_clip(body, qpos).landmark_pos
    names = body.joint_names
    clip = Clip(
        qpos=qpos, qvel=velocities(qpos.astype(np.float64), FPS), landmark_pos=landmarks, target_pos=landmarks,
        contact=np.zeros((nframe, 4)), fps=FPS, joint_names=names,
        landmark_names=LANDMARK_NAMES, model="MyoFullBody", model_version=body.version, model_sha256=body.sha256,
        source="swing.npz", source_sha256="", source_fps=None, fps_source="assumed", body_model="mean",
        subject_scale=1.0, hands="tracked", config={}, software={"musclemap": "0"}, licence="unknown",
        metrics={"landmark_error_mm": 10.0}, verdict="feasible", reasons=(),
    )  # fmt: skip
    return replace(clip, **changes)


def with_forces(clip: Clip, body: TargetBody, **changes: object) -> Clip:
    """The clip with random forces, moments and activations, which are no multiples of a power of ten."""
    rng, model = np.random.default_rng(3), body.model
    content: dict[str, object] = {
        "support_names": ("left_foot", "right_foot"),
        "bearing": rng.integers(0, 2, (clip.nframe, 2)),
        "ground_force": rng.normal(0.0, 400.0, (clip.nframe, 2, 3)).astype(np.float32),
        "centre_of_pressure": rng.normal(0.0, 1.0, (clip.nframe, 2, 3)).astype(np.float32),
        "moment_names": body.reduced.joint_names,
        "joint_moment": rng.normal(0.0, 50.0, (clip.nframe, body.reduced.njoint)).astype(np.float32),
        "muscle_names": tuple(model.actuator(k).name for k in range(model.nu)),
        "activation": rng.random((clip.nframe, model.nu)).astype(np.float32),
    }
    return replace(clip, **(content | changes))


def put(out: Path, source: str, clip: Clip) -> ManifestEntry:
    """Write a clip into a folder and return its manifest entry."""
    name = source.removesuffix(".npz") + ".h5"
    clip = replace(clip, source=source)
    return ManifestEntry(
        source=source, clip=name, clip_sha256=write_clip(out / name, clip), status="ok", nframe=clip.nframe,
        seconds=clip.duration, verdict=clip.verdict, metrics=clip.metrics, reasons=clip.reasons,
    )  # fmt: skip
