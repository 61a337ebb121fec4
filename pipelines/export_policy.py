"""A policy written for other programs."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from musclemap.datasets.atomic_file import write_atomically
from musclemap.imitation.policy.onnx_export import onnx_bytes
from musclemap.imitation.policy.policy_file import load_policy
from musclemap.pipelines.train.evaluation import find_policy

ENDING = ".onnx"


@dataclass(frozen=True, kw_only=True)
class ExportedPolicy:
    """What was written.

    Attributes:
        policy: The policy's file.
        file: The file that was written.
        sha256: Its hash.
        body: The body that the policy moves.
        nobs: Width of the input.
        nu: Width of the output.
    """

    policy: Path
    file: Path
    sha256: str
    body: str
    nobs: int
    nu: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"policy": str(self.policy), "file": str(self.file)}


def export_policy(source: Path, out: Path) -> ExportedPolicy:
    """Write a policy's network as an ONNX graph.

    Args:
        source: The policy's file, or the folder of its run.
        out: File that ends in .onnx, or a folder for `policy.onnx`; folders are made.

    Raises:
        PolicyError: There is no policy, or its graph does not compute what it computes.
        SettingsError: A package is missing.
        OSError: The file cannot be written.
    """
    path = find_policy(source)
    policy = load_policy(path)
    data = onnx_bytes(policy)
    file = out if out.suffix.lower() == ENDING and not out.is_dir() else out / path.with_suffix(ENDING).name
    write_atomically(file, data)
    return ExportedPolicy(
        policy=path,
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        body=policy.facts["body"]["name"],
        nobs=policy.nobs,
        nu=policy.nu,
    )
