"""The computing commands without substitutes, on small inputs: retargeting, validation and training; for kill trials.

These need JAX, which is started in each child; its compilation cache is kept between them.
"""

from pathlib import Path

import numpy as np

from musclemap.cli import retarget, train, validate
from musclemap.datasets.synthetic.synthesis import write_archive
from musclemap.imitation.policy.policy_file import load_policy

from .kill_clips import OUT, clip_faults, note_lines, run
from .kill_scenarios import Scenario

MOTIONS = ("walk_0.8", "walk_1.2")

RUN = Path("run")
STEPS = 192
"""Control steps of a training run: four iterations, with a checkpoint after each."""


def convert(*words: object) -> int:
    """Run mm-retarget."""
    return run(retarget.app, "in", OUT, "--no-report", "-q", "--device", "cpu", "--workers", 1, *words)


def prepare_conversion() -> int:
    """Write short walks and convert them with other settings."""
    write_archive(Path("in"), MOTIONS, 1.0)
    status = convert("--fps", 50)
    note_lines()
    return status


def prepare_clips() -> int:
    """Write short walks and their clips."""
    write_archive(Path("in"), MOTIONS, 1.0)
    status = convert()
    note_lines()
    return status


def check() -> int:
    """Run mm-validate with other limits than those used for the clips."""
    words = ("--no-report", "-q", "--device", "cpu", "--set", "validation.thresholds=['skate_m_s=0.0001:none']")
    return run(validate.app, OUT, *words)


def prepare_arms() -> int:
    """Write clips of the small arm."""
    from musclemap.imitation.task.arm_motions import arm_clips

    from ...support.data.arm_dataset import write_dataset

    write_dataset(Path("arms"), arm_clips(2, 1.0))
    return 0


def learn() -> int:
    """Run mm-train; resume an existing run."""
    sizes = ("ppo.hidden=[16,16]", "ppo.num_steps=8", "ppo.minibatch_size=24")
    words = [word for size in sizes for word in ("--set", size)]
    words += ["--resume"] if (RUN / "run.json").exists() else []
    return run(
        train.app, "--dataset", "arms", "--run", RUN, "--engine", "mujoco", "--num-envs", 6, "--max-steps", STEPS,
        "--save-seconds", 1, "-q", *words,
    )  # fmt: skip


def run_faults() -> list[str]:
    """Files under their names are complete; the policy is not ahead of the checkpoint."""
    import json

    import orbax.checkpoint as ocp

    faults = []
    for name in ("run.json", "from.json"):
        if (RUN / name).exists():
            json.loads((RUN / name).read_bytes())
    numbers = [int(path.name) for path in (RUN / "checkpoints").glob("*") if path.name.isdigit()]
    for number in numbers:
        state = ocp.StandardCheckpointer().restore((RUN / "checkpoints" / str(number) / "state").resolve())
        if not all(np.isfinite(leaf).all() for leaf in state.values()):
            faults.append(f"damaged checkpoint: {number}")
    if (RUN / "policy.safetensors").exists():
        policy = load_policy(RUN / "policy.safetensors")
        if policy.facts["steps"] > max(numbers, default=0) * 48:
            faults.append(f"the policy is ahead: {policy.facts['steps']} steps, checkpoints {numbers}")
    lines = (RUN / "metrics.jsonl").read_bytes().split(b"\n") if (RUN / "metrics.jsonl").exists() else [b""]
    for line in lines[:-1]:
        json.loads(line)
    return faults


REAL = {
    "mm-retarget (real)": Scenario(prepare=prepare_conversion, command=convert, faults=clip_faults),
    "mm-validate (real)": Scenario(prepare=prepare_clips, command=check, faults=clip_faults),
    "mm-train": Scenario(prepare=prepare_arms, command=learn, faults=run_faults, same=False),
}
