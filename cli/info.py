"""`mm-info`: print versions, devices, body models and licences. It never fails."""

import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

import musclemap
from musclemap.cli.output.terminal_text import echo_json, echo_lines

from .options.shared import Json
from .program import Program

app = Program("mm-info")

PACKAGES = (
    "jax", "jaxlib", "mujoco", "mujoco-warp", "warp-lang", "musclemimic-models", "numpy", "scipy", "h5py", "dask",
    "typer", "matplotlib", "smplx", "torch",
)  # fmt: skip

DATA_LICENCES = {
    "SMPL, SMPL-H, SMPL-X body models": "not included; from their publishers, for non-commercial research",
    "AMASS motions": "not included; each data set has its own terms, which also bind the clips made from it",
    "clips": "each has the licence of its source, if known",
}


@app.command()
def info(
    body_models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="List the body models of this folder.", show_default=False)
    ] = None,
    list_muscles: Annotated[
        bool, typer.Option("--list-muscles", help="List groups of muscles and their members, for --strength, instead.")
    ] = False,
    json_: Json = False,
) -> None:
    """Print versions, devices, body models and licences. Exits with 0, or 2 for wrong usage."""
    result = _muscles() if list_muscles else gather(body_models)
    if list_muscles and not json_:
        echo_lines(f"{group}: {', '.join(members)}" for group, members in result.items())
    elif json_:
        echo_json(result, indent=2)
    else:
        echo_lines(_lines(result))


def gather(body_models: Path | None = None) -> dict[str, Any]:
    """Collect the facts as plain values. A fact that cannot be determined is a text that says why."""
    return {
        "musclemap": musclemap.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: probe(lambda name=name: metadata.version(name)) for name in PACKAGES},
        "devices": {"jax": probe(_jax_devices), "warp": probe(_warp_devices)},
        "target": probe(_target),
        "other_targets": probe(_other_targets),
        "body_models": probe(lambda: _body_models(body_models)),
        "licences": probe(_licences),
    }


def probe(question: Callable[[], Any]) -> Any:
    """Return the answer, or the error as text: a broken driver must not hide the other facts."""
    try:
        return question()
    except metadata.PackageNotFoundError:
        return "not installed"
    except Exception as error:  # noqa: BLE001 - any failure of a library is an answer here
        return f"unknown ({type(error).__name__}: {error})"


def _jax_devices() -> list[str]:
    import jax

    return [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()]


def _warp_devices() -> list[str]:
    import warp

    warp.config.log_level = warp.LOG_ERROR  # or its banner goes to stdout
    warp.init()
    return [f"{device.alias} {device.name}" for device in warp.get_devices()]


def _target() -> dict[str, Any]:
    from musclemap.skeletons.bodies import DEFAULT_BODY

    return _facts(DEFAULT_BODY)


def _other_targets() -> dict[str, Any]:
    from musclemap.skeletons.bodies import BODY_OPTIONS, DEFAULT_BODY

    others = {option: name for option, name in BODY_OPTIONS.items() if name != DEFAULT_BODY}
    return {option: probe(lambda name=name: _facts(name)) for option, name in others.items()}


def _facts(name: str) -> dict[str, Any]:
    from musclemap.skeletons.bodies import load_body

    body = load_body(name)
    model = body.model
    return {
        "name": body.name, "version": body.version, "sha256": body.sha256, "nq": model.nq, "nv": model.nv,
        "nmuscle": model.nu, "mass_kg": round(body.mass, 2),
        "corrections": [correction.text for correction in body.corrections],
    }  # fmt: skip


def _muscles() -> dict[str, Any]:
    """Groups of muscles of the default body and their members, without the suffix of their side."""
    from musclemap.skeletons.bodies import load_body
    from musclemap.skeletons.variants.groups import grouped, stem_and_side

    body = load_body()
    names = [body.model.actuator(i).name for i in range(body.model.nu)]
    groups = grouped(names, body.muscle_groups)
    stems = {name: list(dict.fromkeys(stem_and_side(m)[0] for m in groups[name])) for name in body.muscle_groups}
    in_groups = {stem for members in stems.values() for stem in members}
    rest = list(dict.fromkeys(stem for name in names if (stem := stem_and_side(name)[0]) not in in_groups))
    return stems | {"in no group": rest}


def _body_models(folder: Path | None) -> list[dict[str, Any]]:
    from musclemap.skeletons.smpl.body_model import find_body_models

    paths = find_body_models(folder) if folder is not None else ()
    return [{"file": str(path), "is": probe(lambda path=path: _body_model(path))} for path in paths]


def _body_model(path: Path) -> str:
    from musclemap.skeletons.smpl.body_model import load_body_model

    model = load_body_model(path)
    return f"{model.family} {model.gender}, {model.nbeta} betas, sha256 {model.sha256}"


def _licences() -> dict[str, str]:
    bodies = ("mujoco", "musclemimic-models")
    return (
        {"musclemap": "Apache-2.0"} | {name: probe(lambda name=name: _licence(name)) for name in bodies} | DATA_LICENCES
    )


def _licence(package: str) -> str:
    result = metadata.metadata(package)
    return next((result[key] for key in ("License-Expression", "License") if key in result), "not stated")


def _lines(result: Any, indent: str = "") -> list[str]:
    """Format nested values as indented lines."""
    lines = []
    for key, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            rows = [f"{row['file']}: {row['is']}" if isinstance(row, dict) else row for row in value] or ["none"]
            lines += [f"{indent}{key}:", *(f"{indent}  {row}" for row in rows)]
        else:
            lines.append(f"{indent}{key}: {value}")
    return lines


if __name__ == "__main__":
    app()
