"""Bundles: complete, described and reproducible, without clips that must not be shared, and disjoint by subject."""

import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from musclemap.cli.pack import app
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.downloads.bundle_manifest import parse_bundle
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.datasets.output_folder import OutputError
from musclemap.errors import SettingsError
from musclemap.pipelines.packing import atomic_folder
from musclemap.pipelines.packing import bundle as packing
from musclemap.pipelines.packing.atomic_folder import replace_folder
from musclemap.pipelines.packing.bundle import BundleMetadata, write_bundle
from musclemap.pipelines.packing.card import escaped
from musclemap.pipelines.packing.contents import PackOptions, select_contents
from musclemap.pipelines.packing.croissant import COLUMNS
from musclemap.pipelines.packing.licences import OPEN, parse_statements, terms_of
from musclemap.pipelines.packing.splits import (
    SPLITS,
    parse_shares,
    split_by_groups,
    split_by_subject,
    subject_of,
    subjects_in_several_splits,
)
from musclemap.skeletons.body import TargetBody

from ..support.data.exported_clips import moving_clip, put

OPEN_CLIPS = ("walks/ann/a_poses.npz", "walks/ann/b_poses.npz", "walks/bob/a_poses.npz", "walks/cy/a_poses.npz")


@pytest.fixture(scope="module")
def clip(body: TargetBody) -> Clip:
    """Shared clip; tests must not modify it."""
    return moving_clip(body, nframe=8, licence="CC-BY-4.0")


@pytest.fixture
def out(clip: Clip, tmp_path: Path) -> Path:
    """Four open clips of three subjects, an infeasible one, two private ones, a truncated one and a failed source."""
    folder = tmp_path / "out"
    entries = [put(folder, source, clip) for source in OPEN_CLIPS]
    entries.append(put(folder, "walks/cy/bad_poses.npz", replace(clip, verdict="infeasible", reasons=({"rule": "x"},))))
    entries.append(put(folder, "KIT/317/walk_poses.npz", replace(clip, licence="unknown")))
    entries.append(put(folder, "closed/dee/a_poses.npz", replace(clip, licence="no redistribution")))
    entries.append(put(folder, "walks/bob/torn_poses.npz", clip))
    (folder / "walks/bob/torn_poses.h5").write_bytes(b"")
    entries.append(ManifestEntry(source="walks/bob/lost_poses.npz", status="failed", reason="solver: no"))
    Manifest(entries=tuple(entries)).write(folder / "manifest.jsonl")
    return folder


def _run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The bundle


