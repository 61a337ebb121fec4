"""Manually started cluster with TLS as in docs/cluster.md, and error messages about keys."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask.config
import pytest
from distributed.security import Security

from musclemap.pipelines.cluster import scheduler_access
from musclemap.pipelines.cluster.dask_cluster import ClusterError

from ..support.cluster_runs import archive, contents, convert, convert_alone
from ..support.hand_started import ENVIRON, ROOT, HandStarted
from ..support.hostile.sockets import listening_sockets
from ..support.hostile.unauthenticated import assert_refuses_unauthenticated

GUIDE = (ROOT / "docs" / "cluster.md").read_text()

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on the PATH")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Dask settings and keys, created by the commands of the guide."""
    folder = tmp_path / "keys"
    commands = re.findall(r"^    (mkdir .*?)\n\n", GUIDE, flags=re.DOTALL | re.MULTILINE)[0].replace("\n    ", "\n")
    subprocess.run(["sh", "-ec", commands.replace("~/dask-keys", str(folder))], check=True, capture_output=True)
    assert folder.stat().st_mode & 0o077 == 0
    text = re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)[0]
    (folder / "dask.yaml").write_text(text.replace("KEYS", str(folder)))
    return folder / "dask.yaml"


def read_settings(path: Path) -> dask.config.set:
    """Load settings as Dask does at its import from the file that DASK_CONFIG names."""
    return dask.config.set(dask.config.merge(dask.config.config, dask.config.collect(paths=[str(path)], env={})))


@pytest.fixture
def cluster(tmp_path: Path, settings: Path) -> Iterator[HandStarted]:
    """Scheduler and two workers with these settings."""
    (tmp_path / "dask").mkdir()
    started = HandStarted(tmp_path / "dask", DASK_CONFIG=str(settings))
    for _ in range(2):
        started.add_worker()
    started.wait()
    yield started
    started.end()


@needs_openssl
@pytest.mark.slow
def test_the_guide_to_a_cluster_with_tls(tmp_path: Path, settings: Path, cluster: HandStarted) -> None:
    source = archive(tmp_path / "in", *(f"m{k}" for k in range(6)))
    convert_alone(source, tmp_path / "alone")
    assert cluster.url.startswith("tls://127.0.0.1:")
    messages: list[str] = []
    with read_settings(settings):
        convert(source, tmp_path / "a", scheduler=cluster.url, on_message=messages.append)
        convert(source, tmp_path / "b", scheduler_file=cluster.file, on_message=messages.append)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "alone")
    assert not [text for text in messages if "can run code" in text]
    for each in listening_sockets(cluster.scheduler.pid):
        if each.port == int(cluster.address.rpartition(":")[2]):
            assert_refuses_unauthenticated(each, tmp_path / "mark")
    with pytest.raises(ClusterError, match=r"requires TLS, but Dask's settings name no key"):
        convert(source, tmp_path / "c", scheduler=cluster.url)
    other = Security.temporary()
    keys = {"ca-file": other.tls_ca_file, "client.cert": other.tls_client_cert, "client.key": other.tls_client_key}
    with (
        dask.config.set({f"distributed.comm.tls.{name}": value for name, value in keys.items()}),
        pytest.raises(ClusterError, match="certificate does not match"),
    ):
        convert(source, tmp_path / "c", scheduler=cluster.url)


@needs_openssl
def test_settings_that_require_tls_refuse_an_open_scheduler(settings: Path) -> None:
    with read_settings(settings):
        scheduler_access.check_keys("tls://127.0.0.1:9")
        for address in ("tcp://127.0.0.1:9", "127.0.0.1:9"):
            with pytest.raises(ClusterError, match="settings require TLS"):
                scheduler_access.check_keys(address)
        (settings.parent / "key.pem").write_text("no key")
        with pytest.raises(ClusterError, match=r"keys of Dask's settings cannot be used.*key\.pem"):
            scheduler_access.check_keys("tls://127.0.0.1:9")
        (settings.parent / "key.pem").unlink()
        with pytest.raises(ClusterError, match=r"keys of Dask's settings cannot be used.*key\.pem"):
            scheduler_access.check_keys("tls://127.0.0.1:9")
    with dask.config.set({"distributed.comm.tls.min-version": 7}), pytest.raises(ClusterError, match="min-version=7"):
        scheduler_access.check_keys("tls://127.0.0.1:9")


def test_an_open_scheduler_causes_a_warning(tmp_path: Path) -> None:
    for address in ("tcp://there:8786", "there:8786", "ws://there:8786"):
        assert f"anyone who can reach {address} can run code" in scheduler_access.open_warning(address)
    for address in ("tls://there:8786", "wss://there:8786"):
        assert scheduler_access.open_warning(address) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot be read"), ("", "not complete JSON"), ("{}", "no address"), ('{"address": 3}', "no address")],
)
def test_an_invalid_scheduler_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, message: str
) -> None:
    monkeypatch.setattr(scheduler_access, "CONNECT_SECONDS", 0.3)
    file = tmp_path / "scheduler.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ClusterError, match=message):
        scheduler_access.read_address(file)


def test_a_missing_key_is_reported_at_once_in_one_sentence(tmp_path: Path) -> None:
    """Without our check, Dask's client prints a traceback after ten seconds."""
    archive(tmp_path / "in", "a")
    done = subprocess.run(
        [sys.executable, "-m", "musclemap.cli.retarget", str(tmp_path / "in"), str(tmp_path / "out"),
         "--scheduler", "tls://127.0.0.1:9"],
        env={**os.environ, **ENVIRON}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("mm-retarget: tls://127.0.0.1:9 requires TLS")
    assert len(done.stderr.splitlines()) == 1
