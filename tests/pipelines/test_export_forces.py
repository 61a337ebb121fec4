"""Exports of forces, moments and activations: read back with NumPy alone, as another program would."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli.export import app
from musclemap.datasets.clip import Clip
from musclemap.datasets.formats.export_body import ExportBody
from musclemap.datasets.formats.opensim import POSITIVE, opensim_companions, opensim_motion
from musclemap.datasets.formats.tables import csv_companions, mot_bytes
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.output_folder import TRACK_LIST, TRACKS
from musclemap.datasets.track_file import StoredTrack, track_path, write_track
from musclemap.errors import ClipError
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.variants.variant import make_variant

from ..support.data.exported_clips import FPS, moving_clip, put, with_forces

N = 12
ENDS = ("_activations.sto", "_grf.mot", "_moments.sto", "_moments_per_kg.sto")


@pytest.fixture(scope="module")
def clip(body: TargetBody) -> Clip:
    """Shared clip with forces; tests must not modify it."""
    return with_forces(moving_clip(body, nframe=N), body)


@pytest.fixture(scope="module")
def bare() -> ExportBody:
    return ExportBody(load_body())


def table(data: bytes) -> tuple[list[str], dict[str, str], list[str], np.ndarray]:
    """Header lines, settings, headings and numbers of an OpenSim file, read as OpenSim's `DelimFileAdapter` does."""
    header, _, rest = data.decode().partition("\nendheader\n")
    lines = header.splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    return lines, settings, rest.splitlines()[0].split("\t"), np.loadtxt(io.StringIO(rest), skiprows=1, delimiter="\t")


def test_headers_describe_the_tables(clip: Clip, bare: ExportBody) -> None:
    files = opensim_companions(clip, bare) | {".mot": opensim_motion(clip, bare)}
    assert set(files) == {*ENDS, ".mot"}
    for end, data in files.items():
        lines, settings, columns, values = table(data)
        degrees = "yes" if end == ".mot" else "no"
        expected = {"version": "1", "nRows": str(N), "nColumns": str(len(columns)), "inDegrees": degrees}
        assert settings == expected, end
        assert columns[0] == "time"
        assert len(set(columns)) == len(columns)
        assert values.shape == (N, len(columns))
        np.testing.assert_allclose(values[:, 0], np.arange(N) / FPS, atol=1e-9)
        assert all(len(line) < 200 for line in lines)


def test_angles_are_those_of_the_motion_file(clip: Clip, bare: ExportBody) -> None:
    lines, _, columns, values = table(opensim_motion(clip, bare))
    plain = table(mot_bytes(clip, bare))
    assert columns == plain[2]
    np.testing.assert_array_equal(values, plain[3])
    assert "Positive knee_angle: knee flexion." in lines
    sides = {name.removesuffix("_r").removesuffix("_l") for name in clip.moment_names}
    assert sides <= set(POSITIVE)


def test_ground_reaction_has_opensims_axes(clip: Clip, bare: ExportBody) -> None:
    _, _, columns, values = table(opensim_companions(clip, bare)["_grf.mot"])
    assert clip.ground_force is not None
    assert clip.centre_of_pressure is not None
    for k, support in enumerate(clip.support_names):
        for prefix, array in (("ground_force_v", clip.ground_force), ("ground_force_p", clip.centre_of_pressure)):
            first = columns.index(f"{support}_{prefix}x")
            assert columns[first : first + 3] == [f"{support}_{prefix}{axis}" for axis in "xyz"]
            expected = np.stack([-array[:, k, 1], array[:, k, 2], -array[:, k, 0]], axis=1)  # forward, up, right
            np.testing.assert_allclose(values[:, first : first + 3], expected, atol=1e-4)
        first = columns.index(f"{support}_ground_torque_x")
        np.testing.assert_array_equal(values[:, first : first + 3], 0.0)


def test_moments_and_activations_keep_names_and_values(clip: Clip, bare: ExportBody, body: TargetBody) -> None:
    files = opensim_companions(clip, bare)
    _, _, columns, values = table(files["_moments.sto"])
    assert columns[1:] == [f"{name}_moment" for name in clip.moment_names]
    assert clip.joint_moment is not None
    np.testing.assert_allclose(values[:, 1:], clip.joint_moment, atol=1e-6)
    lines, _, _, per_kg = table(files["_moments_per_kg.sto"])
    mass = float(body.model.body_mass.sum())
    assert any(f"{mass:.3f} kg" in line for line in lines)
    np.testing.assert_allclose(per_kg[:, 1:] * mass, values[:, 1:], atol=1e-5)
    _, _, columns, values = table(files["_activations.sto"])
    assert tuple(columns[1:]) == clip.muscle_names
    assert clip.activation is not None
    np.testing.assert_allclose(values[:, 1:], clip.activation, atol=1e-8)


