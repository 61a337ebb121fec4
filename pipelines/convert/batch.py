"""Many motions through the retargeter at once, so that one that crashes it takes no other along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from musclemap.datasets.clip import Clip
from musclemap.datasets.motion import SourceMotion
from musclemap.failures import Failure, attempt
from musclemap.reason_codes import ReasonCode


class Outcome(Protocol):
    """Result for one motion: a clip, or a code and a message that says why there is none."""

    @property
    def clip(self) -> Clip | None: ...
    @property
    def code(self) -> ReasonCode | None: ...
    @property
    def message(self) -> str: ...


class BatchRetargeter(Protocol):
    """What the pipeline needs of `musclemap.retarget.retargeter.Retargeter`."""

    def retarget(self, motions: Sequence[SourceMotion]) -> Sequence[Outcome]:
        """Convert motions together; results come in their order."""
        ...

    def provenance(self, motion: SourceMotion) -> Mapping[str, Any]:
        """Attributes that say how a motion's clip is made: config, software, model_sha256, body_model, licence."""
        ...


@dataclass(frozen=True, kw_only=True)
class Crash:
    """The retargeter raised on this motion alone."""

    code: ReasonCode
    message: str
    clip: None = None


def retarget_batch(retargeter: BatchRetargeter, motions: Sequence[SourceMotion]) -> list[Outcome]:
    """Convert motions together. After a crash each half is tried by itself, until the guilty motions stand alone.

    Returns:
        One outcome for each motion, in order; a `Crash` for those that the retargeter raised on.
    """
    if not motions:
        return []
    made = attempt(lambda: _together(retargeter, motions), code=ReasonCode.RETARGET_CRASH)
    if not isinstance(made, Failure):
        return made
    if len(motions) == 1:
        return [Crash(code=made.code, message=made.message)]
    half = len(motions) // 2
    return retarget_batch(retargeter, motions[:half]) + retarget_batch(retargeter, motions[half:])


def _together(retargeter: BatchRetargeter, motions: Sequence[SourceMotion]) -> list[Outcome]:
    outcomes = list(retargeter.retarget(motions))
    if len(outcomes) != len(motions):
        raise AssertionError(f"the retargeter returned {len(outcomes)} results for {len(motions)} motions")
    return outcomes
