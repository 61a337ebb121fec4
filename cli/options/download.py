"""Options of `mm-download`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import shared


class Archive(StrEnum):
    """Archives that only their owners distribute."""

    amass = "amass"


_BUNDLES, _HUB, _CHECKS = "Bundles", "Data sets of the Hugging Face hub", "Check of an archive"

What = Annotated[
    str | None,
    typer.Argument(
        metavar="WHAT",
        help="Name from the catalogue, hf://OWNER/NAME or hf://OWNER/NAME@REVISION, or the URL of a bundle's "
        "MANIFEST.json; with --check, the folder of the archive.",
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Argument(metavar="OUT", help="Folder to write to.", show_default=False)]
Output = Annotated[Path | None, shared.output_option(shared.SAME_AS_OUT)]
List = Annotated[bool, typer.Option("--list", help="List the catalogue, with licences and addresses.")]
Check = Annotated[
    Archive | None,
    typer.Option(
        help="Report which parts of an archive are present, and what to download by hand.", rich_help_panel=_CHECKS
    ),
]
BodyModels = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of body models to check too.", rich_help_panel=_CHECKS)
]
Include = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Download only files that match; repeatable.")]
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Skip files that match; repeatable.")]
Group = Annotated[str | None, typer.Option(metavar="NAME", help="Download only the motions of this list.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Download only the first N files.")]
Workers = Annotated[int, shared.jobs_option("Number of parallel downloads.", most=32)]
Sha256 = Annotated[
    str | None,
    typer.Option(metavar="HASH", help="Require this hash of the manifest.", rich_help_panel=_BUNDLES),
]
Timeout = Annotated[
    float,
    typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for a silent server.", rich_help_panel=_BUNDLES),
]
Revision = Annotated[str | None, typer.Option(metavar="REV", help="Branch, tag or commit.", rich_help_panel=_HUB)]
Convert = Annotated[bool, typer.Option(help="Convert trajectories to clips and check them.", rich_help_panel=_HUB)]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Convert again even if a clip is up to date.", rich_help_panel=_HUB),
]
CheckDevice = Annotated[
    shared.Device | None,
    typer.Option(
        "--device", help="Device that checks the clips.", rich_help_panel=_HUB, show_default="a GPU if JAX finds one"
    ),
]
Config = Annotated[Path | None, shared.config_option(panel=_HUB)]
Assignments = Annotated[list[str] | None, shared.set_option("default_fps=100", panel=_HUB)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Report what would be downloaded, download nothing.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line per file.")]