@pytest.mark.parametrize(
    ("config", "metrics", "line"),
    [
        ({"validation": {"cutoff": 8}}, {}, "filter of 8 Hz."),
        (
            {"validation": {"cutoff": 0.0}},
            {"filter_cutoff_root_hz": 9.73, "filter_cutoff_x\ny_hz": 1.0},
            ": root 9.7 Hz.",
        ),
        ({"validation": [1]}, {"filter_cutoff_root_hz": "x\nendheader"}, "low-pass filtered velocities."),
    ],
)
def test_the_filter_is_stated(
    clip: Clip, bare: ExportBody, config: dict[str, object], metrics: dict[str, object], line: str
) -> None:
    """Settings and metrics of hostile clips add no lines."""
    files = opensim_companions(replace(clip, config=config, metrics=metrics), bare)
    plain = opensim_companions(replace(clip, config={}, metrics={}), bare)
    for end in ("_grf.mot", "_moments.sto"):
        lines = table(files[end])[0]
        assert sum(text.endswith(line) for text in lines) == 1
        assert len(lines) == len(table(plain[end])[0])


def test_csv_tables_are_exact(clip: Clip, bare: ExportBody) -> None:
    files = csv_companions(clip, bare)
    assert set(files) == {"_ground_forces.csv", "_moments.csv", "_activations.csv"}
    read = {end: np.loadtxt(io.BytesIO(data), skiprows=1, delimiter=",")[:, 1:] for end, data in files.items()}
    np.testing.assert_array_equal(read["_moments.csv"].astype(np.float32), clip.joint_moment)
    np.testing.assert_array_equal(read["_activations.csv"].astype(np.float32), clip.activation)
    forces = read["_ground_forces.csv"].reshape(N, 2, 2, 3).astype(np.float32)
    np.testing.assert_array_equal(forces[:, :, 0], clip.ground_force)
    np.testing.assert_array_equal(forces[:, :, 1], clip.centre_of_pressure)
    assert files["_ground_forces.csv"].startswith(b"time,left_foot_force_x,left_foot_force_y,")
    assert csv_companions(replace(clip, ground_force=None, joint_moment=None, activation=None), bare) == {}


@pytest.mark.parametrize("name", ["a\tb", "a\nendheader", "a\x1b[2J"])
def test_names_that_would_break_a_table_are_refused(clip: Clip, bare: ExportBody, name: str) -> None:
    assert clip.muscle_names
    for changes in (
        {"support_names": (name, "right_foot")},
        {"moment_names": (name, *clip.moment_names[1:])},
        {"muscle_names": (name, *clip.muscle_names[1:])},
    ):
        with pytest.raises(ClipError, match="cannot be a column heading"):
            opensim_companions(replace(clip, **changes), bare)


def test_formulas_in_names_stay_text(clip: Clip, bare: ExportBody) -> None:
    names = ("=cmd", *clip.muscle_names[1:])
    assert csv_companions(replace(clip, muscle_names=names), bare)["_activations.csv"].startswith(b"time,'=cmd,")


def _run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_records_every_file(clip: Clip, tmp_path: Path) -> None:
    """A clip without forces is refused with the command to run, and one without activations is noted."""
    source, out = tmp_path / "clips", tmp_path / "out"
    none = {"ground_force": None, "centre_of_pressure": None, "joint_moment": None, "bearing": None}
    entries = [
        put(source, "sub/all.npz", clip),
        put(source, "forces.npz", replace(clip, activation=None)),
        put(source, "bare.npz", replace(clip, **none)),
        put(source, "sub/all_grf.npz", clip),
    ]
    Manifest(entries=tuple(entries)).write(source / "manifest.jsonl")
    status, stdout, stderr = _run(source, out, "--to", "opensim", "--json")
    clips = {c["clip"]: c for c in json.loads(stdout)["clips"]}
    assert status == 1
    assert "run mm-validate" in clips["bare.h5"]["reason"]
    assert "also that of sub/all_grf.h5" in clips["sub/all.h5"]["reason"]
    assert clips["sub/all_grf.h5"]["status"] == "ok"
    assert "mm-validate --muscles adds them" in stderr
    assert set(clips["forces.h5"]["companions"]) == {f"forces{end}" for end in ENDS[1:]}
    record = json.loads((out / "export.json").read_bytes())
    files = {c["file"]: c["sha256"] for c in record["clips"] if c["file"]}
    files |= {file: sha256 for c in record["clips"] for file, sha256 in c["companions"].items()}
    assert {f: hashlib.sha256((out / f).read_bytes()).hexdigest() for f in files} == files
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.suffix in (".mot", ".sto")} == set(files)


