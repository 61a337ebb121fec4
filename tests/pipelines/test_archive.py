"""Conversion of a folder to clips and a manifest; a bad file never affects another."""

import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musclemap.cli.output.conversion_report import reading_lines
from musclemap.datasets import output_folder
from musclemap.datasets.clip import read_clip
from musclemap.datasets.journal import Journal
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.output_folder import OutputError, open_output
from musclemap.errors import SettingsError, SourceError
from musclemap.pipelines.archive import convert_archive
from musclemap.pipelines.convert import prepare as intake
from musclemap.pipelines.convert.status import folder_status
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.config import RetargetConfig
from musclemap.settings import to_dict

from ..support.data.fake_retargeter import BreaksOn, FakeRetargeter, Outcome, save

ROOT = Path(__file__).parents[2]
CONFIG = RetargetConfig()


class OddLookup(KeyError):
    """Error of some library."""


class OddError(Exception):
    """Error of another library."""


ODD = [
    OddLookup("pelvis"), AssertionError(), RecursionError("too deep"), TypeError("no number"),
    AttributeError("typo"), OddError("of some library"),
]  # fmt: skip


def convert(source, out, **options):
    return convert_archive(source, out, **{"config": CONFIG, "retargeter": FakeRetargeter(), **options})


def lines(out):
    return {entry.source: entry for entry in Manifest.read(out / "manifest.jsonl").entries}


def files(folder):
    """Content of every file except the lock."""
    result = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(result.items()) if name != ".musclemap.lock"}


@pytest.fixture
def source(tmp_path):
    for name in ("a.npz", "b/a.npz", "b/c.npz", "d.npz"):
        save(tmp_path / "in" / name, nframe=4 + len(name))
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_every_file_gets_a_clip_and_a_manifest_line(source, out):
    summary = convert(source, out)
    assert summary.complete
    assert summary.counts == {"ok": 4, "rejected": 0, "failed": 0, "kept": 0}
    assert set(files(out)) == {"a.h5", "b/a.h5", "b/c.h5", "d.h5", "manifest.jsonl"}
    for name, entry in lines(out).items():
        content = (out / entry.clip).read_bytes()
        assert entry.clip == name.removesuffix(".npz") + ".h5"
        assert entry.source_sha256 == hashlib.sha256((source / name).read_bytes()).hexdigest()
        assert entry.clip_sha256 == hashlib.sha256(content).hexdigest()
        assert (entry.status, entry.reason, entry.verdict) == ("ok", "", "feasible")
        assert read_clip(out / entry.clip).nframe == entry.nframe == 4 + len(name)


def test_converting_one_file_and_repeating_the_run_give_the_same_bytes(source, out, tmp_path):
    convert(source, out)
    convert(source, tmp_path / "again")
    assert files(out) == files(tmp_path / "again")
    convert(source / "b" / "c.npz", tmp_path / "one")
    assert files(tmp_path / "one")["c.h5"] != b""
    assert set(lines(tmp_path / "one")) == {"c.npz"}


BAD = {
    "absent_rate.npz": ("rejected", "no_frame_rate", {"mocap_framerate": None}),
    "missing_key.npz": ("rejected", "missing_key", {"trans": None}),
    "negative_rate.npz": ("rejected", "bad_frame_rate", {"mocap_framerate": np.array(-30.0)}),
    "no_frames.npz": ("rejected", "no_frames", {"nframe": 0}),
    "non_finite.npz": ("rejected", "non_finite", {"trans": np.full((5, 3), np.nan)}),
    "objects.npz": ("rejected", "pickled", {"trans": np.array([{}] * 5, dtype=object)}),
    "one_frame.npz": ("rejected", "single_frame", {"nframe": 1}),
    "wrong_shape.npz": ("rejected", "bad_shape", {"poses": np.zeros((5, 155))}),
    "zero_rate.npz": ("rejected", "bad_frame_rate", {"mocap_framerate": np.array(0.0)}),
}


