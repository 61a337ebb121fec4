"""`mm.train`, `mm.evaluate` and `mm.load_policy`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from musclemap.errors import SettingsError
from musclemap.pipelines.train.dataset import ClipSelection

from .dataset import Dataset
from .loading import open as open_dataset
from .settings import Settings, as_settings

if TYPE_CHECKING:
    from musclemap.imitation.policy.policy import Policy
    from musclemap.imitation.runs.train_config import TrainConfig
    from musclemap.pipelines.train.evaluation import PolicyEvaluation
    from musclemap.pipelines.train.training import TrainingResult

Source = Dataset | str | os.PathLike[str]
"""A data set, its folder, or the name of a built-in one."""


def train(
    dataset: Source, run: str | os.PathLike[str], *, seconds: float | None = None, steps: int | None = None,
    algorithm: Literal["ppo", "world-model", "dagger"] = "ppo", num_envs: int | None = None, seed: int | None = None,
    engine: Literal["auto", "warp", "mujoco"] = "auto", warm_start: str | os.PathLike[str] | None = None,
    resume: bool = False, infeasible: bool = False, config: "Settings[TrainConfig]" = None, progress: bool = True,
) -> "TrainingResult":  # fmt: skip
    """Train a policy that makes a muscle-driven body track clips.

    Checkpoints and the policy are saved at the end and every five minutes. Of a data set with splits, "train" is used.

    Args:
        dataset: Data set, its folder, or "builtin-arm" or "builtin-walk".
        run: Folder of the run: policy, checkpoints and logs.
        seconds: Time limit of this call [s], compilation included.
        steps: Limit of the run's control steps, summed over all worlds and calls.
        algorithm: "ppo", "world-model" or "dagger".
        num_envs: Worlds simulated in parallel; None for a number that suits body and device.
        seed: Seed of networks, episodes and noise; None for 0.
        engine: Physics: "warp", "mujoco", or "auto" for Warp with a GPU.
        warm_start: Folder of another run, or a policy file, at which to begin.
        resume: Continue the run in the folder; `config` and the arguments have to be those that it was started with.
        infeasible: Use infeasible clips, too.
        config: Settings of the run, such as {"ppo": {"num_steps": 32}}.
        progress: Show the progress on stderr.

    Returns:
        Result: `policy` (the file), `steps`, `seconds`, `stop_reason` and the last `figures`.

    Raises:
        SettingsError: If neither limit is given, or a setting is unknown.
        TrainingError: If no clip is usable, or the folder holds another run.

    Example:
        >>> import musclemap as mm
        >>> result = mm.train("builtin-arm", "out/run", seconds=60)
        >>> policy = mm.load_policy(result.policy)
    """
    if seconds is None and steps is None:
        raise SettingsError("mm.train needs a limit: seconds= or steps=")
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.cli.output.train_view import training_listener
    from musclemap.imitation.runs.run_facts import read_recorded_run
    from musclemap.imitation.runs.train_config import TrainConfig
    from musclemap.pipelines.track.teacher_tracks import with_teacher_tracks
    from musclemap.pipelines.train.plan import plan_training
    from musclemap.pipelines.train.training import StopCondition
    from musclemap.pipelines.train.training import train as run_training

    own = {"num_envs": num_envs, "seed": seed}
    settings = as_settings(TrainConfig, config, **own)
    data = _opened(dataset)
    selection = _selected(data.split("train") if "train" in data.splits else data, infeasible=infeasible)
    recorded = read_recorded_run(Path(run)).tracks if resume else None
    plan = plan_training(selection.clips, settings, engine=engine, algorithm=algorithm)
    plan = with_teacher_tracks(plan, data.root, recorded=recorded)
    with ProgressDisplay(hidden=not progress) as display:
        return run_training(
            plan, Path(run), until=StopCondition(seconds=seconds, steps=steps), resume=resume,
            warm_start=None if warm_start is None else Path(warm_start),
            progress=training_listener(display, max_seconds=seconds, max_steps=steps),
            on_message=display.print if progress else lambda text: None, on_warning=display.print,
        )  # fmt: skip


def evaluate(
    policy: str | os.PathLike[str], dataset: Source, *, split: str | None = None, held_out: bool = False,
    infeasible: bool = False, engine: Literal["auto", "warp", "mujoco"] = "auto", num_envs: int | None = None,
    progress: bool = True,
) -> "PolicyEvaluation":  # fmt: skip
    """Track every clip once from its first frame, without exploration noise.

    Tracking fails when the landmarks, relative to the root, are on average more than 0.3 m off, or the root 0.5 m.

    Args:
        policy: File of a policy, or folder of a run.
        dataset: Data set, its folder, or "builtin-arm" or "builtin-walk".
        split: Split of a bundle, such as "test"; None for all clips.
        held_out: Leave out clips that the policy was trained on.
        infeasible: Use infeasible clips, too.
        engine: Physics: "warp", "mujoco", or "auto" for Warp with a GPU.
        num_envs: Clips tracked at a time; None for a number that suits the machine.
        progress: Show the progress on stderr.

    Returns:
        Result: `totals` over all, training and held-out clips, such as `totals["all"]["success_rate"]`; `clips` with
        the score of each; `left_out` with reasons; `to_dict()`. Errors are in metres and radians.

    Raises:
        PolicyError: If there is no policy, or it is for another version of the body.
        SettingsError: If there is no clip or no such split.
        TrainingError: If no clip can be tracked.

    Example:
        >>> import musclemap as mm
        >>> mm.evaluate("out/run", "builtin-arm").totals["all"]["success_rate"]
    """
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.pipelines.train.evaluation import evaluate_policy, find_policy

    path, data = find_policy(Path(policy)), _opened(dataset)
    selection = _selected(data if split is None else data.split(split), infeasible=infeasible)
    with ProgressDisplay(hidden=not progress) as display:
        return evaluate_policy(
            path, selection, engine=engine, num_envs=num_envs, held_out=held_out, progress=display.count()
        )


def load_policy(policy: str | os.PathLike[str]) -> "Policy":
    """Load a policy, to be evaluated in NumPy.

    Args:
        policy: File of a policy (.safetensors), or folder of a run.

    Returns:
        The policy: `policy(obs)` maps observations (..., nobs) to excitations (..., nu), 0 to 1; `policy.action(obs)`
        gives the action (..., nu) of the Gymnasium environment; `facts` says what it was trained on.

    Raises:
        PolicyError: If there is no policy, or the file is damaged or something else.

    Example:
        >>> import musclemap as mm
        >>> policy = mm.load_policy("out/run")
        >>> excitation = policy(obs)
    """
    from musclemap.imitation.policy.policy_file import load_policy as read_policy
    from musclemap.pipelines.train.evaluation import find_policy

    return read_policy(find_policy(Path(policy)))


def _opened(dataset: Source) -> Dataset:
    return dataset if isinstance(dataset, Dataset) else open_dataset(dataset)


def _selected(data: Dataset, *, infeasible: bool) -> ClipSelection:
    """Read the clips of a data set; damaged ones, and infeasible ones if not wanted, are left out with a reason."""
    from musclemap.failures import Failure, attempt

    clips, left_out = [], {}
    for name in data.names:
        clip = attempt(lambda name=name: data.read(name))
        if isinstance(clip, Failure):
            left_out[name] = clip.message
        elif clip.verdict == "infeasible" and not infeasible:
            left_out[name] = f"infeasible ({clip.broken_rules})"
        else:
            clips.append((name, clip))
    return ClipSelection(clips=tuple(clips), left_out=left_out)
