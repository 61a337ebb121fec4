"""Worlds that differ: each setting changes what it names and nothing else, in both engines alike."""

from copy import copy
from dataclasses import replace

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError, TargetError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.physics.randomisation import (
    MASS_DERIVED,
    RandomisationConfig,
    Variants,
    VariedModel,
    draw_variants,
)
from musclemap.imitation.physics.warp_engine import WarpEngine

from ..support.engine_states import NWORLD, arm_state, assert_same, excitations, rows, run, walking_state

ALL = RandomisationConfig(mass=0.2, friction=0.5, strength=0.3, activation_time=0.4)
CHANGES = {
    "mass": {"body_mass", "body_inertia", *MASS_DERIVED},
    "friction": {"geom_friction"},
    "strength": {"actuator_gainprm", "actuator_biasprm"},
    "activation_time": {"actuator_dynprm"},
}


def drawn(config: RandomisationConfig, body: SimulationBody, nworld: int = NWORLD, seed: int = 1) -> Variants:
    variants = draw_variants(config, body, nworld, seed)
    assert variants is not None
    return variants


def only(name: str, spread: float = 0.3) -> RandomisationConfig:
    return replace(RandomisationConfig(), **{name: spread})


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_what_it_names_and_nothing_else(human: SimulationBody, name: str) -> None:
    variants = drawn(only(name), human)
    model = copy(human.model)
    VariedModel(human, variants).apply(model, 2)
    fields = {f for f in dir(model) if isinstance(getattr(model, f), np.ndarray)}
    changed = {f for f in fields if not np.array_equal(getattr(model, f), getattr(human.model, f))}
    assert changed == CHANGES[name] - ({"tendon_invweight0"} if "tendon_invweight0" not in changed else set())
    assert model.stat.meaninertia == human.model.stat.meaninertia
    factor, base = getattr(variants, name)[2], human.model
    if name == "mass":
        np.testing.assert_allclose(model.body_mass, base.body_mass * factor)
        np.testing.assert_allclose(model.body_inertia, base.body_inertia * factor[:, None])
        assert model.body_subtreemass[0] == pytest.approx(model.body_mass.sum())
        assert model.body_subtreemass[1] != pytest.approx(base.body_subtreemass[1], rel=1e-4)
    if name == "friction":
        np.testing.assert_allclose(model.geom_friction, base.geom_friction * factor)
    if name == "activation_time":
        np.testing.assert_allclose(model.actuator_dynprm[:, :2], base.actuator_dynprm[:, :2] * factor[:, None])
        np.testing.assert_array_equal(model.actuator_dynprm[:, 2:], base.actuator_dynprm[:, 2:])


@pytest.mark.parametrize("automatic", [False, True])
def test_strength_multiplies_the_force_of_muscles(arm: SimulationBody, automatic: bool) -> None:
    """Active and passive; also where the peak force is given as a multiple of 1 / acc0."""
    base = copy(arm.model)
    if automatic:
        for prm in (base.actuator_gainprm, base.actuator_biasprm):
            prm[:, 2] = -1.0
    body = replace(arm, model=base)
    variants = drawn(only("strength"), body)
    varied, model = VariedModel(body, variants), copy(base)
    for world in (0, 3):
        varied.apply(model, world)
        for act in (0.0, 0.7):
            forces = []
            for of in (base, model):
                data = mujoco.MjData(of)
                data.qpos[:], data.act[:] = (0.9, 1.4), act
                mujoco.mj_forward(of, data)
                forces.append(data.actuator_force.copy())
            assert np.abs(forces[0]).max() > 1.0
            assert variants.strength is not None
            np.testing.assert_allclose(forces[1], forces[0] * variants.strength[world])


