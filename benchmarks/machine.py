"""Description of the machine that a benchmark ran on."""

import json
import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "musclemap", "musclemimic-models", "mujoco", "mujoco-warp", "warp-lang", "jax", "jaxlib", "numpy", "scipy", "h5py",
    "mink", "daqp",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Describe processor, cores, memory, load, devices and versions."""
    import jax

    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def save(path: Path | None, results: dict[str, Any]) -> None:
    """Write results to a file, unless it is None, with the command; paths outside the folder are cut to their names."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    arguments = [
        argument if ".." not in Path(argument).parts and not Path(argument).is_absolute() else Path(argument).name
        for argument in sys.argv
    ]
    command = shlex.join(["python", *arguments])
    path.write_text(json.dumps({"command": command, **results}, indent=1) + "\n")


def message(machine: dict[str, Any]) -> str:
    """Format the description as text."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    devices = ", ".join(machine["devices"])
    lines = [
        f"machine   {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {devices}",
        f"software  python {machine['python']}, {versions}",
    ]
    if machine["load_before"] > 0.5:
        lines.append(f"WARNING   the machine was busy at the start (load {machine['load_before']}): times are too long")
    return "\n".join(lines)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """Name of the processor."""
    path = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in path.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
