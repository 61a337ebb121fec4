"""What the numbers were measured on."""

import json
import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("musclemap", "musclemimic-models", "mujoco", "jax", "jaxlib", "numpy", "scipy", "h5py", "mink", "daqp")


def describe() -> dict[str, Any]:
    """Processor, cores, memory, load, devices and versions."""
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


def keep(path: Path | None, results: dict[str, Any]) -> None:
    """Write results to a file, if one is wanted, with the command that made them; of paths elsewhere the names."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [
        word if ".." not in Path(word).parts and not Path(word).is_absolute() else Path(word).name for word in sys.argv
    ]
    command = shlex.join(["python", *words])
    path.write_text(json.dumps({"command": command, **results}, indent=1) + "\n")


def message(machine: dict[str, Any]) -> str:
    """The same for people."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    devices = ", ".join(machine["devices"])
    lines = [
        f"machine   {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {devices}",
        f"software  python {machine['python']}, {versions}",
    ]
    if machine["load_before"] > 0.5:
        lines.append(f"WARNING   the machine was busy before (load {machine['load_before']}): times below are too long")
    return "\n".join(lines)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """Name of the processor as Linux has it."""
    path = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in path.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
