"""Round trip of a bundle: convert, pack, serve, download. Every byte arrives, or the download is refused."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from musclemap.cli import download, pack
from musclemap.datasets.clip import read_clip
from musclemap.datasets.synthetic.synthesis import write_archive
from musclemap.pipelines.archive import convert_archive
from musclemap.retarget.config import RetargetConfig

from ..support.data.fake_retargeter import FakeRetargeter
from ..support.hub_server import Server, serving

NAMES = ("walk_1.2", "squat")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Bundle of two built-in motions, whose licence is only recorded in their files."""
    write_archive(tmp_path / "in", names=NAMES, seconds=1.0)
    convert_archive(tmp_path / "in", tmp_path / "clips", config=RetargetConfig(), retargeter=FakeRetargeter())
    made = CliRunner().invoke(pack.app, [str(tmp_path / "clips"), str(tmp_path / "bundle")])
    assert made.exit_code == 0, made.output
    return tmp_path / "bundle"


def files(folder: Path) -> dict[str, bytes]:
    result = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in result.items() if not name.startswith(".musclemap")}


def put_up(server: Server, bundle: Path) -> str:
    server.files = {f"/sets/walks/{name}": content for name, content in files(bundle).items()}
    return f"{server.url}/sets/walks"


def fetch(url: str, out: Path, *more: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(download.app, [url, str(out), *more])
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def test_clips_of_built_in_motions_are_packed_under_their_licence(bundle: Path) -> None:
    manifest = json.loads((bundle / "MANIFEST.json").read_bytes())
    assert (manifest["licence"], manifest["private"]) == ("CC0-1.0", False)
    clips = [file for file in manifest["files"] if file["path"].endswith(".h5")]
    assert [(file["licence"], file["licence_from"]) for file in clips] == [("CC0-1.0", "clip")] * 2
    assert all(read_clip(bundle / file["path"]).licence == "CC0-1.0" for file in clips)


def test_a_downloaded_bundle_equals_the_packed_one(server: Server, bundle: Path, tmp_path: Path) -> None:
    sha256 = hashlib.sha256((bundle / "MANIFEST.json").read_bytes()).hexdigest()
    status, facts, _ = fetch(put_up(server, bundle), tmp_path / "here", "--sha256", sha256, "--json")
    assert status == 0
    assert files(tmp_path / "here") == files(bundle)
    assert len(files(bundle)) == 2 + 9  # two clips; card, table, lines, three splits, Croissant, sums, manifest
    assert json.loads(facts)["licence"] == "CC0-1.0"
    sums = dict(line.split("  ", 1)[::-1] for line in (tmp_path / "here" / "SHA256SUMS").read_text().splitlines())
    for path, digest in sums.items():
        assert hashlib.sha256((tmp_path / "here" / path).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("path", ["clips/builtin/exercise/squat_poses.h5", "README.md", "SHA256SUMS"])
def test_an_altered_file_is_refused(server: Server, bundle: Path, tmp_path: Path, path: str) -> None:
    url = put_up(server, bundle)
    content = bytearray(server.files[f"/sets/walks/{path}"])
    content[len(content) // 2] ^= 1
    server.files[f"/sets/walks/{path}"] = bytes(content)
    status, _, facts = fetch(url, tmp_path / "here")
    assert status == 1
    assert f"failed {path}: {url}/{path} has unexpected content" in facts
    assert files(tmp_path / "here").keys() == files(bundle).keys() - {path, "MANIFEST.json"}


def test_an_altered_manifest_is_refused_by_its_hash(server: Server, bundle: Path, tmp_path: Path) -> None:
    url, name = put_up(server, bundle), "/sets/walks/MANIFEST.json"
    sha256 = hashlib.sha256(server.files[name]).hexdigest()
    server.files[name] = server.files[name].replace(b'"CC0-1.0"', b'"MIT"')
    status, _, facts = fetch(url, tmp_path / "here", "--sha256", sha256)
    assert (status, "is not the expected manifest" in facts) == (2, True)
    assert not (tmp_path / "here").exists()
