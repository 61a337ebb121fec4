"""The first sentence of a report: how many clips can be followed, which cannot, and why."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

NAMED = 3
"""Number of clips named in the headline; more are grouped by cause."""

MAX_TEXT = 160
"""Characters of a cause."""

_LIMIT = re.compile(r" \(limit [^()]*\)$")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the headline needs to know about a source.

    Attributes:
        source: Name of the source.
        state: "feasible", "warn", "infeasible", "unreadable", "rejected" or "failed".
        cause: Why the motion cannot be followed, or why there is no clip; "" otherwise.
        kind: The cause without names, numbers and times, to count alike causes.
        with_muscles: Whether muscles were checked.
    """

    source: str
    state: str
    cause: str = ""
    kind: str = ""
    with_muscles: bool = False

    @property
    def has_clip(self) -> bool:
        """Whether the source became a clip."""
        return self.state in ("feasible", "warn", "infeasible", "unreadable")

    @property
    def passes(self) -> bool:
        """Whether its clip can be followed."""
        return self.has_clip and not self.cause


def headline(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Sum up all sources.

    A clip can be followed if it is not infeasible and its muscles lack no torque for longer than an impact
    (`find_shortfall`). If muscles were not checked for every clip, the headline says so.

    Returns:
        lead: "7 of 8 clips can be followed", tone: a state, and items: [row or -1, label, text], one for each named
        clip or for each cause.
    """
    clips = [outcome for outcome in outcomes if outcome.has_clip]
    lost = [row for row, outcome in enumerate(outcomes) if outcome.has_clip and not outcome.passes]
    empty = [row for row, outcome in enumerate(outcomes) if not outcome.has_clip]
    items = _items(outcomes, lost)
    if empty:
        items += _empty_items(outcomes, empty)
    if not clips:
        return {"lead": f"None of {_files(len(outcomes))} became a clip" if outcomes else "No source files",
                "tone": "failed", "items": items}  # fmt: skip
    checked = sum(outcome.with_muscles for outcome in clips if outcome.state != "unreadable")
    readable = sum(outcome.state != "unreadable" for outcome in clips)
    good = len(clips) - len(lost)
    verb = "can be followed" if checked == readable else "pass the checks" if len(clips) > 1 else "passes the checks"
    if len(clips) == 1:
        name = label(clips[0].source)
        faults = {"unreadable": "cannot be read", "infeasible": "cannot be followed"}
        failed = faults.get(clips[0].state, "needs more torque than the muscles have")
        lead = f"{name} {failed if lost else verb}"
        items = [[row, "" if row in lost else name, text] for row, name, text in items]
    else:
        lead = f"{good:,} of {len(clips):,} {verb}"
    if checked < readable:
        missing = readable - checked
        text = "muscles were not checked" if checked == 0 else f"{missing:,} without a check of muscles"
        items.append([-1, "", f"{text}; mm-validate --muscles does"])
    return {"lead": lead, "tone": "feasible" if not lost else "infeasible" if good == 0 else "warn", "items": items}


def _items(outcomes: Sequence[Outcome], lost: list[int]) -> list[list[Any]]:
    """Clips that cannot be followed by name, or by cause if there are many."""
    if len(lost) <= NAMED:
        return [[row, label(outcomes[row].source), outcomes[row].cause] for row in lost]
    kinds = Counter(outcomes[row].kind for row in lost)
    items = [[-1, "", f"{kind}: {count:,}"] for kind, count in kinds.most_common(NAMED)]
    rest = len(lost) - sum(count for _, count in kinds.most_common(NAMED))
    return items + [[-1, "", f"other causes: {rest:,}"]] * (rest > 0)


def _empty_items(outcomes: Sequence[Outcome], empty: list[int]) -> list[list[Any]]:
    """Sources without a clip."""
    if len(empty) <= NAMED:
        return [[row, label(outcomes[row].source), f"no clip: {outcomes[row].cause}"] for row in empty]
    kinds = Counter(outcomes[row].kind for row in empty)
    named = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common(NAMED))
    return [[-1, "", f"{_files(len(empty))} gave no clip: {named}"]]


def _files(count: int) -> str:
    return f"{count:,} file{'s' * (count != 1)}"


def label(source: str) -> str:
    """Short name of a source: its file name without ending and without the `_poses` of AMASS."""
    return PurePosixPath(source).stem.removesuffix("_poses") or source


def cause_text(sentence: str) -> str:
    """Cause from the text of a reason: its first sentence, without the limit and the capital."""
    first = sentence.partition(". ")[0].removesuffix(".")
    first = _LIMIT.sub("", first)
    return (first[:1].lower() + first[1:])[:MAX_TEXT]
