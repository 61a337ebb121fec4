"""A fast retargeter that builds clips directly from the source's numbers, and input files for it."""

from dataclasses import dataclass, field

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.config import RetargetConfig
from musclemap.settings import to_dict


@dataclass
class Outcome:
    clip: Clip | None = None
    code: ReasonCode | None = None
    message: str = ""


@dataclass
class FakeRetargeter:
    """Records which motions it was given."""

    config: RetargetConfig = field(default_factory=RetargetConfig)
    version: str = "1"
    seen: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def provenance(self, motion):
        software = {"musclemap": self.version}
        return {
            "config": to_dict(self.config),
            "software": software,
            "model_sha256": "m",
            "body_model": "mean",
            "licence": motion.licence,
        }

    def retarget(self, motions):
        self.batches.append(sum(motion.nframe for motion in motions))
        self.seen += [motion.name for motion in motions]
        return [Outcome(clip=self.clip(motion)) for motion in motions]

    def clip(self, motion):
        qpos = np.hstack([motion.trans, motion.rotvec[:, 0], motion.rotvec[:, 1, :1]])
        landmark_pos = motion.trans[:, None]
        return Clip(
            qpos=qpos,
            qvel=qpos[:, :6],
            landmark_pos=landmark_pos,
            target_pos=landmark_pos,
            contact=np.zeros((motion.nframe, 4)),
            fps=motion.fps,
            joint_names=("root",),
            landmark_names=("pelvis",),
            model="fake",
            model_version="1",
            source=motion.name,
            source_sha256=motion.sha256,
            source_fps=motion.source_fps,
            fps_source=motion.fps_source,
            subject_scale=1.0,
            hands="locked",
            metrics={"landmark_error_mm": 1.0},
            verdict="feasible",
            reasons=(),
            **self.provenance(motion),
        )


class BreaksOn(FakeRetargeter):
    """Raises an error whenever one motion is in the batch."""

    def __init__(self, name, error):
        super().__init__()
        self.name, self.error = name, error

    def retarget(self, motions):
        if any(motion.name == self.name for motion in motions):
            self.batches.append(-1)
            raise self.error
        return super().retarget(motions)


def arrays(nframe=5, **changes):
    rng = np.random.default_rng(nframe)
    content = {
        "poses": 0.1 * rng.standard_normal((nframe, 156)),
        "trans": rng.standard_normal((nframe, 3)),
        "betas": np.zeros(16),
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(120.0),
    } | changes
    return {key: value for key, value in content.items() if value is not None}


def save(path, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **arrays(**changes))
