"""List of the clips that a viewer can show."""

from dataclasses import dataclass
from pathlib import Path

from musclemap.datasets.output_folder import clip_files
from musclemap.errors import SettingsError
from musclemap.pipelines.clip_bodies import clips_of_body
from musclemap.pipelines.wording import close_names

_SUFFIX = ".h5"


@dataclass(frozen=True, kw_only=True)
class ClipFolder:
    """All clips below a folder, or a single clip."""

    root: Path
    names: tuple[str, ...]
    """Sorted POSIX paths relative to `root`; at least one."""

    def path(self, name: str) -> Path:
        """Path of a clip's file."""
        return self.root / name

    def find(self, text: str) -> str:
        """Resolve the name of a clip: its path below the folder, with or without suffix, or words that only it has.

        Raises:
            SettingsError: If there is no such clip, or there are several; the message lists some names.
        """
        requested = Path(text).as_posix()
        for name in (requested, requested + _SUFFIX):
            if name in self.names:
                return name
        matching = self.matching(text, limit=4) if text.strip() else ()
        if len(matching) == 1:
            return matching[0]
        if matching:
            more = " and more" if len(matching) > 3 else ""
            raise SettingsError(f"several clips in {self.root} match {text!r}: {', '.join(matching[:3])}{more}")
        close = close_names(requested, self.names)
        raise SettingsError(f"no clip {text!r} in {self.root}; closest names: {', '.join(close)}")

    def matching(self, text: str, *, limit: int) -> tuple[str, ...]:
        """First `limit` names that contain every word of `text`; case does not matter."""
        words = text.lower().split()
        return tuple(name for name in self.names if all(word in name.lower() for word in words))[:limit]


def find_clips(out: Path, *, body: str | None = None) -> ClipFolder:
    """List the clips below a folder, without hidden files and folders; a file counts as a list of one.

    Args:
        out: Folder or file.
        body: Only clips of this body, a key of `BODY_OPTIONS`.

    Raises:
        SettingsError: If `out` does not exist or holds no clip, or none of the body.
    """
    if out.is_file():
        clips_of_body([out], body)
        return ClipFolder(root=out.parent, names=(out.name,))
    if not out.is_dir():
        raise SettingsError(f"no folder or clip at {out}")
    relative = (path.relative_to(out) for path in clip_files(out) if path.is_file())
    names = sorted(path.as_posix() for path in relative if not any(part.startswith(".") for part in path.parts))
    if not names:
        raise SettingsError(f"no clip ({_SUFFIX}) in {out}; `mm-retarget INPUT {out}` writes clips")
    kept = clips_of_body([out / name for name in names], body)
    return ClipFolder(root=out, names=tuple(path.relative_to(out).as_posix() for path in kept))
