"""Which clips there are to look at."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from musclemap.errors import SettingsError

_SUFFIX = ".h5"


@dataclass(frozen=True, kw_only=True)
class ClipFolder:
    """Clips below a folder, or a single one."""

    root: Path
    names: tuple[str, ...]
    """POSIX paths below `root`, sorted; at least one."""

    def path(self, name: str) -> Path:
        """File of a clip."""
        return self.root / name

    def find(self, text: str) -> str:
        """Name of the clip that a user means: its path below the folder, the ending may be left out.

        Raises:
            SettingsError: There is no such clip; the message gives the names most like it.
        """
        requested = Path(text).as_posix()
        for name in (requested, requested + _SUFFIX):
            if name in self.names:
                return name
        near = difflib.get_close_matches(requested, self.names, n=3, cutoff=0.3) or self.names[:3]
        raise SettingsError(f"no clip {text!r} below {self.root}; there is, for one: {', '.join(near)}")

    def matching(self, text: str, *, limit: int) -> tuple[str, ...]:
        """First `limit` names that hold every word of `text`, whatever the case of letters."""
        words = text.lower().split()
        return tuple(name for name in self.names if all(word in name.lower() for word in words))[:limit]


def find_clips(out: Path) -> ClipFolder:
    """List the clips below a folder; hidden files and folders are passed over. A file is a list of one.

    Raises:
        SettingsError: There is nothing there, or no clip in it.
    """
    if out.is_file():
        return ClipFolder(root=out.parent, names=(out.name,))
    if not out.is_dir():
        raise SettingsError(f"there is no folder and no clip at {out}")
    below = (path.relative_to(out) for path in out.rglob(f"*{_SUFFIX}") if path.is_file())
    names = sorted(path.as_posix() for path in below if not any(part.startswith(".") for part in path.parts))
    if not names:
        raise SettingsError(f"no clip ({_SUFFIX}) below {out}; `mm-retarget INPUT {out}` makes some")
    return ClipFolder(root=out, names=tuple(names))