def test_every_file_is_listed_with_its_hash(out: Path, tmp_path: Path) -> None:
    status, stdout, stderr = _run(out, tmp_path / "b", "--shares", "1,1,1", "--json")
    files, output = _bytes(tmp_path / "b"), json.loads(stdout)
    bundle = parse_bundle(files["MANIFEST.json"], url="http://localhost/MANIFEST.json")
    assert (bundle.name, bundle.licence, bundle.sha256) == ("b", "CC-BY-4.0", output["bundle"]["sha256"])
    assert {file.path.as_posix() for file in bundle.files} == files.keys() - {"MANIFEST.json"}
    for file in bundle.files:
        data = files[file.path.as_posix()]
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    sums = dict(line.split("  ", 1)[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert sums.keys() == files.keys() - {"MANIFEST.json", "SHA256SUMS"}
    assert all(hashlib.sha256(files[path]).hexdigest() == sha256 for path, sha256 in sums.items())
    assert output["bundle"]["size"] == sum(map(len, files.values()))
    assert {path for path in files if path.endswith(".h5")} == {f"clips/{s.replace('.npz', '.h5')}" for s in OPEN_CLIPS}
    codes = {one["source"]: one["code"] for one in output["left_out"]}
    assert codes == {
        "walks/cy/bad_poses.npz": "infeasible", "KIT/317/walk_poses.npz": "licence",
        "closed/dee/a_poses.npz": "licence", "walks/bob/torn_poses.npz": "unreadable",
        "walks/bob/lost_poses.npz": "failed",
    }  # fmt: skip
    assert status == 1
    assert "KIT of AMASS, which forbids redistribution" in stderr
    assert "no redistribution" in stderr
    assert {one["source"] for one in json.loads(files["MANIFEST.json"])["left_out"]} == codes.keys()


def test_other_commands_find_the_clips_of_a_bundle(out: Path, tmp_path: Path) -> None:
    _run(out, tmp_path / "b", "-q")
    for entry in Manifest.read(tmp_path / "b" / "manifest.jsonl").entries:
        assert entry.clip is not None
        assert read_clip(tmp_path / "b" / entry.clip, sha256=entry.clip_sha256).source == entry.source


def test_same_clips_same_bytes(out: Path, tmp_path: Path) -> None:
    _run(out, tmp_path / "b", "--name", "walks", "-q")
    _run(out, tmp_path / "deep" / "c", "--name", "walks", "-q")
    assert _bytes(tmp_path / "b") == _bytes(tmp_path / "deep" / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "deep", "out"]


def test_a_private_bundle_says_so(out: Path, tmp_path: Path) -> None:
    status, _, _ = _run(out, tmp_path / "b", "--private", "--infeasible", "-q")
    files = _bytes(tmp_path / "b")
    assert status == 1  # the truncated clip
    assert sum(path.endswith(".h5") for path in files) == 7
    assert json.loads(files["MANIFEST.json"])["private"] is True
    assert "**Private: do not redistribute.**" in files["README.md"].decode()
    assert "license: other" in files["README.md"].decode()
    _run(out, tmp_path / "c", "-q")
    assert json.loads((tmp_path / "c" / "MANIFEST.json").read_bytes())["private"] is False
    assert "Private" not in (tmp_path / "c" / "README.md").read_text()


def test_a_stated_licence_is_marked_as_stated(out: Path, tmp_path: Path) -> None:
    _, stdout, stderr = _run(out, tmp_path / "b", "--licence", "*=CC0-1.0", "--json")
    by_source = {clip["source"]: (clip["licence"], clip["licence_from"]) for clip in json.loads(stdout)["clips"]}
    assert by_source["KIT/317/walk_poses.npz"] == ("CC0-1.0", "stated")
    assert by_source[OPEN_CLIPS[0]] == ("CC-BY-4.0", "clip")
    assert "closed/dee/a_poses.npz" not in by_source  # the clip's own licence applies
    assert "closed/dee" in stderr
    text = (tmp_path / "b" / "README.md").read_text()
    assert "| KIT | 1 | [CC0-1.0](https://creativecommons.org/publicdomain/zero/1.0/) | the packager |" in text
    assert json.loads((tmp_path / "b" / "MANIFEST.json").read_bytes())["licence"] == "CC-BY-4.0 AND CC0-1.0"


def test_the_card_has_the_numbers(out: Path, tmp_path: Path) -> None:
    _run(out, tmp_path / "b", "--shares", "1,1,1", "-q")
    text = (tmp_path / "b" / "README.md").read_text()
    assert text.startswith('---\npretty_name: "b"\nlicense: cc-by-4.0\n')
    assert "| all | 4 | 3 | 32 | 0.000 | 4 feasible |" in text
    assert "No subject is in two splits." in text
    assert "median 10.0 mm" in text
    assert "| infeasible | 1 |" in text


def test_croissant_describes_the_files(out: Path, tmp_path: Path) -> None:
    status, _, stderr = _run(out, tmp_path / "b")
    assert "croissant.json lacks url, creator, datePublished" in stderr
    words = ("--url", "https://example.org/b", "--creator", "Us", "--date", "2026-01-02", "--citation", "Us, 2026")
    status, _, stderr = _run(out, tmp_path / "b", "--overwrite", *words)
    assert (status, "lacks" in stderr) == (1, False)
    files = _bytes(tmp_path / "b")
    stored = json.loads(files["croissant.json"])
    assert stored["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    required = {"@context", "@type", "name", "description", "license", "url", "creator", "datePublished"}
    assert required <= stored.keys()
    assert stored["license"] == [OPEN["CC-BY-4.0"]]
    described = {file["contentUrl"]: file["sha256"] for file in stored["distribution"]}
    assert {path for path in files if path.endswith(".h5")} < described.keys()
    assert all(hashlib.sha256(files[path]).hexdigest() == sha256 for path, sha256 in described.items())
    ids = [item["@id"] for item in (*stored["distribution"], *stored["recordSet"])]
    ids += [field["@id"] for records in stored["recordSet"] for field in records["field"]]
    assert len(set(ids)) == len(ids)
    rows = list(csv.DictReader(io.StringIO(files["clips.csv"].decode())))
    assert list(rows[0]) == list(COLUMNS)
    assert {row["clip"]: row["sha256"] for row in rows}.items() <= described.items()
    for split in SPLITS:
        listed = files[f"splits/{split}.txt"].decode().splitlines()
        assert listed == [row["clip"] for row in rows if row["split"] == split]


# Where it is written


def test_nothing_is_overwritten_without_the_option(out: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    (tmp_path / "empty").mkdir()
    for place, output in ((tmp_path / "mine", "is not a bundle"), (out / "b", "inside the folder of the clips")):
        status, _, stderr = _run(out, place, "--overwrite")
        assert (status, output in stderr) == (2, True)
    assert _bytes(tmp_path / "mine") == {"diary.txt": b"dear"}
    assert _run(out, tmp_path / "empty")[0] == 1
    status, _, stderr = _run(out, tmp_path / "empty")
    assert (status, "--overwrite replaces the bundle" in stderr) == (2, True)
    (tmp_path / "empty" / "old.txt").write_text("of the earlier bundle")
    assert _run(out, tmp_path / "empty", "--overwrite")[0] == 1
    assert "old.txt" not in _bytes(tmp_path / "empty")


def test_a_bundle_never_overwrites_its_own_clips(out: Path, tmp_path: Path) -> None:
    assert _run(out, tmp_path / "b", "-q")[0] == 1
    out.rename(tmp_path / "b" / "out")
    status, _, stderr = _run(tmp_path / "b" / "out", tmp_path / "b", "--overwrite")
    assert (status, "which would be replaced" in stderr) == (2, True)
    assert (tmp_path / "b" / "out" / "manifest.jsonl").exists()


def test_a_bundle_in_the_current_folder(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    assert _run(out, ".", "-q")[0] == 1
    assert (tmp_path / "b" / "MANIFEST.json").exists()
    assert json.loads((tmp_path / "b" / "MANIFEST.json").read_bytes())["name"] == "b"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_run_leaves_existing_files_unchanged(
    overwrite: bool, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if overwrite:
        _run(out, tmp_path / "b", "-q")
    before = _bytes(tmp_path / "b") if overwrite else {}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "_write", full)
    status, _, stderr = _run(out, tmp_path / "b", "--overwrite")
    assert (status, "No space left" in stderr) == (2, True)
    assert (_bytes(tmp_path / "b") if overwrite else {}) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == (["b", "out"] if overwrite else ["out"])


def test_an_earlier_bundle_is_restored_if_the_new_one_cannot_be_renamed(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(out, tmp_path / "b", "-q")
    before, rename = _bytes(tmp_path / "b"), Path.rename

    def broken(path: Path, target: Path) -> Path:
        if path.suffix == ".pack":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(atomic_folder, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", broken)
    assert _run(out, tmp_path / "b", "--overwrite", "--infeasible")[0] == 2
    assert _bytes(tmp_path / "b") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "out"]


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("earlier", ["none", "empty", "bundle"])
def test_after_a_kill_the_folder_is_either_the_earlier_or_the_new_one(
    earlier: str, can_exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills happen at calls that rename. Without an atomic exchange, the next call repairs one of these states."""
    place, names = tmp_path / "b", ("rename", "_exchange", "rmtree", "unlink")
    if not can_exchange:
        monkeypatch.setattr(atomic_folder, "_exchange", lambda *_: False)

    def put(*, after: int) -> None:
        """Replace a folder in a process that is killed before its call number `after`."""
        with warnings.catch_warnings():  # JAX warns of every fork; this child does not use it
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            left = [after]
            for owner, name in zip((Path, atomic_folder, shutil, Path), names, strict=True):
                setattr(owner, name, _counted(getattr(owner, name), left))
            with replace_folder(place) as folder:
                (folder / "new").write_bytes(b"")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGKILL)

    for after in range(6):
        shutil.rmtree(place, ignore_errors=True)
        if earlier != "none":
            place.mkdir()
        if earlier == "bundle":
            (place / "old").write_bytes(b"")
        there = {(path.name,) for path in place.iterdir()} if place.exists() else set()
        put(after=after)
        result = {path.name for path in place.iterdir()} if place.exists() else None
        assert result in ({"new"}, {name for (name,) in there}) or (result is None and not (can_exchange and there))
        with pytest.raises(RuntimeError), replace_folder(place):
            raise RuntimeError
        assert earlier == "none" or {path.name for path in place.iterdir()} in ({"new"}, {name for (name,) in there})
        assert {path.name for path in tmp_path.iterdir()} <= {"b"}


def _counted(call: Callable[..., object], left: list[int]) -> Callable[..., object]:
    def counted(*arguments: object, **options: object) -> object:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return call(*arguments, **options)

    return counted


def test_simultaneous_runs_into_one_folder_are_refused(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "b") as folder:
        (folder / "a").write_bytes(b"")
        with pytest.raises(BlockingIOError), replace_folder(tmp_path / "b"):
            pass
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["a"]


def test_a_clip_that_changes_during_packing_is_an_error(out: Path, clip: Clip, tmp_path: Path) -> None:
    contents = select_contents(out, PackOptions())
    put(out, OPEN_CLIPS[0], replace(clip, licence="MIT"))
    with pytest.raises(OutputError, match="changed while it was being packed"):
        write_bundle(out, contents, tmp_path / "b", PackOptions(), BundleMetadata(name="b"))
    assert not (tmp_path / "b").exists()


def test_a_dry_run_writes_nothing(out: Path, tmp_path: Path) -> None:
    status, stdout, _ = _run(out, tmp_path / "b", "--dry-run")
    assert (status, "nothing was written" in stdout) == (1, True)
    assert not (tmp_path / "b").exists()


def test_wrong_use(out: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    put(closed, "a.npz", read_clip(out / "KIT/317/walk_poses.h5"))
    for words, output in (
        ((closed, tmp_path / "b"), "there is no manifest.jsonl"),
        ((out, tmp_path / "b", "--licence", "CC0-1.0"), "as GLOB=LICENCE"),
        ((out, tmp_path / "b", "--licence", "*=mine"), "not among the licences that allow"),
        ((out, tmp_path / "b", "--shares", "1,2"), "three numbers"),
        ((out, tmp_path / "b", "--date", "today"), "YYYY-MM-DD"),
        ((out, tmp_path / "b", "--test", "nothing-such"), "there is no group"),
        ((out, tmp_path / "b", "--test", "nothing-such", "--seed", "3"), "groups do not take --seed"),
        ((out, tmp_path / "b", "--shared-subjects"), "shares of subjects do not take --shared-subjects"),
    ):
        status, _, stderr = _run(*words)
        assert status == 2
        assert output in stderr
    Manifest(entries=(put(closed, "a.npz", read_clip(out / "KIT/317/walk_poses.h5")),)).write(closed / "manifest.jsonl")
    status, _, stderr = _run(closed, tmp_path / "b")
    assert (status, "nothing to pack: 1 licence" in stderr, "--private" in stderr) == (2, True, True)


def test_a_clip_with_an_invalid_path_is_left_out(out: Path, clip: Clip, tmp_path: Path) -> None:
    manifest = Manifest.read(out / "manifest.jsonl")
    outside = replace(manifest.entries[-1], source="z.npz", clip="../z.h5", status="ok")
    lines = {entry.source: entry for entry in (*manifest.entries, put(out, "walks/ann/a:b.npz", clip), outside)}
    Manifest(entries=tuple(lines.values())).write(out / "manifest.jsonl")
    left = {one.source: one.code for one in select_contents(out, PackOptions()).left_out}
    assert (left["walks/ann/a:b.npz"], left["z.npz"]) == ("bad_path", "bad_path")


# Licences


@pytest.mark.parametrize(
    "licence", ["", "unknown", "AMASS licence", "CC-BY-ND-4.0", "unknown (made from AMASS)", "MIT-ish"]
)
def test_licences_not_known_to_be_open_are_refused(licence: str) -> None:
    assert terms_of(licence, "a/b.npz", stated={}).objection


def test_open_licences_are_recognised_by_name() -> None:
    assert all(not terms_of(name.lower(), "a/b.npz", stated={}).objection for name in OPEN)
    assert terms_of(" cc-by-4.0 ", "KIT/3/b.npz", stated={}).licence == "CC-BY-4.0"


def test_a_statement_applies_only_to_clips_without_a_licence() -> None:
    stated = parse_statements(["*=CC0-1.0", "a=b/*=mit"])
    assert terms_of("unknown", "a=b/c.npz", stated=stated).licence == "MIT"
    assert terms_of("", "x.npz", stated=stated).licence == "CC0-1.0"
    assert terms_of("ODbL-1.0", "x.npz", stated=stated).licence == "ODbL-1.0"
    assert terms_of("closed", "x.npz", stated=stated).objection


def test_untrusted_text_is_escaped_in_the_card() -> None:
    assert escaped("<b>|a](x)`\n\udcff") == "\\<b\\>\\|a\\](x)\\`??".replace("??", "?\ufffd")


# Splits


def test_a_subject_is_recognised_under_all_names() -> None:
    same = [
        ("KIT/317/walk_poses.npz", "amass/KIT/317/jump_poses.npz"),
        ("ACCAD/Female1Walking_c3d/a_poses.npz", "ACCAD/ACCAD/Female1Running_c3d/b_poses.npz"),
        ("DFaust_67/50002/a_poses.npz", "MPI_mosh/50002/b_poses.npz"),
        ("a.npz", "b.npz"),
    ]
    for one, other in same:
        assert subject_of(one) == subject_of(other)
    assert len({subject_of(one) for one, _ in same}) == len(same)
    assert subject_of("ACCAD/Male1Walking_c3d/a.npz") != subject_of("ACCAD/Male2Walking_c3d/a.npz")


@pytest.mark.parametrize("seed", range(20))
def test_splits_are_disjoint_by_subject_and_match_the_shares(seed: int) -> None:
    rng = random.Random(seed)
    seconds = {f"set/{rng.randrange(60)}/{k}_poses.npz": rng.uniform(2, 60) for k in range(600)}
    shares = parse_shares("0.7,0.2,0.1")
    of = split_by_subject(seconds, shares, seed=seed)
    assert of.keys() == seconds.keys()
    assert not subjects_in_several_splits(of)
    assert of == split_by_subject(dict(reversed(seconds.items())), shares, seed=seed)
    total = sum(seconds.values())
    for split in SPLITS:
        part = sum(seconds[source] for source in of if of[source] == split) / total
        assert part == pytest.approx(shares[split], abs=0.03)


@pytest.mark.parametrize("seed", range(20))
def test_no_split_is_empty_if_there_are_enough_subjects(seed: int) -> None:
    seconds = {"s/long/a.npz": 5000.0, "s/b/a.npz": 1.0, "s/c/a.npz": 2.0}
    assert set(split_by_subject(seconds, parse_shares("8,1,1"), seed=seed).values()) == set(SPLITS)
    assert set(split_by_subject(seconds, parse_shares("8,2,0"), seed=seed).values()) == {"train", "val"}
    assert len({tuple(split_by_subject({f"s/{k}/a.npz": 1.0 for k in range(9)}, parse_shares("1,1,1"), seed=n).values())
                for n in range(9)}) > 5  # fmt: skip


def test_splits_by_group_refuse_shared_subjects(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("# mine\nwalks/ann/a\n")
    groups = {"test": str(tmp_path / "test.txt")}
    with pytest.raises(SettingsError, match=r"walks/ann in train and test; --shared-subjects"):
        split_by_groups(OPEN_CLIPS, groups)
    of = split_by_groups(OPEN_CLIPS, groups, shared_subjects=True)
    assert of == {source: "test" if source == OPEN_CLIPS[0] else "train" for source in OPEN_CLIPS}
    assert subjects_in_several_splits(of) == {"walks/ann": ["train", "test"]}
    (tmp_path / "train.txt").write_text("walks/bob/a\n")
    of = split_by_groups(OPEN_CLIPS, {**groups, "train": str(tmp_path / "train.txt")})
    assert of == {OPEN_CLIPS[0]: "test", OPEN_CLIPS[2]: "train"}
    with pytest.raises(SettingsError, match=r"is in val .* and in test"):
        split_by_groups(OPEN_CLIPS, {**groups, "val": groups["test"]})
    with pytest.raises(SettingsError, match="no clip is in kit-kinesis-test"):
        split_by_groups(OPEN_CLIPS, {"test": "kit-kinesis-test"})


def test_clips_in_no_group_are_reported(out: Path, tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("walks/ann/a\nwalks/ann/b\n")
    _, stdout, _ = _run(out, tmp_path / "b", "--train", tmp_path / "g.txt", "--json")
    output = json.loads(stdout)
    assert [clip["split"] for clip in output["clips"]] == ["train", "train"]
    assert sum(one["code"] == "no_split" for one in output["left_out"]) == 2
