"""The README of a bundle: what it holds, under which terms, how it was made, how good it is."""

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np

from .contents import Contents, Packed
from .licences import OPEN
from .splits import SPLITS, shared

WARNING = (
    "**Private: not to be passed on.** Some of these clips come from motions whose licence forbids that, or is unknown."
)


_HUB_NAMES = {"ODC-By-1.0": "odc-by", "ODbL-1.0": "odbl", "PDDL-1.0": "pddl"}
"""Where the hub does not call a licence by SPDX's name in small letters."""

_MARKS = frozenset("\\`*_[]|<>#{}&~$@:!=")
"""Signs that begin something in CommonMark, in GitHub's and the hub's Markdown, or in MDX. A backslash before one makes
it a sign of the text; that before a colon keeps addresses from becoming links."""


def licence_of(contents: Contents) -> str:
    """One licence, or several joined by AND as SPDX writes it; what is not open is in words."""
    names = sorted({clip.terms.licence for clip in contents.clips})
    return " AND ".join(names)


def card(name: str, contents: Contents, *, private: bool, software: str, description: str) -> str:
    """The text, in Markdown, with the head that the Hugging Face hub reads.

    Args:
        name: Of the bundle.
        contents: What it holds.
        private: Whether it may not be passed on.
        software: Version of this package.
        description: Markdown, as whoever packs it wrote it, or `escaped`.
    """
    clips = contents.clips
    parts = [_head(name, contents), f"# {escaped(name)}\n", description]
    if private:
        parts.append(WARNING)
    parts += ["## Contents\n\n" + _contents(), "## Splits\n\n" + _splits(clips), "## Licences\n\n" + _licences(clips)]
    parts += ["## Quality\n\n" + _quality(clips), "## How it was made\n\n" + _making(clips, software)]
    parts.append("## What was left out\n\n" + _left_out(contents))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _head(name: str, contents: Contents) -> str:
    licences = {clip.terms.licence for clip in contents.clips}
    only = licences.pop() if len(licences) == 1 else ""
    lines = ["---", f"pretty_name: {_yaml(name)}"]
    if only in OPEN:
        lines.append(f"license: {_HUB_NAMES.get(only, only.lower())}")
    else:
        lines += ["license: other", f"license_name: {_yaml(licence_of(contents))}"]
    lines += ["tags:", "- motion-capture", "- musculoskeletal", "- mujoco", "- MyoFullBody"]
    lines += ["configs:", "- config_name: default", "  data_files: clips.csv", "---"]
    return "\n".join(lines)


def _contents() -> str:
    return (
        "- `clips/`: one HDF5 file per motion: configurations `/qpos`, velocities `/qvel`, landmarks, contacts\n"
        "- `clips.csv`: a line a clip: split, subject, licence, verdict, duration, SHA-256\n"
        "- `splits/train.txt`, `val.txt`, `test.txt`: paths of the clips of each split\n"
        "- `manifest.jsonl`: the lines of the conversion, so that `mm-validate`, `mm-view` and `mm-report` work here\n"
        "- `MANIFEST.json`, `SHA256SUMS`: every file with its hash; `sha256sum -c SHA256SUMS` checks them\n"
        "- `croissant.json`: the same for machines"
    )


def _splits(clips: Sequence[Packed]) -> str:
    rows = []
    for split in (*SPLITS, "all"):
        part = [clip for clip in clips if split in (clip.split, "all")]
        verdicts = Counter(clip.facts["verdict"] for clip in part)
        frames = sum(clip.facts["nframe"] for clip in part)
        hours = sum(clip.facts["seconds"] for clip in part) / 3600
        verdict_counts = ", ".join(f"{verdicts[verdict]} {escaped(verdict)}" for verdict in sorted(verdicts)) or "none"
        rows.append(
            [
                split,
                f"{len(part):,}",
                str(len({clip.subject for clip in part})),
                f"{frames:,}",
                f"{hours:.3f}",
                verdict_counts,
            ]
        )
    both = shared({clip.entry.source: clip.split for clip in clips})
    people = f"{len(both)} people are in more than one split." if both else "No person is in two splits."
    note = " People are told apart by the folders of the motions; those without a folder count as one."
    return _table(["split", "clips", "people", "frames", "hours", "verdicts"], rows) + f"\n\n{people}{note}"


def _licences(clips: Sequence[Packed]) -> str:
    rows = []
    for key in sorted({(_collection(clip), clip.terms.licence, clip.terms.stated) for clip in clips}):
        count = sum((_collection(clip), clip.terms.licence, clip.terms.stated) == key for clip in clips)
        folder, licence, stated = key
        shown = f"[{licence}]({OPEN[licence]})" if licence in OPEN else escaped(licence)
        rows.append([escaped(folder), f"{count:,}", shown, "whoever packed it" if stated else "the clip"])
    note = "The licence of a motion also binds the clip made from it."
    return _table(["source", "clips", "licence", "says"], rows) + f"\n\n{note}"


def _collection(clip: Packed) -> str:
    return clip.entry.source.partition("/")[0] if "/" in clip.entry.source else "."


def _quality(clips: Sequence[Packed]) -> str:
    errors = [clip.facts["landmark_error_mm"] for clip in clips]
    known = np.array([error for error in errors if isinstance(error, int | float)])
    if known.size == 0:
        return "The clips do not tell how far their landmarks are from the targets."
    median, high, most = np.percentile(known, [50, 95, 100])
    return (
        f"Distance of the landmarks from their targets, mean of a clip: median {median:.1f} mm, 95 % of clips below "
        f"{high:.1f} mm, largest {most:.1f} mm ({known.size} of {len(clips)} clips)."
    )


def _making(clips: Sequence[Packed], software: str) -> str:
    def values(key: str) -> str:
        return ", ".join(sorted({escaped(str(clip.facts[key])) for clip in clips}))

    versions = sorted({f"{name} {version}" for clip in clips for name, version in clip.facts["software"].items()})
    rates = ", ".join(f"{fps:g}" for fps in sorted({clip.facts["fps"] for clip in clips}))
    return (
        f"- body: {values('model')} {values('model_version')} (SHA-256 {values('model_sha256')})\n"
        f"- hands: {values('hands')}\n"
        f"- body model of the sources: {values('body_model')}\n"
        f"- frame rate: {rates} Hz; z up, metres, radians, quaternions wxyz\n"
        f"- software: {escaped(', '.join(versions))}\n"
        f"- packed with musclemap {software}"
    )


def _left_out(contents: Contents) -> str:
    codes = Counter(one.code for one in contents.left_out)
    rows = [[code, f"{count:,}"] for code, count in sorted(codes.items())]
    return _table(["reason", "sources"], rows) if rows else "Nothing."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def escaped(text: str) -> str:
    """Text of unknown origin inside Markdown: no HTML, MDX, link, image, mention or formula, and one line."""
    marked = "".join(f"\\{letter}" if letter in _MARKS else letter for letter in plain_text(text))
    return marked.replace("www.", "www\\.")  # such addresses become links without any other sign


def plain_text(text: str) -> str:
    """Text of unknown origin in one line, as UTF-8 has it; bytes that are no text, and control codes, become marks."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def _yaml(text: str) -> str:
    """Text of unknown origin as a string of YAML, which in double quotes and on one line cannot end early."""
    return json.dumps(plain_text(text), ensure_ascii=False)
