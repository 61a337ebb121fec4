"""Retargeting of each motion onto the body of its own subject."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.subjects import Facts, subject_of
from musclemap.errors import TargetError
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.config import RetargetConfig
from musclemap.skeletons.smpl.body_model import BodyModel
from musclemap.skeletons.variants.variant import make_variant

from .batch import MotionResult

MAX_BODIES = 4
"""Bodies that are kept ready: each has its own compiled programs."""


@dataclass(frozen=True, kw_only=True)
class NoBody:
    """Result for a motion whose subject has no body."""

    code: ReasonCode
    message: str
    clip: None = None


class SubjectRetargeter:
    """Retargets each motion onto a body of its subject's size.

    The size is that of the table of subjects, or else that of the settings; with `body.scale = "body"`, the lengths of
    the motion's own bones complete it. Clips hold the settings that give the same clip for this motion alone.

    Args:
        config: Settings.
        body_models: As for `Retargeter`.
        device: As for `Retargeter`.
    """

    def __init__(self, config: RetargetConfig, *, body_models: Sequence[BodyModel] = (), device: Any = None) -> None:
        from musclemap.retarget.retargeter import Retargeter  # imports JAX

        self._config = config
        self._subjects: dict[str, Facts] = json.loads(config.body.subjects) if config.body.subjects else {}
        self._plain = replace(config, body=replace(config.body, subjects="", scale="motion"))
        self._make = lru_cache(maxsize=MAX_BODIES)(
            lambda variant: Retargeter(
                replace(self._plain, body=replace(self._plain.body, variant=variant)), body_models=body_models,
                device=device,
            )
        )  # fmt: skip

    def retarget(self, motions: Sequence[SourceMotion]) -> Sequence[MotionResult]:
        """Retarget motions, those on the same body together; results are in the order of the motions."""
        results: list[MotionResult | None] = [None] * len(motions)
        together: dict[Any, list[int]] = {}
        for k, motion in enumerate(motions):
            try:
                together.setdefault(self._variant(motion), []).append(k)
            except TargetError as error:
                known = subject_of(motion.name, self._subjects) is not None or not self._subjects
                code = ReasonCode.BAD_SIZE if known else ReasonCode.NO_SUBJECT
                results[k] = NoBody(code=code, message=str(error))
        for variant, indices in together.items():
            for k, result in zip(indices, self._make(variant).retarget([motions[k] for k in indices]), strict=True):
                results[k] = result
        return [result for result in results if result is not None]

    def provenance(self, motion: SourceMotion) -> Mapping[str, Any]:
        """Attributes of a clip of this motion that decide whether an existing clip is up to date.

        Raises:
            BodyModelError: If body models were given but none matches the motion.
            TargetError: If the subject has no body.
        """
        return self._make(self._variant(motion)).provenance(motion)

    def _variant(self, motion: SourceMotion) -> Any:
        """The variant of the body for a motion.

        Raises:
            TargetError: If the table has no row for the motion, or its size is nobody's.
        """
        facts: Facts = {}
        if self._subjects:
            subject = subject_of(motion.name, self._subjects)
            if subject is None:
                raise TargetError(
                    f"the table of subjects has no row for {motion.name}: add one with a folder of its path, the "
                    "beginning of its name, or * for all files"
                )
            facts = dict(self._subjects[subject])
        variant = self._plain.body.variant.altered_by(make_variant(size=facts))
        if self._config.body.scale == "body":
            variant = make_variant(size=self._fitted(motion)).altered_by(variant)
        return variant

    def _fitted(self, motion: SourceMotion) -> Facts:
        """Lengths of the motion's own bones, or the height that its steps suggest if it has none."""
        from musclemap.retarget.targets.subject_lengths import height_of_steps, lengths_of_skeleton

        unscaled = self._make(make_variant())
        joints = unscaled.own_joints(motion)
        if joints is not None:
            return dict(lengths_of_skeleton(joints))
        if unscaled.body.scalable is None:
            raise TargetError(f"{unscaled.body.name} has no table of segments, so it cannot be given a size")
        return {"height": height_of_steps(unscaled.body.scalable, unscaled.targets(motion).stance.scale)}