def test_each_bad_file_gets_one_line_and_the_rest_is_converted(source, out):
    for name, (_, _, changes) in BAD.items():
        save(source / name, **changes)
    whole = (source / "a.npz").read_bytes()
    (source / "truncated.npz").write_bytes(whole[: len(whole) // 2])
    (source / "text.npz").write_text("not an archive")
    (source / "empty.npz").write_bytes(b"")
    (source / "dangling.npz").symlink_to(source / "nowhere.npz")
    (source / "folder.npz").mkdir()
    save(source / "odd rate.npz", mocap_framerate=np.array(59.94))
    save(source / "blank and ü 走" / "clip ß.npz")

    summary = convert(source, out)
    expected = {name: (status, reason) for name, (status, reason, _) in BAD.items()}
    expected |= {"truncated.npz": ("rejected", "truncated"), "empty.npz": ("rejected", "truncated")}
    expected |= {"text.npz": ("rejected", "not_npz"), "dangling.npz": ("rejected", "unreadable")}
    good = {"a.npz", "b/a.npz", "b/c.npz", "d.npz", "odd rate.npz", "blank and ü 走/clip ß.npz"}
    written = lines(out)
    assert set(written) == set(expected) | good
    for name, (status, reason) in expected.items():
        assert (written[name].status, written[name].code) == (status, reason), name
        assert len(written[name].reason) > len(reason) + 10
        assert (written[name].clip, written[name].verdict, written[name].nframe) == (None, None, 0)
    assert {name for name, entry in written.items() if entry.status == "ok"} == good
    assert read_clip(out / "odd rate.h5").fps == 59.94
    assert read_clip(out / "blank and ü 走/clip ß.h5").source == "blank and ü 走/clip ß.npz"
    assert not summary.complete


def test_file_names_that_are_not_utf8_or_look_like_markup(source, out):
    names = [os.fsdecode(b"l\xfcks.npz"), "[bold]x[.npz"]
    for name in names:
        save(source / name)
    summary = convert(source, out)
    json.dumps(summary.to_dict())
    for name in names:
        entry = lines(out)[name]
        assert entry.status == "ok", entry.reason
        assert read_clip(out / (entry.clip or "")).source == name
    assert len(convert(source, out).kept) == 6


def test_an_unreadable_file_is_one_rejected_line(source, out, monkeypatch):
    open_file = os.open

    def refuse(path, *arguments):
        if Path(path).name == "d.npz":
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_file(path, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    assert convert(source, out).counts == {"ok": 3, "rejected": 1, "failed": 0, "kept": 0}
    assert lines(out)["d.npz"].code == "unreadable"


def test_a_default_frame_rate_applies_to_files_without_one(source, out):
    save(source / "bare.npz", mocap_framerate=None)
    summary = convert(source, out, config=RetargetConfig(default_fps=25.0))
    assert read_clip(out / "bare.h5").fps == 25.0
    assert any("25 Hz was assumed" in warning.text for warning in summary.warnings["bare.npz"])
    assert "no_frame_rate" in [warning.code for warning in summary.warnings["bare.npz"]]


def test_the_first_of_two_files_with_the_same_clip_gets_it(source, out):
    save(source / "a.NPZ", nframe=50)
    save(source / "a.Npz", nframe=60)
    for _ in range(2):
        convert(source, out)
        written = lines(out)
        assert read_clip(out / "a.h5").nframe == written["a.NPZ"].nframe == 50
        for name in ("a.Npz", "a.npz"):
            assert written[name].status == "failed"
            assert written[name].code == "name_clash"
            assert written[name].reason.startswith("name_clash: a.NPZ ")
            assert written[name].clip is None
    convert(source, out, include=["a.npz"])
    assert lines(out)["a.npz"].status == "failed"
    assert read_clip(out / "a.h5").nframe == 50


def test_a_new_file_that_takes_over_a_clip_name_keeps_it(source, out):
    convert(source, out)
    save(source / "a.NPZ", nframe=50)
    convert(source, out, batch_frames=1)
    written = lines(out)
    assert (written["a.npz"].status, written["a.npz"].clip) == ("failed", None)
    assert written["a.NPZ"].clip_sha256 == hashlib.sha256((out / "a.h5").read_bytes()).hexdigest()


def test_an_empty_input_is_an_error(tmp_path, source, out):
    (tmp_path / "void").mkdir()
    for wrong, options in ((tmp_path / "void", {}), (tmp_path / "absent", {}), (source, {"include": ["zzz*"]})):
        with pytest.raises(SourceError):
            convert(wrong, out, **options)
    with pytest.raises(SettingsError, match="kit-kinesis-test"):
        convert(source, out, group="nonsense")
    assert not out.exists()


def test_selection(source, out):
    def chosen(**options):
        return list(convert(source, out, dry_run=True, **options).planned)

    assert chosen() == ["a.npz", "b/a.npz", "b/c.npz", "d.npz"]
    assert chosen(include=["a*"]) == ["a.npz", "b/a.npz"]
    assert chosen(include=["b/*"]) == ["b/a.npz", "b/c.npz"]
    assert chosen(include=["b/*", "d.npz"], exclude=["*c.npz"]) == ["b/a.npz", "d.npz"]
    assert chosen(limit=2) == ["a.npz", "b/a.npz"]
    assert not out.exists()
    save(source / "KIT/314/walking_slow05_poses.npz")
    summary = convert(source, out, dry_run=True, group="kit-kinesis-test")
    assert summary.planned == ("KIT/314/walking_slow05_poses.npz",)
    assert "KIT/4/WalkInCounterClockwiseCircle04_poses" in summary.missing


def test_up_to_date_clips_are_kept_and_stale_ones_converted_again(source, out):
    convert(source, out)
    before = files(out)

    def again(**options):
        fake = FakeRetargeter(options.get("config", CONFIG), options.pop("version", "1"))
        summary = convert(source, out, retargeter=fake, **options)
        assert summary.complete
        assert sorted([*summary.kept, *fake.seen]) == ["a.npz", "b/a.npz", "b/c.npz", "d.npz"]
        return fake.seen

    assert again() == []
    assert files(out) == before
    (out / "a.h5").write_bytes(before["a.h5"][:-1])
    (out / "b" / "a.h5").unlink()
    assert again() == ["a.npz", "b/a.npz"]
    (out / "a.h5").write_bytes(before["b/c.h5"])
    assert again() == ["a.npz"]
    assert files(out) == before
    save(source / "d.npz", nframe=77)
    assert again() == ["d.npz"]
    assert len(again(overwrite=True)) == len(again(version="2")) == 4
    assert len(again(version="2", config=RetargetConfig(fps=50.0))) == 4
    assert again(version="2", config=RetargetConfig(fps=50.0)) == []


class WithMuscles(FakeRetargeter):
    """Computes activations on request."""

    def clip(self, motion):
        made = super().clip(motion)
        if not self.config.validation.muscles:
            return made
        return replace(
            made,
            activation=np.full((motion.nframe, 3), 0.5, np.float32),
            activation_residual=np.zeros((motion.nframe, 2), np.float32),
        )


def test_existing_activations_are_kept_and_missing_ones_computed_on_request(source, out):
    """The number of frames checked together makes no difference, and `--status` agrees with a run."""

    def settings(**changes):
        return RetargetConfig(validation=replace(CONFIG.validation, **changes))

    def again(config):
        fake = WithMuscles(config)
        stale = folder_status(out, requested={"config": to_dict(config), "software": {"musclemap": "1"}}).stale
        convert(source, out, config=config, retargeter=fake)
        assert set(stale) == set(fake.seen)
        return len(fake.seen)

    convert(source, out, retargeter=WithMuscles())
    assert again(settings(chunk_size=7)) == 0
    assert again(settings(muscles=True)) == 4
    before = files(out)
    assert again(CONFIG) == 0
    assert again(settings(muscles=True, chunk_size=7)) == 0
    assert files(out) == before
    assert read_clip(out / "a.h5").activation is not None
    assert again(settings(cutoff=9.0)) == 4
    assert read_clip(out / "a.h5").activation is None


@pytest.mark.parametrize("path", ["in", "in/", "other/../in", "link"])
def test_clips_are_not_written_to_the_folder_of_the_motions(source, tmp_path, path):
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(source)
    before = files(source)
    for dry_run in (False, True):
        with pytest.raises(SettingsError, match="is the input folder"):
            convert(source, tmp_path / path, dry_run=dry_run)
    assert files(source) == before
    assert not (source / ".musclemap.lock").exists()
    assert convert(source, source / "clips").complete, "a subfolder is allowed"
    assert convert(source / "a.npz", source).complete, "a single file may have its clip beside it"


def test_a_clip_has_the_licence_of_its_source_and_is_converted_again_if_it_lacks_one(source, out):
    class Older(FakeRetargeter):
        """Earlier version that did not read licences."""

        def provenance(self, motion):
            return super().provenance(motion) | {"licence": "unknown"}

    save(source / "d.npz", licence=np.array("CC-BY-4.0"))
    convert(source, out, retargeter=Older())
    assert read_clip(out / "d.h5").licence == "unknown"
    fake = FakeRetargeter()
    convert(source, out, retargeter=fake)
    assert fake.seen == ["d.npz"]
    assert read_clip(out / "d.h5").licence == "CC-BY-4.0"
    assert read_clip(out / "a.h5").licence == "unknown"


def test_a_run_on_fewer_files_leaves_the_other_lines_unchanged(source, out):
    convert(source, out)
    before = lines(out)
    save(source / "a.npz", nframe=33)
    convert(source, out, include=["a.npz"], exclude=["b/*"])
    after = lines(out)
    assert after.pop("a.npz") != before.pop("a.npz")
    assert after == before


def test_the_clip_of_a_source_that_became_invalid_is_deleted(source, out):
    convert(source, out)
    (source / "a.npz").write_bytes(b"")
    convert(source, out)
    assert not (out / "a.h5").exists()
    assert lines(out)["a.npz"].status == "rejected"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: out of memory"), "out_of_memory"),
        (RuntimeError("INTERNAL: device died"), "retarget_crash"),
        (FloatingPointError("divide by zero"), "retarget_crash"),
        (np.linalg.LinAlgError("singular"), "retarget_crash"),
        (SourceError(ReasonCode.BAD_SHAPE, "no such family"), "bad_shape"),
        (AttributeError("typo"), "retarget_crash"),
        (AssertionError(), "retarget_crash"),
        (RecursionError("too deep"), "retarget_crash"),
        (TypeError("no number"), "retarget_crash"),
        (OddLookup("pelvis"), "retarget_crash"),
        (OSError(5, "Input/output error"), "retarget_crash"),
        (OddError("of some library"), "retarget_crash"),
    ],
)
def test_a_crash_affects_only_the_clip_that_causes_it(source, out, error, reason):
    summary = convert(source, out, retargeter=BreaksOn("b/a.npz", error))
    assert summary.counts == {"ok": 3, "rejected": 0, "failed": 1, "kept": 0}
    assert lines(out)["b/a.npz"].code == reason


@pytest.mark.parametrize("error", [*ODD, MemoryError()])
def test_any_error_of_the_reader_affects_only_that_file(source, out, monkeypatch, error):
    read = intake.read_motions

    def broken(path, *, name, **options):
        if name == "b/a.npz":
            raise error
        return read(path, name=name, **options)

    monkeypatch.setattr(intake, "read_motions", broken)
    assert convert(source, out).counts == {"ok": 3, "rejected": 0, "failed": 1, "kept": 0}
    entry = lines(out)["b/a.npz"]
    assert entry.code == ("out_of_memory" if isinstance(error, MemoryError) else "crash")
    assert entry.reason.startswith(f"{entry.code}: {type(error).__name__}")


@pytest.mark.parametrize("error", ODD)
def test_any_write_error_affects_only_that_file(source, out, monkeypatch, error):
    write = output_folder.write_clip

    def broken(path, clip, **options):
        if clip.source == "b/a.npz":
            raise error
        return write(path, clip, **options)

    monkeypatch.setattr(output_folder, "write_clip", broken)
    assert convert(source, out).counts["ok"] == 3
    assert lines(out)["b/a.npz"].code == "crash"


@pytest.mark.parametrize("error", ODD)
def test_provenance_may_fail_for_one_file(source, out, error):
    class Unsure(FakeRetargeter):
        def provenance(self, motion):
            if motion.name == "b/a.npz" and self.version == "2":
                raise error
            return super().provenance(motion)

    convert(source, out)
    assert convert(source, out, retargeter=Unsure(version="2")).counts["ok"] == 3
    assert lines(out)["b/a.npz"].code == "crash"


def test_missing_results_are_a_crash_of_their_motions_only(source, out):
    class Forgets(FakeRetargeter):
        def retarget(self, motions):
            return super().retarget([motion for motion in motions if motion.name != "b/a.npz"])

    assert convert(source, out, retargeter=Forgets()).counts["ok"] == 3
    assert "returned 0 results for 1 motions" in lines(out)["b/a.npz"].reason


def test_an_unexpected_error_is_logged_with_its_traceback(source, out, caplog):
    with caplog.at_level("DEBUG", logger="musclemap.failures"):
        convert(source, out, retargeter=BreaksOn("b/a.npz", AttributeError("typo")))
    assert "AttributeError: typo" in caplog.text


def test_an_interrupt_is_propagated(source, out):
    with pytest.raises(KeyboardInterrupt):
        convert(source, out, retargeter=BreaksOn("b/a.npz", KeyboardInterrupt()))


def test_a_motion_that_the_retargeter_refuses_is_rejected(source, out):
    class Refuses(FakeRetargeter):
        def retarget(self, motions):
            return [Outcome(code=ReasonCode.TOO_SHORT, message=f"{motion.name} is a blink") for motion in motions]

    assert convert(source, out, retargeter=Refuses()).counts["rejected"] == 4
    entry = lines(out)["a.npz"]
    assert (entry.code, entry.reason) == ("too_short", "too_short: a.npz is a blink")


def test_a_result_with_neither_clip_nor_code_is_recorded_as_unknown(source, out):
    class Silent(FakeRetargeter):
        def retarget(self, motions):
            return [Outcome(message="no idea") for _ in motions]

    convert(source, out, retargeter=Silent())
    assert (lines(out)["a.npz"].code, lines(out)["a.npz"].reason) == ("unknown", "unknown: no idea")


def test_a_clip_that_breaks_the_contract_is_not_written(source, out):
    class Wrong(FakeRetargeter):
        def clip(self, motion):
            made = super().clip(motion)
            return replace(made, qpos=np.full_like(made.qpos, np.nan)) if motion.name == "a.npz" else made

    convert(source, out, retargeter=Wrong())
    assert lines(out)["a.npz"].code == "bad_clip"
    assert not (out / "a.h5").exists()


def test_batches_are_bounded_by_frames(tmp_path, out):
    for k in range(10):
        save(tmp_path / "in" / f"{k}.npz", nframe=10)
    save(tmp_path / "in" / "5.npz", nframe=100)
    fake = FakeRetargeter()
    convert(tmp_path / "in", out, retargeter=fake, batch_frames=30)
    assert fake.batches == [30, 120, 30, 10]


def test_progress_counts_every_file_and_ends_at_the_total(source, out):
    output = []
    (source / "a.npz").write_bytes(b"")
    summary = convert(source, out, progress=output.append)
    assert [p.nclip for p in output] == [0, 1, 2, 3, 4]
    assert [p.total for p in output] == [4] * 5
    assert output[-1].fraction == 1.0
    assert output[-1].nframe == summary.nframe == sum(e.nframe for e in summary.entries)
    convert(source, out, progress=output.append)
    assert output[-1].nframe == 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_the_run_and_every_file_is_reported(source, out, monkeypatch, code):
    convert(source, out, include=["d.npz"])
    old = (out / "d.h5").read_bytes()
    write = output_folder.write_clip

    def full(path, clip, **options):
        if path.name == "a.h5" and path.parent.name == "b":
            raise OSError(code, os.strerror(code))
        return write(path, clip, **options)

    monkeypatch.setattr(output_folder, "write_clip", full)
    summary = convert(source, out, overwrite=True)
    assert "full" in summary.stopped
    assert [entry.code for entry in summary.entries] == [None, "disk_full", "not_converted", "not_converted"]
    assert set(files(out)) == {"a.h5", "d.h5", "manifest.jsonl"}
    assert lines(out)["b/c.npz"].status == "failed"
    assert lines(out)["d.npz"].status == "ok", "its clip of the earlier run is still there"
    assert (out / "d.h5").read_bytes() == old
    monkeypatch.undo()
    assert convert(source, out).complete


def test_any_other_write_error_affects_one_clip(source, out, monkeypatch):
    (out / "d.h5" / "in the way").mkdir(parents=True)
    summary = convert(source, out)
    assert summary.counts["failed"] == 1
    assert lines(out)["d.npz"].code == "write_failed"


def test_a_journal_that_does_not_fit_on_the_disk_stops_the_run(source, out, monkeypatch):
    def full(journal, line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Journal, "append", full)
    summary = convert(source, out)
    assert "No space left" in summary.stopped
    assert [entry.status for entry in lines(out).values()] == ["failed"] * 4
    assert not list(out.rglob("*.h5")), "no clip without its line"


def test_an_unwritable_output_folder_is_an_error(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to"):
        convert(source, tmp_path / "file" / "out")
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o555)
        with pytest.raises(OutputError, match="Permission denied"):
            convert(source, tmp_path / "closed")


def test_a_second_run_on_the_same_output_is_refused(source, out):
    with open_output(out), pytest.raises(OutputError, match="another run"):
        convert(source, out)
    assert convert(source, out).complete


def test_a_damaged_manifest_is_reported_and_repaired(source, out):
    convert(source, out)
    manifest = out / "manifest.jsonl"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-20])
    fake = FakeRetargeter()
    summary = convert(source, out, retargeter=fake)
    assert len(summary.problems) == 1
    assert fake.seen == ["d.npz"]
    assert manifest.read_bytes() == whole


