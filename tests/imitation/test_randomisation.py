"""Domain randomisation: each setting changes only its own fields, equally in both engines."""

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


def draw(config: RandomisationConfig, body: SimulationBody, nworld: int = NWORLD, seed: int = 1) -> Variants:
    variants = draw_variants(config, body, nworld, seed)
    assert variants is not None
    return variants


def only(name: str, spread: float = 0.3) -> RandomisationConfig:
    return replace(RandomisationConfig(), **{name: spread})


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_only_its_own_fields(human: SimulationBody, name: str) -> None:
    variants = draw(only(name), human)
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
    """Active and passive, also if the peak force is a multiple of 1 / acc0."""
    base = copy(arm.model)
    if automatic:
        for prm in (base.actuator_gainprm, base.actuator_biasprm):
            prm[:, 2] = -1.0
    body = replace(arm, model=base)
    variants = draw(only("strength"), body)
    varied, model = VariedModel(body, variants), copy(base)
    for world in (0, 3):
        varied.apply(model, world)
        for act in (0.0, 0.7):
            forces = []
            for engine_state in (base, model):
                data = mujoco.MjData(engine_state)
                data.qpos[:], data.act[:] = (0.9, 1.4), act
                mujoco.mj_forward(engine_state, data)
                forces.append(data.actuator_force.copy())
            assert np.abs(forces[0]).max() > 1.0
            assert variants.strength is not None
            np.testing.assert_allclose(forces[1], forces[0] * variants.strength[world])


def test_fields_derived_from_masses_match_mujoco(arm: SimulationBody) -> None:
    variants = draw(only("mass"), arm)
    assert variants.mass is not None
    model, expected = copy(arm.model), copy(arm.model)
    VariedModel(arm, variants).apply(model, 1)
    expected.body_mass[:] *= variants.mass[1]
    expected.body_inertia[:] *= variants.mass[1][:, None]
    mujoco.mj_setConst(expected, mujoco.MjData(expected))
    for name in ("body_mass", "body_inertia", *MASS_DERIVED):
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))


def test_draws_are_uniform_and_independent(human: SimulationBody) -> None:
    strength_only, all_on = draw(only("strength", 0.3), human), draw(ALL, human)
    assert strength_only.mass is strength_only.friction is strength_only.activation_time is None
    assert strength_only.strength is not None
    np.testing.assert_array_equal(strength_only.strength, all_on.strength)
    assert strength_only.strength.min() >= 0.7
    assert strength_only.strength.max() <= 1.3
    assert strength_only.strength.std() == pytest.approx(0.3 / np.sqrt(3), rel=0.05)
    assert len(np.unique(strength_only.strength)) == strength_only.strength.size
    repeated, other_seed = draw(ALL, human), draw(ALL, human, seed=2)
    np.testing.assert_array_equal(all_on.mass, repeated.mass)
    assert other_seed.mass is not None
    assert (all_on.mass != other_seed.mass).all()
    assert draw_variants(RandomisationConfig(), human, NWORLD, 1) is None


def test_invalid_settings_and_sizes_are_rejected(arm: SimulationBody) -> None:
    for value in (-0.1, 1.0, float("nan")):
        with pytest.raises(SettingsError, match=r"RandomisationConfig\.mass"):
            RandomisationConfig(mass=value)
    variants = draw(only("mass"), arm, nworld=3)
    for engine in (MujocoEngine, WarpEngine):
        with pytest.raises(TargetError, match=r"variants' mass has shape \(3, 5\)"):
            engine(arm, NWORLD, variants=variants)


def test_each_world_has_its_own_body(arm: SimulationBody) -> None:
    """Worlds of one engine equal engines with one world each, for any number of threads."""
    config = replace(ALL, friction=0.0)
    variants, ctrl, state = draw(config, arm), excitations(arm, 3), arm_state(arm)
    together = run(MujocoEngine(arm, NWORLD, threads=3, variants=variants), state, ctrl)[0]
    plain = run(MujocoEngine(arm, NWORLD), state, ctrl)[0]
    for world in range(NWORLD):
        variants_of_world = {name: None if value is None else value[[world]] for name, value in vars(variants).items()}
        engine = MujocoEngine(arm, 1, variants=Variants(**variants_of_world))
        assert_same(rows(together, [world]), run(engine, rows(state, [world]), ctrl[:, [world]])[0])
        assert float(jnp.abs(together.qvel[world] - plain.qvel[world]).max()) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("body_name", ["arm", "human"])
def test_engines_agree_on_worlds_that_differ(body_name: str, request: pytest.FixtureRequest, walk_clip: Clip) -> None:
    """The engines differ far less from each other than from worlds without variants."""
    body: SimulationBody = request.getfixturevalue(body_name)
    variants = draw(ALL, body)
    state = arm_state(body) if body_name == "arm" else walking_state(body, walk_clip)
    ctrl = excitations(body, 3)
    mujoco_state = run(MujocoEngine(body, NWORLD, variants=variants), state, ctrl)[0]
    plain = run(MujocoEngine(body, NWORLD), state, ctrl)[0]
    warp: WarpEngine = request.getfixturevalue(f"{body_name}_warp")
    buffers = warp.buffers
    engine = WarpEngine(body, NWORLD, device="cpu", nconmax=buffers.nconmax, njmax=buffers.njmax, variants=variants)
    warp_state = run(engine, state, ctrl)[0]
    for name in ("qpos", "qvel", "act"):
        a, b, c = (np.asarray(getattr(engine_state, name)) for engine_state in (mujoco_state, warp_state, plain))
        error, effect = np.abs(a - b).max(axis=1), np.abs(a - c).max(axis=1)
        assert (error < 0.02 * effect).all(), (name, error, effect)
