"""Registers the Gymnasium environment as soon as both musclemap and Gymnasium are imported, in either order.

Gymnasium 1 has no entry points for plug-ins: an environment exists once it is registered. Importing Gymnasium here
would make `import musclemap` several times as slow, so a finder waits for its import instead. It finds nothing else,
and leaves `sys.meta_path` once the environment is registered.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

ENV_ID = "musclemap/Tracking-v0"

_ENTRY_POINT = "musclemap.api.gym.environment:TrackingEnv"


def register_environment() -> None:
    """Register the environment with Gymnasium, which has to be imported, unless it is registered already."""
    gymnasium: Any = sys.modules["gymnasium"]
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(id=ENV_ID, entry_point=_ENTRY_POINT)


def register_when_imported() -> None:
    """Register the environment now if Gymnasium is imported, otherwise after its import."""
    if hasattr(sys.modules.get("gymnasium"), "register"):
        register_environment()
    elif not any(isinstance(finder, _GymnasiumFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _GymnasiumFinder())


class _GymnasiumFinder:
    """Finds the module `gymnasium` as the other finders do, and registers the environment once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:  # fmt: skip
        if fullname != "gymnasium":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                self._extend(spec)
                return spec
        return None

    def _extend(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        load = getattr(loader, "exec_module", None)
        if load is None:
            return

        def load_and_register(module: ModuleType) -> None:
            load(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            register_environment()

        loader.exec_module = load_and_register
