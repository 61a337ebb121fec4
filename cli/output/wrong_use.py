"""Answers to a wrong command line, each in one line that says what to type."""

import re
from typing import Any

from typer.exceptions import TyperException

from .help_text import usage
from .verbs import VERBS, as_typed

_Meaning = tuple[str, str | None, str]

MEANINGS: tuple[_Meaning, ...] = (
    ("out out-dir output-dir outdir output-path output-file out-path save-dir dest destination target-dir", "--output",
     "-o PATH names the file or folder to write"),
    ("out out-dir output-dir outdir output-path output-file output o save-dir dest destination", None,
     "this command writes no other file or folder"),
    ("in input inputs input-dir input-path input-file i src source path file data data-dir folder bvh npz c3d motion "
     "motion-file motion-path amass amass-dir smpl-file smplx-file", "SOURCE",
     "the motions are the first argument, without an option"),
    ("in input inputs input-dir clips clip-dir dataset data data-dir i folder path", "CLIPS",
     "the folder of clips is the first argument, without an option"),
    ("data data-dir dataset-dir clips clips-dir motion motions motion-file motion-path reference references input "
     "in i", "--dataset", "--dataset DIR names the folder of clips"),
    ("checkpoint ckpt load load-run policy model model-path weights run run-dir load-checkpoint", "RUN|POLICY",
     "the run or policy is the first argument, without an option"),
    ("checkpoint ckpt load load-run load-checkpoint pretrained init-from policy weights", "--resume",
     "--resume continues the run of --run DIR; --from RUN starts at the policy of another"),
    ("log-dir logdir experiment exp exp-name run-dir run-name output-run save-path", "--run",
     "--run DIR names the folder of the run"),
    ("total-timesteps timesteps num-timesteps total-steps steps num-steps max-iterations iterations num-iterations "
     "max-iter n-iter", "--max-steps", "--max-steps N limits the control steps, --max-seconds X the time"),
    ("lr learning-rate", "--algo", "--set ppo.learning_rate=X, or --set world_model.KEY=X"),
    ("epochs num-epochs n-epochs gamma clip clip-eps ent-coef vf-coef gae-lambda batch-size minibatch-size", "--algo",
     "settings of the algorithm are given with --set, such as --set ppo.epochs=2"),
    ("n-envs nenvs envs num-worlds worlds nworld n-worlds num-parallel", "--num-envs", "--num-envs N sets the worlds"),
    ("env task env-name task-name e", "--dataset", "the task is to track the clips of --dataset DIR"),
    ("wandb use-wandb logger", "--track", "--track wandb sends figures to Weights & Biases"),
    ("render viewer gui headless play", "--video", "--video FILE.mp4 writes a video"),
    ("num-workers n-workers nworkers worker threads num-threads nproc n-jobs processes num-processes parallel n cpus "
     "num-cpus cores", "--jobs", "-j N sets how many run at the same time"),
    ("cpu no-gpu no-cuda", "--device", "--device cpu"),
    ("gpu cuda use-gpu use-cuda", "--device", "--device gpu"),
    ("device cpu gpu cuda backend", "--engine", "--engine warp uses a GPU, --engine mujoco the processor"),
    ("smpl smplh smplx smpl-dir smplh-dir smplx-dir smpl-path smplh-path smplx-path model-path model-folder model-dir "
     "smpl-models body-model body-model-path support-dir", "--body-models",
     "--body-models DIR names the folder of SMPL-family models"),
    ("robot target model skeleton character osim", "--body", "--body full-body or --body bimanual-arm"),
    ("framerate frame-rate hz rate frequency freq sample-rate sampling-rate target-fps tgt-fps", "--source-fps",
     "--fps HZ is the rate of the clips, --source-fps HZ that of the sources"),
    ("framerate frame-rate hz rate", "--fps", "--fps HZ"),
    ("y-up yup z-up zup up-axis axis up-direction forward", "--up", "--up y or --up z"),
    ("scale unit scaling scale-factor global-scale", "--units",
     "--units UNIT, or the length of one unit in metres such as --units 0.01"),
    ("weight body-mass subject-mass", "--mass", "--mass KG"),
    ("grf grf-file external-loads external-loads-file forces-file", "--force-file", "--force-file NAME"),
    ("force f replace y yes clean", "--overwrite", "--overwrite"),
    ("recursive r walk", None, "folders are always read with everything below them"),
    ("format to-format file-format output-format type t fmt", "--to", "--to FORMAT"),
    ("name clip motion-name motion trial", "CLIP", "the clip is the second argument: its path, or a part of it"),
    ("filter pattern match glob select only name clip", "--include", "--include GLOB, such as --include '*walk*'"),
    ("skip ignore", "--exclude", "--exclude GLOB"),
    ("max num number count max-clips num-clips n head first", "--limit", "--limit N uses the first N"),
    ("movie mp4 record film gif png image screenshot export render save-video", "--save",
     "-o FILE.mp4 writes a video, -o FILE.png a strip of images"),
    ("threshold thresholds limits limit", "--threshold", "--threshold METRIC=WARN:INFEASIBLE"),
    ("install-completion show-completion completions", "--completion",
     'musclemap --completion bash|zsh|fish prints the script: eval "$(musclemap --completion bash)"'),
    ("debug traceback", None, "MUSCLEMAP_DEBUG=1 in the environment shows tracebacks"),
    ("V ver", None, "--version"),
)  # fmt: skip
"""What users of other programs type: names of the option without dashes, what the command has to have for the answer to
be right (an option, or an argument by its name; None for nothing), and the answer."""

