"""Versions of the software that computes a clip."""

from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from musclemap import __version__

_PACKAGES = ("numpy", "scipy", "jax", "jaxlib", "mujoco", "musclemimic-models", "h5py")

_OPTIONAL_PACKAGES = ("mujoco-warp", "warp-lang")
"""Packages that check clips on a GPU; left out of the versions if not installed."""


@cache
def software_versions(platform: str) -> dict[str, str]:
    """Versions of the packages that compute a clip, and the platform of the device."""
    result = {"musclemap": __version__, "device": platform}
    for name in _PACKAGES:
        try:
            result[name] = version(name)
        except PackageNotFoundError:
            result[name] = "unknown"
    for name in _OPTIONAL_PACKAGES:
        with suppress(PackageNotFoundError):
            result[name] = version(name)
    return result
