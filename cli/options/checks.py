"""Checks of options against each other. An option that would have no effect is an error."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from musclemap.errors import SettingsError

from .shared import ClipFilters, Device

if TYPE_CHECKING:
    from musclemap.pipelines.train.dataset import ListedClip

HDF5_START = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""


def given_options(ctx: typer.Context) -> dict[str, str]:
    """Return the parameters given on the command line, each with its option."""
    result = {}
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            long = [option for option in parameter.opts if option.startswith("--")]
            result[parameter.name or ""] = (long or parameter.opts)[0]
    return result


def refuse_unused(ctx: typer.Context, used: Collection[str], *, subject: str) -> None:
    """Refuse options that this use of a command ignores.

    Args:
        ctx: Context of the command.
        used: Names of the parameters that have an effect.
        subject: Subject of the message, in the plural.

    Raises:
        SettingsError: If there is such an option; the message names all of them.
    """
    unused = [option for name, option in given_options(ctx).items() if name not in used]
    if unused:
        raise SettingsError(f"{subject} do not take {', '.join(unused)}")


def refuse_verbose_and_quiet(*, verbose: bool, quiet: bool) -> None:
    """Refuse -v together with -q.

    Raises:
        typer.BadParameter: If both are given.
    """
    if verbose and quiet:
        raise typer.BadParameter("-v and -q exclude each other")


def check_device(device: Device | None) -> None:
    """Refuse a GPU that JAX cannot use, before anything heavy is imported.

    Raises:
        DeviceError: If so.
    """
    from musclemap.pipelines.device import refuse_missing_gpu

    refuse_missing_gpu(device)


def check_clip_file(path: Path) -> None:
    """Refuse a file that is given as a clip and does not start as one, before anything heavy is imported.

    Raises:
        SettingsError: If so.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        if file.read(len(HDF5_START)) != HDF5_START:
            raise SettingsError(f"{path} is no clip: clips are HDF5 files (.h5), which mm-retarget writes")


def selected_clips(
    source: Path, include: Sequence[str], exclude: Sequence[str], limit: int | None, *, listed: bool = False
) -> frozenset[str] | None:
    """Choose clips of a folder, before anything heavy is imported.

    Args:
        source: Folder, or one clip.
        include: Globs; a clip is chosen if one matches its path below the folder, or its file name. Empty for all.
        exclude: Globs of clips to leave out.
        limit: Largest number of clips, the first ones by name; None for all.
        listed: Choose also from clips that only the manifest has.

    Returns:
        POSIX paths below the folder; None for all clips.

    Raises:
        SettingsError: If there is no clip below the folder, or none is chosen.
    """
    from musclemap.datasets.globs import matches_globs
    from musclemap.datasets.output_folder import clip_files, has_lines, read_entries

    check_clip_file(source)
    root = source if source.is_dir() else source.parent
    found = {path.relative_to(root).as_posix() for path in (clip_files(root) if source.is_dir() else [source])}
    if found and listed and source.is_dir() and has_lines(root):
        found |= {entry.clip for entry in read_entries(root).values() if entry.clip}
    names = sorted(found)
    if not names:
        raise SettingsError(f"there is no clip (.h5) below {source}; mm-retarget writes clips")
    chosen = [name for name in names if matches_globs(name, include=include, exclude=exclude)][:limit]
    if not chosen:
        raise SettingsError(f"none of the {len(names)} clips of {source} matches; one is {names[0]}")
    return None if len(chosen) == len(names) else frozenset(chosen)


def check_selection(dataset: Path, filters: ClipFilters) -> "list[ListedClip]":
    """Refuse a selection of clips that is empty, before anything heavy is imported and any clip is read.

    Returns:
        The selected clips of every body.

    Raises:
        SettingsError: If there is no data set, no such group or split, or no clip matches.
    """
    from musclemap.pipelines.train.dataset import list_clips

    if not dataset.exists():
        raise SettingsError(f"there is no folder or clip {dataset}")
    check_clip_file(dataset)
    return list_clips(
        dataset, include=filters["include"], exclude=filters["exclude"], group=filters["group"],
        split=filters["split"], limit=filters["limit"],
    )  # fmt: skip


def check_output_file(option: str, path: Path, ending: str) -> None:
    """Refuse a file that cannot be written, before hours of work.

    Raises:
        SettingsError: If its name has another ending or there is no such folder.
    """
    if path.suffix.lower() != ending:
        raise SettingsError(f"{option} {path.name} ends in {path.suffix or 'nothing'}; it has to end in {ending}")
    if not path.resolve().parent.is_dir():
        raise SettingsError(f"{option} {path}: there is no folder {path.resolve().parent}")


def one_output(out: Path | None, output: Path | None) -> Path | None:
    """Return what the command writes, given as the argument OUT or as `-o`.

    Raises:
        SettingsError: If both are given.
    """
    if out is not None and output is not None:
        raise SettingsError(f"the output is given twice: {out} and -o {output}; the inputs are one folder or one file")
    return output if out is None else out


def check_assignments(assignments: Sequence[str]) -> None:
    """Refuse a --set without a value, before the settings import anything heavy.

    Raises:
        SettingsError: If there is one.
    """
    for text in assignments:
        key, equals, _ = text.partition("=")
        if not (key.strip() and equals):
            raise SettingsError(f"--set takes KEY=VALUE, such as --set seed=1, not {text!r}")


def check_policy(source: Path) -> None:
    """Refuse what is no policy by its first bytes, before anything heavy is imported.

    Args:
        source: Folder of a run, or a policy file.

    Raises:
        SettingsError: If there is no policy file, or it does not start as one: with the length of a JSON object and
            that object, as safetensors files do.
    """
    path = source / "policy.safetensors" if source.is_dir() else source
    if not os.path.lexists(path):
        raise SettingsError(f"there is no policy at {path}; mm-train writes one with every checkpoint")
    if not path.is_file():
        raise SettingsError(f"{path} is not a regular file")
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] != b"{" or int.from_bytes(start[:8], "little") > path.stat().st_size:
        raise SettingsError(f"{path} is no policy; mm-train writes policies, as policy.safetensors")


def check_run(folder: Path, *, resume: bool) -> None:
    """Refuse a folder of a run that is a file, or has a run that is not to be resumed, or none that is.

    Raises:
        SettingsError: If so.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--run {folder} is a file; give a folder for the run")
    if not resume and (folder / "run.json").is_file():
        raise SettingsError(f"{folder} already holds a run; --resume continues it, --run DIR names another folder")
    if resume and not (folder / "run.json").is_file():
        raise SettingsError(f"there is no run in {folder} to resume; --run names its folder")
