"""Static trials: a standing subject calibrates the other recordings of the folder, and is no motion itself."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli.retarget import app
from musclemap.datasets.formats.readers.markers.marker_body import PARTS, MarkerBody
from musclemap.datasets.formats.readers.markers.marker_sets import find_marker_set
from musclemap.datasets.formats.readers.markers.static_trial import is_static
from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.output_folder import open_output
from musclemap.datasets.summary import Summary
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import SourceError
from musclemap.pipelines.convert.status import folder_status
from musclemap.reason_codes import ReasonCode

from ...support.marker_writer import Marked, labels_of, virtual_markers, write_trc

SIZES = 0.95 * np.array([1.08 if part == "shank" else 0.93 if part == "thigh" else 1.0 for part in PARTS])


@pytest.fixture(scope="module")
def recordings() -> tuple[Marked, Marked]:
    """A standing subject of its own proportions, and its walk."""
    squat, rng = synthesise("squat"), np.random.default_rng(0)
    still = replace(
        squat, rotvec=np.repeat(squat.rotvec[:1], 40, axis=0) + 0.01 * rng.normal(size=(40, 22, 3)),
        trans=np.repeat(squat.trans[:1], 40, axis=0), hand_rotvec=None,
    )  # fmt: skip
    walk = synthesise("walk_1.2", seconds=0.6)
    return virtual_markers(still, sizes=SIZES), virtual_markers(walk, sizes=SIZES)


@pytest.fixture(scope="module")
def folder(recordings: tuple[Marked, Marked], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("subject")
    for name, marked in zip(("S1_Static01.trc", "walk.trc"), recordings, strict=True):
        (path / name).write_bytes(write_trc(marked))
    return path


def read(path: Path, **options) -> SourceMotion:
    return read_motions(path, name=path.name, options=ReadOptions(**options))[0]


def codes(motion: SourceMotion) -> set[ReasonCode]:
    return {warning.code for warning in motion.warnings}


def test_names_of_static_trials() -> None:
    names = ("static.trc", "S1_Static01.c3d", "a-static-b.TRC", "ecstatic.trc", "quasistatic_walk.trc", "static.mot")
    assert [is_static(Path(name), "") for name in names] == [True, True, True, False, False, False]
    assert is_static(Path("cal.trc"), "cal.trc")
    assert not is_static(Path("static.trc"), "cal.trc")
    assert not is_static(Path("static.trc"), "none")


def test_lengths_are_those_of_the_static_trial(folder: Path, tmp_path: Path) -> None:
    """They are the subject's, and do not change with the frames of the motion."""
    motion = read(folder / "walk.trc")
    assert motion.calibration_source.startswith("S1_Static01.trc ")
    ref = MarkerBody(find_marker_set(labels_of("Plug-in Gait")).places).rest_joints(SIZES)
    assert motion.rest_joints is not None
    length = lambda joints: np.linalg.norm(joints[[4, 7, 18, 20]] - joints[[1, 4, 16, 18]], axis=1)  # noqa: E731
    np.testing.assert_allclose(length(motion.rest_joints), length(ref), rtol=0.02)
    rows = (folder / "walk.trc").read_text().splitlines()
    head = rows[2].split("\t")
    half = "\t".join([*head[:2], "30", *head[3:]])
    for name in ("S1_Static01.trc",):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "walk.trc").write_text("\n".join([*rows[:2], half, *rows[3:]]) + "\n")
    part = read(tmp_path / "walk.trc")
    np.testing.assert_array_equal(part.rest_joints, motion.rest_joints)
    own = read(folder / "walk.trc", static_trial="none")
    assert own.calibration_source == ""
    assert own.rest_joints is not None
    assert np.abs(own.rest_joints - motion.rest_joints).max() > 1e-5


def test_a_static_trial_is_no_motion_unless_it_is_said(folder: Path) -> None:
    with pytest.raises(SourceError, match="static trial") as caught:
        read(folder / "S1_Static01.trc")
    assert caught.value.code == ReasonCode.STATIC_TRIAL
    assert read(folder / "S1_Static01.trc", static_trial="none").nframe == 40
    with pytest.raises(SourceError, match="static trial"):
        read(folder / "walk.trc", static_trial="walk.trc")


def test_static_trials_that_cannot_be_used(recordings: tuple[Marked, Marked], tmp_path: Path) -> None:
    """The file is calibrated by itself, and says so; markers that the static trial lacks are left out."""
    static, walk = recordings
    (tmp_path / "walk.trc").write_bytes(write_trc(walk))
    labels = [label for label in static.labels if label != "LTHI"]
    columns = [static.labels.index(label) for label in labels]
    fewer = replace(static, labels=tuple(labels), pos=static.pos[:, columns])
    (tmp_path / "static.trc").write_bytes(write_trc(fewer))
    motion = read(tmp_path / "walk.trc")
    assert ReasonCode.STATIC_TRIAL not in codes(motion)
    assert any("1 markers that static.trc lacks" in warning.text for warning in motion.warnings)
    for data in (b"damaged", write_trc(replace(static, labels=tuple(f"X{k}" for k in range(len(static.labels)))))):
        (tmp_path / "static.trc").write_bytes(data)
        motion = read(tmp_path / "walk.trc")
        assert motion.calibration_source == ""
        assert ReasonCode.STATIC_TRIAL in codes(motion)
    (tmp_path / "static2.trc").write_bytes(b"")
    text = next(w.text for w in read(tmp_path / "walk.trc").warnings if w.code == ReasonCode.STATIC_TRIAL)
    assert "name one with --static-trial" in text


def test_the_manifest_says_what_it_is(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(folder), str(tmp_path / "out"), "--dry-run", "--json"])
    summary = json.loads(result.stdout)
    assert result.exit_code == 0
    assert summary["planned"] == ["walk.trc"]
    assert "static" not in result.stderr
    (entry,) = summary["entries"]
    assert (entry["source"], entry["status"], entry["code"]) == ("S1_Static01.trc", "rejected", "static_trial")


def test_a_static_trial_is_no_failure(tmp_path: Path) -> None:
    """Neither in the outcome of a run nor in the status of its folder; other refusals are."""
    static, other = (
        ManifestEntry(source=f"{code}.trc", status="rejected", code=code, reason="")
        for code in (ReasonCode.STATIC_TRIAL, ReasonCode.MARKER_GAPS)
    )
    assert Summary(out=tmp_path, entries=(static,)).complete
    both = Summary(out=tmp_path, entries=(static, other))
    assert (both.complete, both.failures) == (False, (other,))
    with open_output(tmp_path / "out") as folder:
        folder.record(static)
        folder.record(other)
        folder.write_manifest()
    status = folder_status(tmp_path / "out", requested={})
    assert (status.done, list(status.failed)) == ((), ["marker_gaps.trc"])