SLOW_RUN = """
import sys, time
from pathlib import Path
from musclemap.datasets import output_folder
from musclemap.pipelines.archive import convert_archive
from musclemap.settings import to_dict
from musclemap.pipelines.convert.status import folder_status
from musclemap.retarget.config import RetargetConfig
from tests.support.data.fake_retargeter import FakeRetargeter

write = output_folder.write_clip

def slow(path, clip, **options):
    if path.name == "d.h5":
        path.with_name(".musclemap-0123456789abcdef.tmp").write_bytes(b"half a clip")
        print("writing", flush=True)
        time.sleep(60)
    return write(path, clip, **options)

output_folder.write_clip = slow
convert_archive(Path(sys.argv[1]), Path(sys.argv[2]), config=RetargetConfig(), retargeter=FakeRetargeter())
"""


def test_a_killed_run_leaves_no_partial_files_and_is_resumed(source, out, tmp_path):
    convert(source, tmp_path / "whole")
    command = [sys.executable, "-c", SLOW_RUN, str(source), str(out)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        with pytest.raises(OutputError, match="another run"):
            convert(source, out)
        process.send_signal(signal.SIGKILL)
    left = {path for path in out.rglob("*.h5")}
    assert left == {out / "a.h5", out / "b/a.h5", out / "b/c.h5"}
    for path in left:
        read_clip(path)
    assert not (out / "manifest.jsonl").exists()
    fake = FakeRetargeter()
    summary = convert(source, out, retargeter=fake)
    assert fake.seen == ["d.npz"]
    assert len(summary.kept) == 3
    assert files(out) == files(tmp_path / "whole")


def test_a_temporary_file_may_vanish_while_a_run_starts(source, out, monkeypatch):
    """A worker left by an earlier run may rename its temporary file between the listing and the removal."""
    rglob = Path.rglob

    def with_a_ghost(path, pattern):
        ghost = path / ".musclemap-0123456789abcdef.tmp"
        return [*rglob(path, pattern), *([ghost] if pattern.endswith(".tmp") else [])]

    monkeypatch.setattr(Path, "rglob", with_a_ghost)
    assert convert(source, out).complete


def test_a_dry_run_writes_nothing_and_reports_the_plan(source, out):
    convert(source, out, include=["a.npz"], exclude=["b/*"])
    (source / "d.npz").write_bytes(b"")
    before = files(out)
    summary = convert(source, out, dry_run=True)
    assert summary.kept == {"a.npz"}
    assert summary.planned == tuple(summary.readings) == ("b/a.npz", "b/c.npz")
    assert re.fullmatch(r"planned  b/a.npz: \d+ frames at \d+ Hz \(\w+\), smplh, neutral.*", reading_lines(summary)[0])
    assert [entry.source for entry in summary.entries if entry.status != "ok"] == ["d.npz"]
    assert files(out) == before


def test_the_summary_is_json(source, out):
    (source / "d.npz").write_bytes(b"")
    plain = json.loads(json.dumps(convert(source, out).to_dict()))
    assert plain["counts"] == {"ok": 3, "rejected": 1, "failed": 0, "kept": 0}
    assert plain["entries"][-1]["code"] == "truncated"
    assert plain["entries"][-1]["reason"].startswith("truncated: ")
