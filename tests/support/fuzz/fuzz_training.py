"""Files of training runs for the fuzzer: policies, run.json, metrics, fitted muscle lengths and settings."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.runs.run_facts import check_same_run, read_facts
from musclemap.imitation.runs.run_folder import RunFolder
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.world_model.tendons import TendonConfig

from .fuzzing import Kind

TENDONS = TendonConfig(num_samples=200, gradient_steps=20, hidden=4)


def make_policy(folder: Path) -> bytes:
    """An untrained policy of the small arm that has learned from two clips."""
    from musclemap.imitation.task.arm_motions import arm_clips

    from ...support.data.arm_policies import save_untrained

    save_untrained(folder / "p.safetensors", arm_clips(2, 0.3))
    return _pop(folder / "p.safetensors")


def read_policy(path: Path) -> object:
    """Read as the commands do: the file, then its body, then one action."""
    import numpy as np

    from musclemap.imitation.policy.policy_file import body_of, load_policy
    from musclemap.imitation.policy.training_clips import TrainingClips, with_earlier

    policy = load_policy(path)
    TrainingClips(policy.facts["dataset"])
    with_earlier({"clips": []}, policy.facts["dataset"])
    if policy.physics == PhysicsConfig():  # compiling a body with other settings takes long
        body_of(policy)
    excitation = policy(np.ones(policy.nobs, np.float32))
    assert np.isfinite(excitation).all(), "excitation is not finite"
    return policy


def policy_facts(data: bytes, rng: random.Random) -> bytes:
    """Mutate the facts of a policy's file or its header, and correct the lengths."""
    from .fuzz_kinds import mutate_tree

    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        if rng.random() < 0.8:
            facts = header["__metadata__"]
            facts["musclemap-policy"] = json.dumps(mutate_tree(json.loads(facts["musclemap-policy"]), rng))
        else:
            header = mutate_tree(header, rng)
    except (ValueError, KeyError, TypeError, RecursionError):
        return data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def _json_text(data: bytes, rng: random.Random) -> bytes:
    from .fuzz_kinds import json_text  # which imports this module

    return json_text(data, rng)


def _json_lines(data: bytes, rng: random.Random) -> bytes:
    from .fuzz_kinds import json_lines

    return json_lines(data, rng)


def _facts() -> dict[str, Any]:
    clip = {"source": "a" * 64, "motion_sha256": "b" * 64}
    clips, body = {"a.h5": clip, "b.h5": clip}, {"name": "SmallArm", "sha256": "c" * 64}
    config = dataclasses.asdict(TrainConfig())
    facts = {"algorithm": "ppo", "body": body, "clips": clips, "config": config, "engine": "mujoco"}
    return json.loads(json.dumps(facts))


def make_run_json(folder: Path) -> bytes:
    """A valid run.json."""
    return json.dumps(_facts()).encode()


def read_run_json(path: Path) -> object:
    """Read it and compare it with the run to resume."""
    return check_same_run(path.parent, read_facts(path), _facts())


def make_earlier(folder: Path) -> bytes:
    """A valid from.json, which states what a run started from."""
    from musclemap.imitation.policy.training_clips import dataset_facts, with_earlier
    from musclemap.imitation.task.arm_motions import arm_clips

    facts = dataset_facts(arm_clips(2, 0.3))
    return json.dumps(with_earlier(facts, with_earlier(facts, facts))).encode()


def read_earlier(path: Path) -> object:
    """Read it and merge it into a policy's facts."""
    from musclemap.imitation.policy.training_clips import with_earlier

    path.replace(path.with_name("from.json"))
    earlier = RunFolder(path.parent).earlier()
    return with_earlier({"clips": [["a", "b"]]}, earlier or {})


def make_metrics(folder: Path) -> bytes:
    """Metrics of a run."""
    rows = [{"steps": 1000 * k, "reward": 0.1 * k, "kl": 0.01, "seconds": 5.0 * k, "noise": None} for k in range(20)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def read_metrics(path: Path) -> object:
    """Read them as the report on a policy does."""
    import numpy as np

    from musclemap.pipelines.report.policy_curves import learning_curves

    target = path.with_name("metrics.jsonl")
    path.replace(target)
    with np.errstate(all="raise", under="ignore"):
        return learning_curves(target.parent)


def make_settings(folder: Path) -> bytes:
    """All settings of a training run."""
    from musclemap.settings import to_toml

    return to_toml(TrainConfig()).encode()


def read_settings(path: Path) -> object:
    """Read them; accepted settings must survive a round trip."""
    from musclemap.settings import from_dict, load_settings, to_dict

    settings = load_settings(TrainConfig, path)
    assert from_dict(TrainConfig, to_dict(settings)) == settings
    return settings


_TOML = (
    "1e400", "-1", "0", "nan", "inf", "-inf", "9" * 400, "9" * 5000, "[]", "[[1]]", "[" * 400 + "]" * 400, "{}",
    "{a.b.c = 1}", "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", '"text"', "true", "1e29", "[1, 1]", "0x7fffffff",
    '"\\u0000"', "1_000_000_000_000", "0.1", "[0.5, 2.0]", "'none'",
)  # fmt: skip
"""Values of which most are invalid for any setting."""


def toml_value(data: bytes, rng: random.Random) -> bytes:
    """Change the value of a setting, or move a line."""
    lines = data.split(b"\n")
    number = rng.randrange(len(lines))
    if b" = " in lines[number] and rng.random() < 0.8:
        lines[number] = lines[number].split(b" = ")[0] + b" = " + rng.choice(_TOML).encode()
    else:
        lines.insert(rng.randrange(len(lines)), lines[number] if rng.random() < 0.5 else b"[" + b"a." * 2000 + b"a]")
    return b"\n".join(lines)


_ARM: list[SimulationBody] = []


def make_fit(folder: Path) -> bytes:
    """Fitted lengths of the small arm's muscles."""
    from musclemap.imitation.world_model.tendon_files import load_or_fit

    _ARM[:] = [load_simulation_body("SmallArm")]
    load_or_fit(_ARM[0], TENDONS, folder)
    return _pop(next(folder.glob("tendons-*")))


def read_fit(path: Path) -> object:
    """Read them for the small arm."""
    from musclemap.errors import FileError
    from musclemap.failures import Failure, attempt
    from musclemap.imitation.world_model.tendon_files import _read

    outcome = attempt(lambda: _read(path, _ARM[0], TENDONS))  # as in `load_or_fit`, which then fits again
    if isinstance(outcome, Failure):
        raise FileError(outcome.message)
    return outcome


def _pop(path: Path) -> bytes:
    """Read a file and remove it."""
    data = path.read_bytes()
    path.unlink()
    return data


TRAINING_KINDS = {
    "policy": Kind(suffix=".safetensors", make=make_policy, read=read_policy, mutations=(policy_facts,)),
    "run.json": Kind(suffix=".json", make=make_run_json, read=read_run_json, mutations=(_json_text,)),
    "from.json": Kind(suffix=".json", make=make_earlier, read=read_earlier, mutations=(_json_text,)),
    "metrics": Kind(suffix=".jsonl", make=make_metrics, read=read_metrics, mutations=(_json_lines,)),
    "settings": Kind(suffix=".toml", make=make_settings, read=read_settings, mutations=(toml_value,)),
    "muscle lengths": Kind(suffix=".safetensors", make=make_fit, read=read_fit),
}  # fmt: skip
