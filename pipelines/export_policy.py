"""Export of a policy to ONNX."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from musclemap.datasets.atomic_file import write_atomically
from musclemap.imitation.policy.onnx_export import onnx_bytes
from musclemap.imitation.policy.policy_file import load_policy
from musclemap.pipelines.train.evaluation import find_policy

EXTENSION = ".onnx"


@dataclass(frozen=True, kw_only=True)
class ExportedPolicy:
    """An exported policy.

    Attributes:
        policy: File of the policy.
        file: Exported file.
        sha256: Hash of the exported file.
        body: Name of the body that the policy controls.
        nobs: Number of observations, the width of the input.
        nu: Number of actuators, the width of the output.
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
        source: File of the policy, or the folder of its run.
        out: File that ends in .onnx, or a folder for `policy.onnx`; folders are created.

    Raises:
        PolicyError: If there is no policy, or the graph's output differs from the policy's.
        SettingsError: If a package is missing.
        OSError: If the file cannot be written.
    """
    path = find_policy(source)
    policy = load_policy(path)
    data = onnx_bytes(policy)
    file = out if out.suffix.lower() == EXTENSION and not out.is_dir() else out / path.with_suffix(EXTENSION).name
    write_atomically(file, data)
    return ExportedPolicy(
        policy=path,
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        body=policy.facts["body"]["name"],
        nobs=policy.nobs,
        nu=policy.nu,
    )
