"""Reports which parts of AMASS and which body models a user has, and what to download by hand. Downloads nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from musclemap.datasets.amass.reader import find_motions
from musclemap.datasets.groups import DATA_SETS, group_names, load_group, motion_key, select
from musclemap.failures import Failure, attempt
from musclemap.skeletons.smpl.body_model import find_body_models, load_body_model

SITE = "https://amass.is.tue.mpg.de"

BODY_MODEL_PAGES = {
    "smpl": ("https://smpl.is.tue.mpg.de", "SMPL, version 1.1.0 for Python, with the neutral model"),
    "smplh": ("https://mano.is.tue.mpg.de", "'Extended SMPL+H model' of AMASS, 16 shape coefficients"),
    "smplx": ("https://smpl-x.is.tue.mpg.de", "SMPL-X, version 1.1"),
}
"""Website of each family's owners, and which of its downloads to take."""

PACKED = (".tar.bz2", ".tar.gz", ".tar.xz", ".tar", ".zip")
"""Endings of downloads that have to be unpacked."""

GENDERS = ("female", "male", "neutral")


@dataclass(frozen=True, kw_only=True)
class GroupState:
    """How much of a motion list is present.

    Attributes:
        entries: Number of motions in the list.
        found: Number of those present.
        missing: Number of missing motions for each part of the archive.
    """

    entries: int
    found: int
    missing: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class ArchiveState:
    """Motions and body models that a user has.

    Attributes:
        root: Folder of the archive.
        parts: Number of motions in each part that is present.
        absent: Parts that are missing, sorted.
        unmatched: Number of motions whose path names no part.
        groups: State of each motion list.
        body_models: File of each body model by family and gender; None if no folder was given.
        unreadable: Files that look like body models but cannot be read, with the reason.
        packed: Downloads in the folder that are not unpacked.
    """

    root: Path
    parts: Mapping[str, int]
    absent: tuple[str, ...]
    unmatched: int
    groups: Mapping[str, GroupState]
    body_models: Mapping[tuple[str, str], str] | None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    packed: tuple[Path, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every motion of every list is present, and a body model if a folder for them was given."""
        return all(state.found == state.entries for state in self.groups.values()) and self.body_models != {}

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values, ready for JSON."""
        models = self.body_models
        return {
            "root": str(self.root),
            "complete": self.complete,
            "parts": dict(self.parts),
            "absent": list(self.absent),
            "unmatched": self.unmatched,
            "groups": {name: asdict(state) for name, state in self.groups.items()},
            "body_models": None
            if models is None
            else [{"family": family, "gender": gender, "file": file} for (family, gender), file in models.items()],
            "unreadable": dict(self.unreadable),
            "packed": [str(path) for path in self.packed],
            "steps": self.steps(),
        }

    def steps(self) -> list[str]:
        """Instructions: what to download by hand, and where to put it."""
        needed = Counter[str]()
        for state in self.groups.values():
            needed.update(state.missing)
        instruction = f"register at {SITE}, accept the terms, and under Download take 'SMPL+H G' or 'SMPL-X G' of"
        steps = [f"{path.name} is not unpacked: unpack it in {path.parent}" for path in self.packed]
        steps += [
            f"{_with_aliases(part)}: {instruction} {part}; unpack it into {self.root / part} "
            f"({count} motions of the lists are missing)"
            for part, count in sorted(needed.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        others = [_with_aliases(part) for part in self.absent if part not in needed]
        if others:
            steps.append(f"optional, also from {SITE}: {', '.join(others)}")
        if self.body_models is not None:
            for family, (page, download) in BODY_MODEL_PAGES.items():
                missing = [gender for gender in GENDERS if (family, gender) not in self.body_models]
                if missing:
                    steps.append(f"body model {family} ({', '.join(missing)}): register at {page}, accept the terms, "
                                 f"download {download}, and unpack it below the folder of --body-models")  # fmt: skip
        return steps


def check_archive(root: Path, *, body_models: Path | None = None, groups: Sequence[str] = ()) -> ArchiveState:
    """Compare an archive with the motion lists, by file names only; motions are not opened.

    Args:
        root: Folder of the archive; its parts may be at any depth.
        body_models: Folder of body models, which are read.
        groups: Names of the motion lists; all if empty.

    Raises:
        SourceError: If the folder does not exist.
        SettingsError: If a list does not exist.
        BodyModelError: If the folder of body models does not exist.
    """
    names = [name for _, name in find_motions(root)]
    # the folder itself may be a part, or inside one
    prefix = root.resolve().name + "/"
    keys = [motion_key(prefix + name) for name in names]
    parts = Counter(key[0] for key in keys if key[0] in DATA_SETS and len(key) > 1)
    states = {}
    for name in groups or group_names():
        entries = load_group(name)
        missing = select([prefix + n for n in names], entries).missing
        missing_of = Counter(_part(entry) for entry in missing)
        states[name] = GroupState(entries=len(entries), found=len(entries) - len(missing), missing=dict(missing_of))
    models, unreadable = (None, {}) if body_models is None else _models(body_models)
    return ArchiveState(
        root=root,
        parts=dict(sorted(parts.items())),
        absent=tuple(sorted(set(DATA_SETS) - set(parts))),
        unmatched=len(names) - sum(parts.values()),
        groups=states,
        body_models=models,
        unreadable=unreadable,
        packed=tuple(sorted(path for path in root.rglob("*") if path.name.lower().endswith(PACKED) and path.is_file())),
    )


def _with_aliases(part: str) -> str:
    """Name of a part with its other names, which help to find it on the website."""
    return f"{part} (also {', '.join(DATA_SETS[part])})" if DATA_SETS.get(part) else part


def _part(entry: str) -> str:
    """Part of the archive that an entry belongs to, or "other"."""
    key = motion_key(entry)
    return key[0] if key[0] in DATA_SETS else "other"


def _models(folder: Path) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """Body models by family and gender, and the files that could not be read."""
    models: dict[tuple[str, str], str] = {}
    unreadable: dict[str, str] = {}
    for path in find_body_models(folder):
        model = attempt(lambda path=path: load_body_model(path))
        if isinstance(model, Failure):
            unreadable[str(path)] = model.message
            continue
        models.setdefault((model.family, model.gender), str(path))
    return dict(sorted(models.items())), unreadable
