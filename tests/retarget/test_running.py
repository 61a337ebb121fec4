"""A run: short stances, flights between them, feet that touch down while they still move."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.datasets.motion import SourceMotion
from musclemap.intervals import runs
from musclemap.retarget.forces.contact_forces import GRAVITY
from musclemap.retarget.forces.required_forces import required_forces
from musclemap.retarget.retargeter import Retargeter

from ..conftest import optimised
from ..support.running import Run, run

TOLERANCE = 0.05
"""Largest error of an event [s]; the clip's frames are 10 ms apart, and its source is low-pass filtered."""


def slipping(motion: SourceMotion) -> SourceMotion:
    """Feet on the ground slip at 0.4 m/s, as with a wrong scale."""
    return replace(motion, trans=motion.trans * [1.1, 1.0, 1.0])


def noisy(motion: SourceMotion) -> SourceMotion:
    rng = np.random.default_rng(0)
    return replace(motion, trans=motion.trans + rng.normal(0.0, 0.002, motion.trans.shape))


def events(bearing: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Instants at which a foot begins and ends to bear [s]; those at the ends of the clip do not count."""
    intervals = runs(bearing)
    starts = [(start - 0.5) / fps for start, _ in intervals if start > 0]
    stops = [(stop - 0.5) / fps for _, stop in intervals if stop < len(bearing)]
    return np.array(starts), np.array(stops)


def largest_error(found: np.ndarray, ref: np.ndarray, duration: float) -> float:
    """Largest error of one kind of event; every event of the run is found, and no other."""
    inner = lambda instants: instants[(instants > TOLERANCE) & (instants < duration - TOLERANCE)]  # noqa: E731
    assert len(inner(found)) == len(inner(ref))
    return float(np.abs(inner(found) - inner(ref)).max())


def convert(retargeter: Retargeter, motion: SourceMotion) -> Clip:
    with optimised():
        clip = retargeter.retarget([motion])[0].clip
    assert clip is not None
    return clip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "edit"),
    [
        (run(speed=4.0, seconds=2.0), None),
        (run(speed=4.0, seconds=2.0), slipping),
        (run(speed=4.0, seconds=2.0), noisy),
        (run(speed=3.0, seconds=2.0, stance=0.25, flight=0.08), None),
        (run(speed=4.5, seconds=2.0, stance=0.18, flight=0.12), None),
    ],
    ids=["4 m/s", "slipping", "noisy", "3 m/s", "4.5 m/s"],
)
def test_a_run_strikes_and_flies(
    retargeter: Retargeter, example: Run, edit: Callable[[SourceMotion], SourceMotion] | None
) -> None:
    motion = edit(example.motion) if edit else example.motion
    clip = convert(retargeter, motion)
    duration = (clip.nframe - 1) / clip.fps
    bearing = np.asarray(clip.bearing)[:, :2].astype(bool)
    for foot in range(2):
        strikes, offs = events(bearing[:, foot], clip.fps)
        assert largest_error(strikes, example.strikes[foot], duration) < TOLERANCE
        assert largest_error(offs, example.offs[foot], duration) < TOLERANCE
    assert clip.verdict != "infeasible"

    weight = retargeter.body.mass * GRAVITY
    force = np.asarray(clip.ground_force)[:, :2, 2].sum(axis=1)
    inner = slice(20, -20)
    assert 1.9 < force.max() / weight < 3.5  # Novacheck 1998, Gait & Posture 7:77: about 2.5 at these speeds
    assert force[inner].mean() / weight == pytest.approx(1.0, abs=0.1)
    flying = np.sum(bearing, axis=1) == 0
    flying[1:-1] &= flying[2:] & flying[:-2]
    com = required_forces(retargeter.body, clip.qpos.astype(np.float64), clip.fps).com[:, 2]
    acceleration = (com[2:] - 2.0 * com[1:-1] + com[:-2])[19:-19] * clip.fps**2
    assert flying[inner].sum() > 10
    assert acceleration[flying[inner]] == pytest.approx(-GRAVITY, abs=0.6)