def _track(clip: Clip, body: TargetBody, *, nstep: int) -> StoredTrack:
    """A track of three muscles, whose root is 1 m to the side."""
    rng, qpos = np.random.default_rng(0), clip.qpos[: nstep + 1].astype(np.float64)
    qpos[:, 1] += 1.0
    return StoredTrack(
        excitation=rng.random((nstep, 3)), tracked_qpos=qpos, tracked_qvel=clip.qvel[: nstep + 1],
        tracked_act=rng.random((nstep + 1, 3)), landmark_error=np.zeros(nstep), root_error=np.zeros(nstep),
        start_qpos=qpos[0], start_qvel=clip.qvel[0], start_act=np.zeros(3), start_warmstart=clip.qvel[0],
        clip="a.h5", clip_sha256="", clip_motion_sha256="", qpos_sha256="", source=clip.source, licence=clip.licence,
        model=clip.model, model_version=clip.model_version, model_sha256=clip.model_sha256, verdict="lost",
        failure="time", config={}, software={}, metrics={}, joint_names=clip.joint_names,
        muscle_names=tuple(body.model.actuator(k).name for k in (0, 5, 9)), fps=clip.fps, start=0,
        clip_frames=clip.nframe, seconds=1.0, control_steps=nstep,
    )  # fmt: skip


def test_tracked_motion_is_exported_with_its_excitations(clip: Clip, body: TargetBody, tmp_path: Path) -> None:
    """The angles are the track's, excitations have a row per control step, and a clip without a track is refused."""
    source = tmp_path / "clips"
    entries = (put(source, "a.npz", clip), put(source, "b.npz", clip))
    Manifest(entries=entries).write(source / "manifest.jsonl")
    track = _track(clip, body, nstep=8)
    write_track(track_path(source, "a.h5"), track)
    (source / TRACKS / TRACK_LIST).write_text("")
    for to, ends, separator in (("opensim", ".sto", "\t"), ("csv", ".csv", ",")):
        out = tmp_path / to
        status, stdout, stderr = _run(source, out, "--to", to, "--tracked", "--json")
        clips = {c["clip"]: c for c in json.loads(stdout)["clips"]}
        assert (status, set(clips)) == (1, {"a.h5", "b.h5"})
        assert clips["b.h5"]["reason"] == f"b.h5 has no track; mm-track {source} b makes it"
        assert "its track ends early (time), after 0.08 s" in stderr
        assert set(clips["a.h5"]["companions"]) == {f"a_excitations{ends}", f"a_activations{ends}"}
        for name, rows, values in (("excitations", 8, track.excitation), ("activations", 9, track.tracked_act)):
            text = (out / f"a_{name}{ends}").read_text().rpartition("endheader\n")[2]
            read = np.loadtxt(io.StringIO(text), skiprows=1, delimiter=separator)
            assert text.splitlines()[0].split(separator) == ["time", *track.muscle_names]
            assert read.shape == (rows, 4)
            np.testing.assert_allclose(read[:, 0], np.arange(rows) / FPS, atol=1e-9)
            np.testing.assert_allclose(read[:, 1:], values, atol=1e-7)
        assert _run(source, out, "--to", to)[0] == 2  # the folder holds tracked motions
    _, _, columns, angles = table((tmp_path / "opensim/a.mot").read_bytes())
    _, _, _, reference = table(mot_bytes(clip, ExportBody(load_body())))
    shift = angles - reference[:9]
    np.testing.assert_allclose(shift[:, columns.index("pelvis_tx")], -1.0, atol=1e-6)
    np.testing.assert_allclose(np.delete(shift, columns.index("pelvis_tx"), axis=1), 0.0, atol=1e-6)


def test_the_track_of_an_altered_body_is_exported_by_its_options(clip: Clip, body: TargetBody, tmp_path: Path) -> None:
    source, own, weak = (tmp_path / name for name in ("clips", "own", "weak"))
    Manifest(entries=(put(source, "a.npz", clip),)).write(source / "manifest.jsonl")
    option = ("--strength", "soleus_r=0.5")
    variant = make_variant(strength={"soleus_r": 0.5})
    track = replace(_track(clip, body, nstep=8), variant=variant, model_sha256=load_body(variant=variant).sha256)
    write_track(track_path(source, "a.h5", variant=variant.short_name), track)
    (source / TRACKS / TRACK_LIST).write_text("")
    status, _, stderr = _run(source, own, "--to", "csv", "--tracked")
    assert status == 1
    assert f"mm-track {source} a makes it, and --strength soleus_r=0.5 shows that by a body with soleus_r" in stderr
    status, _, stderr = _run(source, weak, "--to", "csv", "--tracked", *option)
    assert status == 0, stderr
    read = np.loadtxt(weak / "a_excitations.csv", skiprows=1, delimiter=",")
    np.testing.assert_allclose(read[:, 1:], track.excitation, atol=1e-7)
    for options, message in (
        ((), "holds exports to csv without fingers, tracked by a body with soleus_r at 50 %; choose another folder"),
        (("--strength", "soleus_r=0.4"), "choose another folder"),
    ):
        status, _, stderr = _run(source, weak, "--to", "csv", "--tracked", *options)
        assert (status, message in stderr) == (2, True)
    status, _, stderr = _run(source, tmp_path / "none", "--to", "csv", *option)
    assert (status, "--strength chooses the track of an altered body: add --tracked" in stderr) == (2, True)
