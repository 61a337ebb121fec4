"""Batched retargeting: a motion that crashes the retargeter does not affect the rest of its batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from musclemap.datasets.clip import Clip
from musclemap.datasets.motion import SourceMotion
from musclemap.failures import Failure, attempt
from musclemap.reason_codes import ReasonCode


class MotionResult(Protocol):
    """Result for one motion: a clip, or a code and a message that says why there is none."""

    @property
    def clip(self) -> Clip | None: ...
    @property
    def code(self) -> ReasonCode | None: ...
    @property
    def message(self) -> str: ...


class BatchRetargeter(Protocol):
    """The part of `musclemap.retarget.retargeter.Retargeter` that the pipeline uses."""

    def retarget(self, motions: Sequence[SourceMotion]) -> Sequence[MotionResult]:
        """Convert motions together; results are in the order of the motions."""
        ...

    def provenance(self, motion: SourceMotion) -> Mapping[str, Any]:
        """Attributes that say how a motion's clip is made: config, software, model_sha256, body_model, licence."""
        ...


@dataclass(frozen=True, kw_only=True)
class RetargetCrash:
    """Result for a motion on which the retargeter raised, even when given that motion alone."""

    code: ReasonCode
    message: str
    clip: None = None


def retarget_batch(retargeter: BatchRetargeter, motions: Sequence[SourceMotion]) -> list[MotionResult]:
    """Convert motions together. After a crash, bisect the batch until each motion that causes it is isolated.

    Returns:
        One result per motion, in order; a `RetargetCrash` for each motion on which the retargeter raised.
    """
    if not motions:
        return []
    results = attempt(lambda: _retarget_together(retargeter, motions), code=ReasonCode.RETARGET_CRASH)
    if not isinstance(results, Failure):
        return results
    if len(motions) == 1:
        return [RetargetCrash(code=results.code, message=results.message)]
    half = len(motions) // 2
    return retarget_batch(retargeter, motions[:half]) + retarget_batch(retargeter, motions[half:])


def _retarget_together(retargeter: BatchRetargeter, motions: Sequence[SourceMotion]) -> list[MotionResult]:
    results = list(retargeter.retarget(motions))
    if len(results) != len(motions):
        raise AssertionError(f"the retargeter returned {len(results)} results for {len(motions)} motions")
    return results
