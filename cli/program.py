"""Base of all commands: every error ends a command with one sentence and an exit status, never a traceback."""

import contextlib
import functools
import inspect
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from musclemap import __version__
from musclemap.cli.output.completion import VARIABLE, prepare_completion
from musclemap.cli.output.help_text import help_lines
from musclemap.cli.output.interrupts import two_step_interrupts
from musclemap.cli.output.library_text import clean_library_text
from musclemap.cli.output.terminal_text import echo
from musclemap.cli.output.verbs import spelled_like
from musclemap.cli.output.wrong_use import explain
from musclemap.entry_points import INTERRUPTED
from musclemap.errors import MusclemapError
from musclemap.failures import describe
from musclemap.urls import without_secrets

WRONG_USE, INTERNAL, PIPE_CLOSED = 2, 70, 141
"""Exit statuses: wrong usage, or nothing could be done; a fault of the program (EX_SOFTWARE of sysexits.h); a closed
pipe as in shells, 128 + the signal's number."""

DEBUG = "MUSCLEMAP_DEBUG"
"""Environment variable. If it is set, unexpected errors are logged with their traceback."""


HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


def _print_version(requested: bool) -> None:
    if requested:
        echo(f"musclemap {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", help="Print the version and exit.", callback=_print_version, is_eager=True, expose_value=False
    ),
]
"""The option `--version`, which every command has."""


class Program(typer.Typer):
    """Typer application whose commands end as described above.

    Args:
        name: Name of the program, such as "mm-retarget"; prefix of its messages.
        kept: What an interrupted run leaves, as a sentence for Ctrl-C.
    """

    def __init__(self, name: str, *, kept: str = "nothing was written") -> None:
        super().__init__(add_completion=False, pretty_exceptions_enable=False, context_settings=HELP_OPTIONS)
        self._class = type("Command", (_Command,), {"program": name, "kept": kept})

    def command(
        self, name: str | None = None, *, examples: Sequence[str] = (), **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """As `Typer.command`. The docstring is the help; its lines are broken at the width of the terminal.

        Args:
            name: Name of the command; that of the function if None.
            examples: Command lines for the end of the help.
            options: Passed to Typer.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            paragraphs = (inspect.getdoc(function) or "").split("\n\n")
            text = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
            command = _with_version(function)
            options["epilog"] = "\n".join(examples)
            super(Program, self).command(name, cls=self._class, help=text, **options)(command)
            return function

        return register


def _with_version(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a command, with the option `--version` after its own."""

    @functools.wraps(function)
    def command(*args: Any, version: Version = False, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    signature = inspect.signature(function)
    option = inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Version)
    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # pyright: ignore
    command.__annotations__ = {**function.__annotations__, "version": Version}
    del command.__wrapped__  # or inspection would find the function without the option
    return command


class _PipeClosed(Exception):
    """The reader of the output closed the pipe. Typer would exit with 1, which here means that some clips failed."""


class _Interrupted(Exception):
    """Ctrl-C in a command that does not handle it. Typer would exit without a word."""


class _Ending:
    """How commands and groups of commands end: with one sentence and a status, whatever happens."""

    program, kept = "", ""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help text, in place of Typer's."""
        formatter.write("\n".join(help_lines(self, ctx)))

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """As Typer's."""
        try:
            base: Any = super()
            return base.make_context(*args, **extra)
        except KeyboardInterrupt as error:
            raise _Interrupted from error

    def invoke(self, ctx: Any) -> Any:
        """As Typer's."""
        try:
            base: Any = super()  # of Typer
            return base.invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeClosed from error
        except KeyboardInterrupt as error:
            raise _Interrupted from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command; exit with its status, or return it if not `standalone_mode`."""
        _replace_unencodable()
        if os.environ.get(DEBUG):
            logging.basicConfig(level=logging.WARNING)
            logging.getLogger("musclemap").setLevel(logging.DEBUG)
        typed = prog_name or self.program
        prepare_completion()
        with clean_library_text(), spelled_like(typed), two_step_interrupts(self.program, self.kept):
            status = self._guarded(args, typed, complete_var or VARIABLE, extra)
            status = self._flushed(status)
        if standalone_mode:
            sys.exit(status)
        return status

    def _guarded(self, args: Sequence[str] | None, prog_name: str, complete_var: str, extra: Any) -> int:
        try:
            base: Any = super()
            result = base.main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except TyperException as error:
            return self._say(explain(error), WRONG_USE)
        except MusclemapError as error:
            return self._say(str(error), WRONG_USE)
        except (_Interrupted, typer.Abort):
            return self._say(f"interrupted; {self.kept}", INTERRUPTED)
        except (_PipeClosed, BrokenPipeError):
            return PIPE_CLOSED
        except OSError as error:
            return self._say(_os_error(error), WRONG_USE)
        except ModuleNotFoundError as error:
            return self._say(_missing_module(error), WRONG_USE)
        except Exception as error:
            logging.getLogger("musclemap.cli").debug("unexpected error", exc_info=error)
            hint = f"please report it; {DEBUG}=1 in the environment shows the traceback"
            return self._say(f"internal error: {describe(error)} ({hint})", INTERNAL)
        return result if isinstance(result, int) else 0

    def _say(self, message: str, status: int) -> int:
        try:
            echo(f"{self.program}: {without_secrets(message)}", err=True)
        except OSError:  # stderr is closed or full too: only the status is left
            return status
        return status

    def _flushed(self, status: int) -> int:
        """Flush both streams. A stream that fails is discarded, or it fails again when the interpreter exits."""
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except BrokenPipeError:
                _discard(stream)
                status = PIPE_CLOSED
            except OSError as error:
                _discard(stream)
                status = status or WRONG_USE
                if stream is sys.stdout:
                    self._say(f"cannot write the output: {error.strerror}", status)
        return status


class _Command(_Ending, TyperCommand):
    """A command."""


class CommandGroup(_Ending, TyperGroup):
    """A command with sub-commands."""


def _missing_module(error: ModuleNotFoundError) -> str:
    """What to install, or where to run: a part of Python that only some systems have is not installed."""
    name = (error.name or "").partition(".")[0]
    if name in ("fcntl", "resource"):
        return "this needs Linux or macOS; on Windows, run it in WSL (https://learn.microsoft.com/windows/wsl)"
    return f"the package {name} is missing: pip install --upgrade musclemap; mm-info shows what is installed"


def _os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error}"


def _replace_unencodable() -> None:
    """Print characters that the terminal's encoding lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard(stream: Any) -> None:
    """Redirect a stream that cannot be written to /dev/null."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
