"""`mm-info`: print versions, devices, body models, licences, and what is missing. Broken libraries do not stop it."""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

import musclemap
from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines

from .options.shared import Json
from .program import Program

app = Program("mm-info")

PACKAGES = (
    "jax", "jaxlib", "mujoco", "mujoco-warp", "warp-lang", "musclemimic-models", "numpy", "scipy", "h5py", "dask",
    "typer", "matplotlib", "smplx", "torch",
)  # fmt: skip

EXTRAS = {
    "smpl": (("smplx", "torch"), "a check of body models with smplx"),
    "markers": (("ezc3d",), "optical markers of C3D files"),
    "data": (("pandas", "pyarrow", "xarray"), "clips as data frames, bundles with Parquet"),
    "gym": (("gymnasium", "moviepy"), "the Gymnasium environment"),
    "onnx": (("onnx", "onnxruntime"), "policies as ONNX"),
}
"""Packages of the extras for users, and what they are for. The GPU's are found by their device."""

DATA_LICENCES = {
    "SMPL, SMPL-H, SMPL-X body models": "not included; from their publishers, for non-commercial research",
    "AMASS motions": "not included; each data set has its own terms, which also bind the clips made from it",
    "clips": "each has the licence of its source, if known",
}


_EXAMPLES = (
    "mm-info",
    "mm-info --body-models smplh/    # which models a folder has",
    "mm-info --json",
)


@app.command(examples=_EXAMPLES)
def info(
    body_models: Annotated[
        Path | None,
        typer.Option(metavar="DIR", exists=True, help="List the body models of this folder.", show_default=False),
    ] = None,
    list_muscles: Annotated[
        bool, typer.Option("--list-muscles", help="List groups of muscles and their members, for --strength, instead.")
    ] = False,
    body_template: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL.xml", help="Print a first table for --body, guessed from a model (MJCF).", show_default=False
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Print versions, devices, body models, licences, and what is missing and how to get it.

    Exits with 0, 1 if --body-models has no model that can be read, 2 for wrong usage.
    """
    if body_template is not None:
        _print_body_template(body_template)
        return
    from musclemap.cli.output.progress import ProgressDisplay

    with ProgressDisplay(hidden=json_, text="asking the libraries"):
        result = _muscles() if list_muscles else gather(body_models)
    if list_muscles and not json_:
        echo_lines(f"{group}: {', '.join(members)}" for group, members in result.items())
    elif json_:
        echo_json(result, indent=2)
    else:
        echo_lines(_lines(result))
    if body_models is not None and not _readable(result["body_models"]):
        raise typer.Exit(1)


def _print_body_template(model: Path) -> None:
    """Print the table for the present folder if it holds the model, otherwise for the model's own folder."""
    from musclemap.skeletons.bodies.body_template import body_template

    here = Path.cwd()
    root = here if model.resolve().is_relative_to(here) else model.resolve().parent
    template = body_template(model.resolve(), root)
    echo_lines(template.text.splitlines())
    for sentence in template.missing:
        echo(f"mm-info: {sentence}", err=True)


def gather(body_models: Path | None = None) -> dict[str, Any]:
    """Collect the facts as plain values. A fact that cannot be determined is a text that says why."""
    facts = {
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
    return facts | {"missing": _missing(facts, body_models)}


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
    with _native_text_hidden():
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


def _missing(facts: dict[str, Any], body_models: Path | None) -> dict[str, str]:
    """What is not there, and how to get it."""
    missing = {}
    devices = facts["devices"]
    if not any(str(device).startswith(("cuda", "gpu")) for device in devices["jax"]):
        missing["GPU"] = "optional; Linux with an NVIDIA driver 580 or newer, and: pip install 'musclemap[gpu]'"
    for extra, (packages, purpose) in EXTRAS.items():
        if any(probe(lambda name=name: metadata.version(name)) == "not installed" for name in packages):
            missing[f"extra {extra}"] = f"optional; for {purpose}: pip install 'musclemap[{extra}]'"
    if not _readable(facts["body_models"]):
        where = f"{body_models} has none that can be read" if body_models else "--body-models DIR looks for them"
        missing["body models"] = (
            "optional; a mean skeleton is used without them. SMPL-H: https://mano.is.tue.mpg.de, SMPL-X: "
            f"https://smpl-x.is.tue.mpg.de, after registration; {where}"
        )
    where = "mm-download --check amass DIR says which parts a folder lacks"
    missing["AMASS motions"] = f"optional; https://amass.is.tue.mpg.de, after registration; {where}"
    return missing


def _readable(models: Any) -> bool:
    """Whether a body model is there and can be read."""
    return isinstance(models, list) and any(", sha256 " in str(row["is"]) for row in models)


@contextmanager
def _native_text_hidden() -> Iterator[None]:
    """Hide what native code writes to stderr: Warp says there that it finds no driver, which `missing` tells."""
    saved = None
    with suppress(OSError):
        saved = os.dup(2)
    if saved is None:
        yield
        return
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


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
