"""Dataset card: the README of a bundle, with its contents, licences, quality and provenance."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from .contents import PackContents, PackedClip
from .licences import OPEN
from .parquet import preview_header
from .splits import SPLITS, subjects_in_several_splits

WARNING = (
    "**Private: do not redistribute.** Some clips come from motions whose licence forbids redistribution or is unknown."
)


_HUB_NAMES = {"ODC-By-1.0": "odc-by", "ODbL-1.0": "odbl", "PDDL-1.0": "pddl"}
"""Identifiers of the Hugging Face hub that are not the SPDX identifier in lower case."""

_SPECIAL_CHARACTERS = frozenset("\\`*_[]|<>#{}&~$@:!=")
"""Characters that have a meaning in CommonMark, in GitHub's and the hub's Markdown, or in MDX; a backslash makes them
literal. Escaping the colon keeps addresses from becoming links."""


def licence_of(contents: PackContents) -> str:
    """SPDX expression: one licence, or several joined by AND. Licences that are not in `OPEN` keep their own text."""
    names = sorted({clip.terms.licence for clip in contents.clips})
    return " AND ".join(names)


def dataset_card(
    name: str, contents: PackContents, *, private: bool, software: str, description: str,
    tables: Mapping[str, object],
) -> str:  # fmt: skip
    """Text of the card in Markdown, with the YAML header that the Hugging Face hub reads.

    Args:
        name: Name of the bundle.
        contents: Contents of the bundle.
        private: Whether the bundle must not be redistributed.
        software: Version of this package.
        description: Markdown from the user, or generated text that is `escaped`.
        tables: Parquet tables of the bundle, by path; empty for none.
    """
    clips = contents.clips
    parts = [_head(name, contents, tables), f"# {escaped(name)}\n", description]
    if private:
        parts.append(WARNING)
    parts += ["## Contents\n\n" + _contents(tables), "## Splits\n\n" + _splits(clips)]
    parts.append("## Licences\n\n" + _licences(clips))
    parts += ["## Quality\n\n" + _quality(clips), "## How it was made\n\n" + _making(clips, software)]
    parts.append("## Omitted sources\n\n" + _left_out(contents))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _head(name: str, contents: PackContents, tables: Mapping[str, object]) -> str:
    licences = {clip.terms.licence for clip in contents.clips}
    only = licences.pop() if len(licences) == 1 else ""
    lines = ["---", f"pretty_name: {_yaml(name)}"]
    if only in OPEN:
        lines.append(f"license: {_HUB_NAMES.get(only, only.lower())}")
    else:
        lines += ["license: other", f"license_name: {_yaml(licence_of(contents))}"]
    lines += ["tags:", "- motion-capture", "- musculoskeletal", "- mujoco", "- MyoFullBody"]
    return "\n".join([*lines, *preview_header(tables), "---"])


def _contents(tables: Mapping[str, object]) -> str:
    frames = "- `data/`: the same clips as Parquet tables, one row per frame; the schema's metadata name the columns\n"
    return (
        "- `clips/`: one HDF5 file per motion: configurations `/qpos`, velocities `/qvel`, landmarks, contacts\n"
        f"{frames if tables else ''}"
        "- `clips.csv`: one line per clip: split, subject, licence, verdict, duration, SHA-256\n"
        "- `splits/train.txt`, `val.txt`, `test.txt`: paths of the clips of each split\n"
        "- `manifest.jsonl`: the manifest of the conversion; `mm-validate`, `mm-view` and `mm-report` read it\n"
        "- `MANIFEST.json`, `SHA256SUMS`: hashes of all files; check them with `sha256sum -c SHA256SUMS`\n"
        "- `croissant.json`: Croissant metadata, for programs"
    )


def _splits(clips: Sequence[PackedClip]) -> str:
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
    repeated = subjects_in_several_splits({clip.entry.source: clip.split for clip in clips})
    overlap = f"{len(repeated)} subjects are in more than one split." if repeated else "No subject is in two splits."
    note = " Subjects are identified by the folders of the motions; motions without a folder count as one subject."
    return _table(["split", "clips", "subjects", "frames", "hours", "verdicts"], rows) + f"\n\n{overlap}{note}"


def _licences(clips: Sequence[PackedClip]) -> str:
    rows = []
    for key in sorted({(_collection(clip), clip.terms.licence, clip.terms.stated) for clip in clips}):
        count = sum((_collection(clip), clip.terms.licence, clip.terms.stated) == key for clip in clips)
        folder, licence, stated = key
        link = f"[{licence}]({OPEN[licence]})" if licence in OPEN else escaped(licence)
        rows.append([escaped(folder), f"{count:,}", link, "the packager" if stated else "the clip"])
    note = "The licence of a motion also binds the clip made from it."
    return _table(["source", "clips", "licence", "stated by"], rows) + f"\n\n{note}"


def _collection(clip: PackedClip) -> str:
    return clip.entry.source.partition("/")[0] if "/" in clip.entry.source else "."


def _quality(clips: Sequence[PackedClip]) -> str:
    errors = [clip.facts["landmark_error_mm"] for clip in clips]
    known = np.array([error for error in errors if isinstance(error, int | float)])
    if known.size == 0:
        return "The clips do not record the distance of their landmarks from the targets."
    median, high, most = np.percentile(known, [50, 95, 100])
    return (
        f"Mean distance of a clip's landmarks from their targets: median {median:.1f} mm, 95 % of clips below "
        f"{high:.1f} mm, largest {most:.1f} mm ({known.size} of {len(clips)} clips)."
    )


def _making(clips: Sequence[PackedClip], software: str) -> str:
    def values(key: str) -> str:
        return ", ".join(sorted({escaped(str(clip.facts[key])) for clip in clips}))

    versions = sorted({f"{name} {version}" for clip in clips for name, version in clip.facts["software"].items()})
    rates = ", ".join(f"{fps:g}" for fps in sorted({clip.facts["fps"] for clip in clips}))
    altered = sorted({clip.facts["variant"] for clip in clips} - {""})
    variants = f"- altered bodies: {escaped('; '.join(altered))}\n" if altered else ""
    return (
        f"- body: {values('model')} {values('model_version')} (SHA-256 {values('model_sha256')})\n{variants}"
        f"- hands: {values('hands')}\n"
        f"- body model of the sources: {values('body_model')}\n"
        f"- frame rate: {rates} Hz; z up, metres, radians, quaternions wxyz\n"
        f"- software: {escaped(', '.join(versions))}\n"
        f"- packed with musclemap {software}"
    )


def _left_out(contents: PackContents) -> str:
    codes = Counter(omitted.code for omitted in contents.left_out)
    rows = [[code, f"{count:,}"] for code, count in sorted(codes.items())]
    return _table(["reason", "sources"], rows) if rows else "None."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def escaped(text: str) -> str:
    """Escape untrusted text for Markdown: one line without HTML, MDX, links, images, mentions or formulas."""
    marked = "".join(f"\\{letter}" if letter in _SPECIAL_CHARACTERS else letter for letter in plain_text(text))
    return marked.replace("www.", "www\\.")  # such addresses become links without any other markup


def plain_text(text: str) -> str:
    """Untrusted text as one line of valid UTF-8; invalid bytes and control characters are replaced."""
    decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in decoded)


def _yaml(text: str) -> str:
    """Untrusted text as a double-quoted YAML string on one line, which the text cannot terminate."""
    return json.dumps(plain_text(text), ensure_ascii=False)