_VERBS_ELSEWHERE = {
    "convert": "retarget", "import": "retarget", "fit": "retarget", "ik": "retarget", "process": "retarget",
    "check": "validate", "id": "validate", "so": "validate", "show": "view", "play": "view", "viewer": "view",
    "visualize": "view", "visualise": "view", "vis": "view", "render": "view", "film": "view", "cmc": "track",
    "follow": "track", "learn": "train", "evaluate": "eval", "test": "eval", "fetch": "download", "get": "download",
    "list": "download", "bundle": "pack", "publish": "pack", "version": "info", "doctor": "info", "env": "info",
    "save": "export",
}  # fmt: skip
"""Names that other programs have for what a verb does."""


def explain(error: TyperException) -> str:
    """Return what is wrong, and what to type, in one line."""
    text = re.sub(r"\s*\n\s*", " ", error.format_message()).replace("Value error, ", "")
    context: Any = getattr(error, "ctx", None)
    if context is None:
        return text
    command = context.command
    option = getattr(error, "option_name", None)
    if option is not None and text.startswith("No such option"):
        return _no_such_option(text, option, command, context)
    if text.startswith("No such command"):
        return _no_such_command(text)
    if text.startswith("Missing"):
        return f"{text.rstrip('.')}; usage: {usage(command, context)}"
    if text.startswith("Got unexpected extra argument"):
        names = " ".join(argument.display_name_raw for argument in _arguments(command))
        several = "; for several files, give their folder and --include GLOB" if _has(command, "--include") else ""
        return f"{text} after {names or 'the options'}{several}; usage: {usage(command, context)}"
    return text


def _no_such_option(text: str, option: str, command: Any, context: Any) -> str:
    name = option.lstrip("-").partition("=")[0]
    hyphenated = f"--{name.replace('_', '-').lower()}"
    if hyphenated != option and _has(command, hyphenated):
        return f"No such option: {option}; did you mean {hyphenated}?"
    for names, needed, answer in MEANINGS:
        known = names.split()
        if (name in known or hyphenated[2:] in known) and (needed is None or _has(command, needed)):
            return f"No such option: {option}; {answer}"
    if "Possible options" in text:
        return text
    return f"{text}; {as_typed(context.command_path)} -h lists the options"


def _no_such_command(text: str) -> str:
    word = text.partition("'")[2].partition("'")[0]
    other = _VERBS_ELSEWHERE.get(word.lower(), word.lower() if word.lower() in VERBS else None)
    if other is not None:
        return f"No such command '{word}'; did you mean '{other}'? {VERBS[other]}"
    return text if "Did you mean" in text else f"{text.rstrip('.')}; commands: {', '.join(VERBS)}"


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _has(command: Any, name: str) -> bool:
    """Whether a command has an option, or an argument of this name."""
    options = any(name in each.opts for each in command.params if each.param_type_name == "option")
    return options or any(each.display_name_raw == name for each in _arguments(command))
