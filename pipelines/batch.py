"""Many motions through the retargeter at once, so that one that crashes it takes no other along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from musclemap.datasets.clip import Clip
from musclemap.datasets.motion import SourceMotion
from musclemap.skeletons.errors import SourceError

CRASHES = (ArithmeticError, LookupError, MemoryError, RuntimeError, ValueError)
"""What numpy, scipy and XLA raise on data they cannot take; XLA's own errors are RuntimeErrors."""


class Outcome(Protocol):
    """What came of one motion: a clip, or a reason (a short code) and a message."""

    @property
    def clip(self) -> Clip | None: ...
    @property
    def reason(self) -> str | None: ...
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

    reason: str
    message: str
    clip: None = None


def retarget_batch(retargeter: BatchRetargeter, motions: Sequence[SourceMotion]) -> list[Outcome]:
    """Convert motions together. After a crash each half is tried by itself, until the guilty motions stand alone.

    Returns:
        One outcome for each motion, in order; a `Crash` for those that the retargeter raised on.
    """
    if not motions:
        return []
    try:
        outcomes = list(retargeter.retarget(motions))
    except (SourceError, *CRASHES) as error:
        if len(motions) == 1:
            return [_crash(error)]
        half = len(motions) // 2
        return retarget_batch(retargeter, motions[:half]) + retarget_batch(retargeter, motions[half:])
    if len(outcomes) != len(motions):
        raise AssertionError(f"the retargeter returned {len(outcomes)} results for {len(motions)} motions")
    return outcomes


def _crash(error: Exception) -> Crash:
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, SourceError):
        return Crash(reason=error.reason, message=str(error))
    out_of_memory = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in message
    return Crash(reason="out_of_memory" if out_of_memory else "retarget_crash", message=message)
