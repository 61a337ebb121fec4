"""Makes a package callable, so that `musclemap.retarget` is both the folder of that name and a function."""

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that calls a function elsewhere; the function is imported by the first call."""

    _target: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function()(*args, **kwargs)

    @property
    def __doc__(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The documentation of the function: it is what `help` and notebooks should show."""
        return self._function().__doc__

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())

    def _function(self) -> Callable[..., Any]:
        module, _, name = self._target.partition(":")
        return getattr(importlib.import_module(module), name)


def make_callable(package: str, target: str) -> None:
    """Let calls of a package call a function.

    Importing a submodule binds the package to its parent's attribute, in place of any function of that name. So the
    package itself has to take the calls.

    Args:
        package: Name of the package, which is being imported.
        target: The function, as MODULE:NAME; may belong to a package that imports this one.
    """
    module = sys.modules[package]
    module.__class__ = _CallablePackage
    module.__dict__["_target"] = target
