"""Completion of commands, options and values by shells.

A shell runs the program with `VARIABLE` in its environment, and the program prints the possible words. The scripts use
Typer's protocol and write no files: users put their text where they want it.
"""

import os
from enum import StrEnum

from .verbs import VERBS

VARIABLE = "_MUSCLEMAP_COMPLETE"
"""Environment variable that asks for completion, of all programs."""

PROGRAMS = ("musclemap", *(f"mm-{verb}" for verb in VERBS))


class Shell(StrEnum):
    """Shell that completes."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


_SCRIPTS = {
    Shell.bash: """\
_musclemap() {
    local IFS=$'\\n'
    COMPREPLY=($(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" VARIABLE=complete_bash "$1"))
}
complete -o default -F _musclemap PROGRAMS
""",
    Shell.zsh: """\
#compdef PROGRAMS
_musclemap() {
    eval "$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" VARIABLE=complete_zsh "${words[1]}")"
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _musclemap "$@"
else
    compdef _musclemap PROGRAMS
fi
""",
    Shell.fish: """\
for program in PROGRAMS
    set --local call "VARIABLE=complete_fish _TYPER_COMPLETE_ARGS=(commandline -cp) $program"
    complete --command $program --no-files \\
        --condition "env _TYPER_COMPLETE_FISH_ACTION=is-args $call" \\
        --arguments "(env _TYPER_COMPLETE_FISH_ACTION=get-args $call)"
end
""",
}
"""bash completes file names if there is nothing else (`-o default`); zsh and fish do so by themselves."""


def completion_script(shell: Shell) -> str:
    """Return the script by which a shell completes all our commands."""
    return _SCRIPTS[shell].replace("PROGRAMS", " ".join(PROGRAMS)).replace("VARIABLE", VARIABLE)


def prepare_completion() -> None:
    """Make Typer answer a shell that asks for completion."""
    if os.environ.get(VARIABLE):
        from typer.completion import get_completion_inspect_parameters

        get_completion_inspect_parameters()  # registers Typer's classes of shells
