"""Which bodies of one's own this process knows: those of the tables named in the environment.

A process inherits its environment, so the workers of a command know what the command knows. Nothing else makes a table
known: a data set cannot, because a model from a stranger is opened only if the user names it.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Generic, TypeVar

from musclemap.errors import TargetError
from musclemap.skeletons.body import TargetBody

from .bimanual_arm import NAME as BIMANUAL_ARM
from .body_table import read_body_table
from .myofullbody import NAME as FULL_BODY
from .own_body import load_own_body
from .small_arm import ARM_NAME

ENVIRONMENT = "MUSCLEMAP_BODIES"
"""Environment variable with the paths of tables, separated as in PATH."""

_TAKEN = (FULL_BODY, BIMANUAL_ARM, ARM_NAME, "full-body", "bimanual-arm")
"""Names of the package's bodies, in clips and in commands."""

Loader = Callable[..., TargetBody]
ValueT = TypeVar("ValueT")


def add_body(path: Path) -> str:
    """Make a body of one's own known to this process and to those that it starts.

    Args:
        path: Its table.

    Returns:
        Its name, by which clips refer to it.

    Raises:
        TargetError: If the table cannot be read, or another body with this name is known.
    """
    path = path.resolve()
    name = read_body_table(path).name
    if name in _TAKEN:
        raise TargetError(f"{path}: {name!r} is the name of one of the package's bodies; give this one another name")
    known = own_tables().get(name)
    if known is not None and known != path:
        raise TargetError(f"{path} and {known} are both named {name!r}; give one of them another name")
    if known is None:
        before = os.environ.get(ENVIRONMENT)
        os.environ[ENVIRONMENT] = str(path) if not before else f"{before}{os.pathsep}{path}"
    return name


def own_tables() -> dict[str, Path]:
    """Table of each body of one's own, by name.

    Raises:
        TargetError: If a table that the environment names cannot be read.
    """
    paths = [Path(text) for text in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if text]
    return {read_body_table(path).name: path for path in paths}


class WithOwnBodies(Mapping[str, ValueT], Generic[ValueT]):
    """A table of bodies that are part of the package, then those of one's own.

    Args:
        builtin: Entries of the package's bodies.
        of_own: Entry of a body of one's own, from its name and its table.
    """

    def __init__(self, builtin: Mapping[str, ValueT], of_own: Callable[[str, Path], ValueT]) -> None:
        self._builtin, self._of_own = dict(builtin), of_own

    def __getitem__(self, name: str) -> ValueT:
        if name in self._builtin:
            return self._builtin[name]
        return self._of_own(name, own_tables()[name])

    def __iter__(self) -> Iterator[str]:
        yield from self._builtin
        yield from (name for name in own_tables() if name not in self._builtin)

    def __len__(self) -> int:
        return len(list(iter(self)))


def loader_of_own(name: str, path: Path) -> Loader:
    """Loader of a body of one's own, which compiles it again only if the table has changed."""
    del name
    status = path.stat()
    return partial(_load, path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=8)
def _load(path: Path, stamp: tuple[int, int], *, limits: str, published: bool) -> TargetBody:
    """Load a body; `stamp` identifies the state of its table."""
    del stamp, published
    return load_own_body(path, limits=limits)
