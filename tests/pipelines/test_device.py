"""Compute devices and the compilation cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from musclemap.pipelines.device import DeviceError, choose_device

_RUN = """
import sys
from musclemap.pipelines.device import enable_compilation_cache
folder = enable_compilation_cache()
print(folder)
"""


def run(temporary: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    env = {**inherited, "TMPDIR": str(temporary), **environment}
    return subprocess.run(
        [sys.executable, "-c", _RUN], env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_compilations_are_cached_in_a_private_folder(tmp_path):
    folder = Path(run(tmp_path))
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path):
    folder = Path(run(tmp_path))
    folder.chmod(0o777)
    assert run(tmp_path) == "None"


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"musclemap-compiled-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    assert run(tmp_path) == "None"


def test_the_environment_variable_takes_precedence(tmp_path):
    assert run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine")) == str(tmp_path / "mine")


def test_a_missing_device_error_lists_the_available_ones():
    with pytest.raises(DeviceError, match="cpu"):
        choose_device("tpu")