def test_what_follows_from_masses_is_what_mujoco_makes_of_them(arm: SimulationBody) -> None:
    variants = drawn(only("mass"), arm)
    assert variants.mass is not None
    model, expected = copy(arm.model), copy(arm.model)
    VariedModel(arm, variants).apply(model, 1)
    expected.body_mass[:] *= variants.mass[1]
    expected.body_inertia[:] *= variants.mass[1][:, None]
    mujoco.mj_setConst(expected, mujoco.MjData(expected))
    for name in ("body_mass", "body_inertia", *MASS_DERIVED):
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))


def test_draws_are_even_within_their_spread_and_each_its_own(human: SimulationBody) -> None:
    one, all_on = drawn(only("strength", 0.3), human), drawn(ALL, human)
    assert one.mass is one.friction is one.activation_time is None
    assert one.strength is not None
    np.testing.assert_array_equal(one.strength, all_on.strength)
    assert one.strength.min() >= 0.7
    assert one.strength.max() <= 1.3
    assert one.strength.std() == pytest.approx(0.3 / np.sqrt(3), rel=0.05)
    assert len(np.unique(one.strength)) == one.strength.size
    again, other = drawn(ALL, human), drawn(ALL, human, seed=2)
    np.testing.assert_array_equal(all_on.mass, again.mass)
    assert other.mass is not None
    assert (all_on.mass != other.mass).all()
    assert draw_variants(RandomisationConfig(), human, NWORLD, 1) is None


def test_settings_and_sizes_that_cannot_be_are_refused(arm: SimulationBody) -> None:
    for value in (-0.1, 1.0, float("nan")):
        with pytest.raises(SettingsError, match=r"RandomisationConfig\.mass"):
            RandomisationConfig(mass=value)
    variants = drawn(only("mass"), arm, nworld=3)
    for engine in (MujocoEngine, WarpEngine):
        with pytest.raises(TargetError, match=r"variants' mass has shape \(3, 5\)"):
            engine(arm, NWORLD, variants=variants)


def test_each_world_is_a_body_of_its_own(arm: SimulationBody) -> None:
    """As one engine's worlds and as an engine of one world each, on any number of threads."""
    config = replace(ALL, friction=0.0)
    variants, ctrl, state = drawn(config, arm), excitations(arm, 3), arm_state(arm)
    together = run(MujocoEngine(arm, NWORLD, threads=3, variants=variants), state, ctrl)[0]
    plain = run(MujocoEngine(arm, NWORLD), state, ctrl)[0]
    for world in range(NWORLD):
        own = {name: None if value is None else value[[world]] for name, value in vars(variants).items()}
        engine = MujocoEngine(arm, 1, variants=Variants(**own))
        assert_same(rows(together, [world]), run(engine, rows(state, [world]), ctrl[:, [world]])[0])
        assert float(jnp.abs(together.qvel[world] - plain.qvel[world]).max()) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("who", ["arm", "human"])
def test_engines_agree_on_worlds_that_differ(who: str, request: pytest.FixtureRequest, walk_clip: Clip) -> None:
    """Closer than they are to worlds that do not, by far."""
    body: SimulationBody = request.getfixturevalue(who)
    variants = drawn(ALL, body)
    state = arm_state(body) if who == "arm" else walking_state(body, walk_clip)
    ctrl = excitations(body, 3)
    mine = run(MujocoEngine(body, NWORLD, variants=variants), state, ctrl)[0]
    plain = run(MujocoEngine(body, NWORLD), state, ctrl)[0]
    warp: WarpEngine = request.getfixturevalue(f"{who}_warp")
    room = warp.buffers
    engine = WarpEngine(body, NWORLD, device="cpu", nconmax=room.nconmax, njmax=room.njmax, variants=variants)
    theirs = run(engine, state, ctrl)[0]
    for name in ("qpos", "qvel", "act"):
        a, b, c = (np.asarray(getattr(of, name)) for of in (mine, theirs, plain))
        error, effect = np.abs(a - b).max(axis=1), np.abs(a - c).max(axis=1)
        assert (error < 0.02 * effect).all(), (name, error, effect)
