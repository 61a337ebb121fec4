"""Options of `mm-pack`."""

from pathlib import Path
from typing import Annotated

import typer

from .shared import SAME_AS_OUT, output_option

_SPLITS, _METADATA = "Splits", "Metadata"

Source = Annotated[
    Path,
    typer.Argument(
        metavar="CLIPS", help="Folder of clips, with its manifest.jsonl.", exists=True, file_okay=False,
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Argument(metavar="OUT", help="Folder of the new bundle.", show_default=False)]
Output = Annotated[Path | None, output_option(SAME_AS_OUT)]
Licence = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB=LICENCE",
        help="Set the licence of sources that state none, such as 'walks/*=CC-BY-4.0'; repeatable.",
    ),
]
Private = Annotated[
    bool, typer.Option("--private", help="Include clips whose licence forbids redistribution or is unknown.")
]
Infeasible = Annotated[bool, typer.Option("--infeasible", help="Include infeasible clips.")]
Shares = Annotated[
    str,
    typer.Option(
        metavar="TRAIN,VAL,TEST", help="Share of the time per split; each subject stays in one split.",
        rich_help_panel=_SPLITS,
    ),
]  # fmt: skip
Seed = Annotated[int, typer.Option(help="Seed that assigns subjects to splits.", rich_help_panel=_SPLITS)]
Train = Annotated[
    str | None,
    typer.Option(
        metavar="GROUP", help="Motion list of the train split, or a file; otherwise the rest.",
        rich_help_panel=_SPLITS,
    ),
]  # fmt: skip
Val = Annotated[
    str | None,
    typer.Option(metavar="GROUP", help="Motion list of the val split, or a file.", rich_help_panel=_SPLITS),
]
Test = Annotated[
    str | None,
    typer.Option(metavar="GROUP", help="Motion list of the test split, or a file.", rich_help_panel=_SPLITS),
]
SharedSubjects = Annotated[
    bool,
    typer.Option("--shared-subjects", help="Allow subjects in more than one split.", rich_help_panel=_SPLITS),
]
Name = Annotated[
    str | None, typer.Option(help="Name of the bundle.", show_default="the folder's", rich_help_panel=_METADATA)
]
DataVersion = Annotated[str, typer.Option(help="Version of the data.", rich_help_panel=_METADATA)]
Description = Annotated[str, typer.Option(help="Description of the data.", rich_help_panel=_METADATA)]
Url = Annotated[str | None, typer.Option(help="Web page of the data set.", rich_help_panel=_METADATA)]
Creator = Annotated[str | None, typer.Option(help="Creator of the data set.", rich_help_panel=_METADATA)]
Date = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="Date of publication.", rich_help_panel=_METADATA)]
Citation = Annotated[str | None, typer.Option(help="Text to cite.", rich_help_panel=_METADATA)]
Parquet = Annotated[
    bool,
    typer.Option("--parquet", help="Also write every frame into Parquet tables, which the Hugging Face hub shows."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Report what would be packed, write nothing.")]
