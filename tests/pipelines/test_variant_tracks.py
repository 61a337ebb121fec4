"""`mm-track` with an altered body: its tracks lie beside those of the clip's own body, and are compared with them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import musclemap as mm
from musclemap.cli import track as command
from musclemap.cli import view as view_command
from musclemap.datasets.clip import Clip
from musclemap.datasets.output_folder import clip_files
from musclemap.datasets.track_file import StoredTrack, read_track
from musclemap.errors import SettingsError, TrackError
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.storage import stored_track
from musclemap.pipelines.track import jobs
from musclemap.pipelines.track.compensation import compare_tracks
from musclemap.skeletons.variants.variant import UNALTERED, make_variant

from ..support.arm_tracks import constant_track
from ..support.data.arm_dataset import write_dataset

RUNNER = CliRunner()
VARIANT = make_variant(strength={"elbow_flexor": 0.5})
OPTION = ("--strength", "elbow_flexor=0.5")
OWN, WEAK = "arm_000.h5", f"arm_000.{VARIANT.short_name}.h5"


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, Clip]]:
    return list(arm_clips(2, 0.3, seed=2))


@pytest.fixture
def out(tmp_path: Path, clips: list[tuple[str, Clip]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set whose tracks have constant excitations."""
    monkeypatch.setattr(jobs, "track_clip", constant_track)
    write_dataset(tmp_path / "set", clips)
    return tmp_path / "set"


def run(out: Path, *arguments: object) -> Result:
    workers = [] if {"--replay", "--status", "--dry-run"} & {*arguments} else ["--workers", "1"]
    return RUNNER.invoke(command.app, [str(out), *map(str, arguments), *workers])


def test_tracks_of_an_altered_body_are_kept_beside_the_others(out: Path) -> None:
    assert run(out).exit_code == 0
    before = (out / "tracks" / OWN).read_bytes()
    result = run(out, *OPTION)
    assert result.exit_code == 0, result.output
    assert {path.name for path in (out / "tracks").glob("arm_000*.h5")} == {OWN, WEAK}
    assert (out / "tracks" / OWN).read_bytes() == before
    weak = read_track(out / "tracks" / WEAK)
    assert weak.variant == VARIANT
    assert weak.model_sha256 != read_track(out / "tracks" / OWN).model_sha256
    lines = [json.loads(line) for line in (out / "tracks/tracks.jsonl").read_text().splitlines()]
    assert sorted((line["clip"], line.get("variant", "")) for line in lines) == [
        (name, variant) for name in ("arm_000.h5", "arm_001.h5") for variant in ("", VARIANT.short_name)
    ]
    assert {path.name for path in clip_files(out)} == {"arm_000.h5", "arm_001.h5"}


def test_the_track_of_an_altered_body_is_loaded_by_its_facts(out: Path) -> None:
    assert run(out, *OPTION).exit_code == 0
    with pytest.raises(TrackError, match="has no track"):
        mm.load(out / OWN, tracked=True)
    weak = mm.load(out / OWN, tracked=True, variant={"strength": {"elbow_flexor": 0.5}})
    assert weak.variant == VARIANT
    with pytest.raises(TrackError, match="has no track by a body with elbow_flexor at 40 %"):
        mm.load(out / OWN, tracked=True, variant={"strength": {"elbow_flexor": 0.4}})
    with pytest.raises(SettingsError, match="tracked=True"):
        mm.load(out / OWN, variant={"strength": {"elbow_flexor": 0.5}})


def test_the_options_of_a_track_show_it(out: Path, tmp_path: Path) -> None:
    assert run(out, *OPTION).exit_code == 0
    strip = tmp_path / "strip.png"
    drawn = ("--tracked", "--save", str(strip), "--frames", "2", "--backend", "plot", "--size", "60x120")

    def view(*options: str) -> Result:
        return RUNNER.invoke(view_command.app, [str(out), "arm_000", *drawn, *options])

    own = view()
    assert own.exit_code == 2
    assert own.stderr.splitlines() == [
        f"mm-view: no clip in {out} has a track; mm-track {out} makes them, and --strength elbow_flexor=0.5 shows that "
        "of arm_000 by a body with elbow_flexor at 50 %"
    ]
    assert view(*OPTION).exit_code == 0
    alone = strip.read_bytes()
    assert view(*OPTION, "--reference").exit_code == 0
    assert strip.read_bytes() != alone
    assert run(out, "arm_001").exit_code == 0
    missing = view()
    assert missing.exit_code == 2
    assert f"arm_000.h5 has no track; mm-track {out} arm_000 makes it, and --strength" in missing.stderr
    weaker = view("--strength", "elbow_flexor=0.4")
    assert weaker.exit_code == 2
    assert f"mm-track {out} --strength elbow_flexor=0.4 makes them" in weaker.stderr
    untracked = RUNNER.invoke(view_command.app, [str(out), "arm_000", *drawn[1:], *OPTION])
    assert untracked.exit_code == 2
    assert "--strength chooses the track of an altered body: add --tracked" in untracked.stderr


def test_each_body_has_its_own_status_and_replay(out: Path) -> None:
    assert run(out).exit_code == 0
    assert run(out, *OPTION, "--status").exit_code == 1
    assert run(out, *OPTION, "--replay").exit_code == 2
    assert run(out, *OPTION).exit_code == 0
    assert run(out, *OPTION, "--status").exit_code == run(out, "--status").exit_code == 0
    again = json.loads(run(out, *OPTION, "--json").stdout)
    assert [clip["kept"] for clip in again["clips"]] == [True, True]
    for options in ((), OPTION):
        replayed = json.loads(run(out, *options, "--replay", "--json").stdout)["clips"]
        assert [clip["identical"] for clip in replayed] == [True, True]
    assert run(out, "--strength", "elbow_flexor=0.4", "--status").exit_code == 1


def test_the_clips_own_variant_is_simulated_without_an_option(out: Path, clips: list[tuple[str, Clip]]) -> None:
    from musclemap.imitation.physics.config import PhysicsConfig

    weak = load_simulation_body("SmallArm", PhysicsConfig(variant=VARIANT))
    altered = [(name, replace(clip, variant=VARIANT, model_sha256=weak.sha256)) for name, clip in clips]
    write_dataset(out, altered)
    assert run(out).exit_code == 0
    assert read_track(out / "tracks" / OWN).variant == VARIANT
    assert run(out, "--added-mass", "hand=1").exit_code == 0
    both = VARIANT.altered_by(make_variant(added_mass={"hand": 1}))
    assert read_track(out / "tracks" / f"arm_000.{both.short_name}.h5").variant == both


def test_a_clip_with_a_forged_variant_is_named_and_not_tracked(out: Path, clips: list[tuple[str, Clip]]) -> None:
    write_dataset(out, [("a", replace(clips[0][1], variant=VARIANT)), ("b", clips[1][1])])
    result = run(out)
    assert result.exit_code == 1
    assert "failed a.h5: it was made for another version of SmallArm" in result.stderr
    assert read_track(out / "tracks/b.h5").variant == UNALTERED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--strength", "elbow_flxor=0.5"), "close to it: elbow_flexor"),
        (("--strength", "elbow_flexor"), "--strength takes NAME=NUMBER"),
        (("--strength", "elbow_flexor=11"), "a strength is a number from 0 to 10"),
        (("--joint-range", "elbow_flexion=0:130"), "it must lie inside the body's, 0 to 120.3 degrees"),
        (("--joint-range", "elbow_flexion=5"), "--joint-range takes NAME=LOW:HIGH"),
        (("--added-mass", "hnd=1"), "close to it: hand"),
    ],
)
def test_mistakes_are_answered_in_one_line(out: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(out, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def _stored(clip: Clip, excitation: dict[str, tuple[int, int]], act: dict[str, float], nstep: int = 30) -> StoredTrack:
    """A track with excitation 1 in ranges of steps, and constant activations, otherwise 0.1 and 0.2."""
    body = load_simulation_body("SmallArm")
    track = constant_track(body, clip, TrackingConfig(), nstep=nstep)
    stored = stored_track(body, clip, track, name="a.h5", config={})
    controls, acts = np.full_like(stored.excitation, 0.1), np.full_like(stored.tracked_act, 0.2)
    for name, (start, stop) in excitation.items():
        controls[start:stop, stored.muscle_names.index(name)] = 1.0
    for name, value in act.items():
        acts[:, stored.muscle_names.index(name)] = value
    return replace(stored, excitation=controls, tracked_act=acts)


def test_compensation_names_what_saturates_first_and_what_rises_most(clips: list[tuple[str, Clip]]) -> None:
    clip = clips[0][1]
    own = _stored(clip, {"elbow_extensor": (0, 20)}, {})
    weak = _stored(
        clip, {"elbow_flexor": (10, 18), "elbow_extensor": (0, 22), "shoulder_flexor": (5, 11), "biarticular_flexor":
               (0, 3)}, {"biarticular_flexor": 0.5, "shoulder_flexor": 0.25, "elbow_flexor": 0.2}, nstep=25,
    )  # fmt: skip
    found = compare_tracks(replace(weak, variant=VARIANT), own)
    assert [one.muscle for one in found.saturated] == ["shoulder_flexor", "elbow_flexor"]
    assert [one.first for one in found.saturated] == pytest.approx([0.05, 0.10])
    assert [one.seconds for one in found.saturated] == pytest.approx([0.06, 0.08])
    assert found.risen is not None
    assert [name for name, _ in found.risen] == ["biarticular_flexor", "shoulder_flexor"]
    assert [rise for _, rise in found.risen] == pytest.approx([0.3, 0.05])
    assert found.seconds == pytest.approx(0.25)
    alone = compare_tracks(replace(weak, variant=VARIANT), None)
    assert [one.muscle for one in alone.saturated] == ["elbow_extensor", "shoulder_flexor", "elbow_flexor"]
    assert alone.risen is None


def test_the_command_prints_the_comparison(out: Path) -> None:
    result = run(out, *OPTION)
    assert "arm_000.h5 with elbow_flexor at 50 %:" in result.stdout
    assert "no track of the clip's own body to compare with" in result.stdout
    assert run(out).exit_code == 0
    assert "muscles whose mean activation rises most" in run(out, *OPTION).stdout
    facts: dict[str, Any] = json.loads(run(out, *OPTION, "--json").stdout)["compensation"]
    assert set(facts) == {"arm_000.h5", "arm_001.h5"}
    assert run(out, "--json").stdout.count('"compensation": {}') <= 1
    assert json.loads(run(out, "--json").stdout)["compensation"] == {}
