"""Static optimisation: the analytic optimum of each cost, activations that muscles can reach, published torques."""

import mujoco
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from musclemap.retarget.checks.muscle_optimisation import (
    MuscleOptimizer,
    join_demands,
    muscle_demand,
    muscle_volumes,
)
from musclemap.retarget.checks.physics_checks import MuscleForces
from musclemap.retarget.config import MuscleCost
from musclemap.retarget.forces.activation_dynamics import ActivationDynamics
from musclemap.retarget.forces.passive_torques import passive_torques

FPS = 100.0
FORCE = (400.0, 100.0, 300.0)
"""Peak forces of two flexors and an extensor [N]; all have the same fibre length."""


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    muscles = "".join(
        f'<muscle name="m{k}" tendon="t" force="{force}" lengthrange="0.2 0.4" range="0.5 1.5" timeconst="0.01 0.04"/>'
        for k, force in enumerate(FORCE)
    )
    return mujoco.MjModel.from_xml_string(f"""
        <mujoco><worldbody><body><joint name="j"/><geom size="0.1"/><site name="a"/></body><site name="b" pos="0 0 1"/>
        </worldbody><tendon><spatial name="t"><site site="a"/><site site="b"/></spatial></tendon>
        <actuator>{muscles}</actuator></mujoco>""")


def forces(nframe: int, *, passive: float = 0.0) -> MuscleForces:
    """Muscles with moment arms of 5 cm about one joint, the third with the opposite sign."""
    moment = np.tile(np.array([0.05, 0.05, -0.05])[:, None], (nframe, 1, 1)).astype(np.float32)
    active = np.tile(np.array(FORCE), (nframe, 1)).astype(np.float32)
    return MuscleForces(passive=np.full_like(active, passive), active=active, moment=moment)


def test_volume_is_peak_force_times_fibre_length(model: mujoco.MjModel) -> None:
    np.testing.assert_allclose(muscle_volumes(model), 0.2 * np.array(FORCE), rtol=1e-6)


@pytest.mark.parametrize(
    ("cost", "ratio"),
    # Squares weighted by w: x is proportional to F / w. Cubed stresses: their squares are proportional to F.
    [("activation", 4.0), ("volume", 1.0), ("stress-cubed", 2.0)],
)
def test_the_optimum_shares_the_torque_as_the_cost_says(model: mujoco.MjModel, cost: MuscleCost, ratio: float) -> None:
    demand = muscle_demand(forces(60), np.full((60, 1), 5.0))
    result = MuscleOptimizer(model, cost=cost, weight=100.0)(demand, fps=FPS)
    np.testing.assert_allclose(result.activation[:, 0] / result.activation[:, 1], ratio, rtol=0.02)
    np.testing.assert_allclose(result.activation[:, 2], 0.0, atol=1e-4)
    np.testing.assert_allclose(result.residual, 0.0, atol=0.02)


def test_muscles_that_are_too_weak_leave_a_residual(model: mujoco.MjModel) -> None:
    result = MuscleOptimizer(model)(muscle_demand(forces(20), np.full((20, 1), 40.0)), fps=FPS)
    np.testing.assert_allclose(result.activation[:, :2], 1.0, atol=1e-3)
    np.testing.assert_allclose(result.residual, 15.0, atol=0.05)


def test_activations_are_reachable_and_antagonists_balance_relaxation(model: mujoco.MjModel) -> None:
    """The torque falls to zero in one frame, but the flexors relax slowly: the extensor balances them."""
    torque = np.zeros((200, 1))
    torque[60:100] = 10.0
    result = MuscleOptimizer(model)(muscle_demand(forces(200), torque), fps=FPS)
    dynamics = ActivationDynamics(model)
    lower, upper = dynamics.reachable(result.activation[:-1].astype(float), 1 / FPS)
    assert (result.activation[1:] >= lower - 5e-3).all()
    assert (result.activation[1:] <= upper + 5e-3).all()
    assert result.activation[100:110, 2].max() > 0.01
    assert np.abs(result.residual[110:]).max() < 0.1
    assert np.abs(result.residual[70:95]).max() < 0.1


@pytest.mark.parametrize("start", [0.02, 0.3, 0.9])
def test_reachable_activations_follow_mujocos_dynamics(model: mujoco.MjModel, start: float) -> None:
    """Against numerical integration of the equation in MuJoCo's documentation, as `mju_muscleDynamics` computes it."""
    prm = np.array([0.01, 0.04, 0.0])
    ends = []
    for excitation in (0.0, 1.0):
        rate = lambda _, a, u=excitation: [mujoco.mju_muscleDynamics(u, float(a[0]), prm)]  # noqa: E731
        ends.append(solve_ivp(rate, (0, 0.01), [start], rtol=1e-9, atol=1e-12).y[0, -1])
    dynamics = ActivationDynamics(model)
    lower, upper = dynamics.reachable(np.full(3, start), 0.01)
    np.testing.assert_allclose(lower, ends[0], rtol=1e-6)
    np.testing.assert_allclose(upper, ends[1], rtol=1e-3)
    np.testing.assert_allclose(dynamics.relaxes_to(lower, 0.01), start, rtol=1e-6)


def test_chunks_do_not_change_the_demand() -> None:
    """Even if a muscle has no moment arm in one of them."""
    muscles = forces(30, passive=-10.0)
    muscles.moment[:10, 1] = 0.0
    torque = np.arange(30.0)[:, None]
    whole = muscle_demand(muscles, torque)
    cut = lambda rows: MuscleForces(  # noqa: E731
        passive=muscles.passive[rows], active=muscles.active[rows], moment=muscles.moment[rows]
    )
    joined = join_demands([muscle_demand(cut(rows), torque[rows]) for rows in (slice(0, 10), slice(10, 30))])
    rows = np.arange(30)
    np.testing.assert_array_equal(joined.gain(rows), whole.gain(rows))
    np.testing.assert_array_equal(joined.ref, whole.ref)
    np.testing.assert_allclose(whole.ref[:, 0], torque[:, 0] + 10.0 * muscles.moment[:, :, 0].sum(axis=1), rtol=1e-6)
    replaced = muscle_demand(muscles, torque, passive=np.full((30, 1), 3.0))
    np.testing.assert_allclose(replaced.ref, torque - 3.0)


def test_passive_torques_resist_the_ends_of_the_range() -> None:
    names = ("lumbar", "hip_flexion_r", "knee_angle_r", "ankle_angle_r")

    def at(hip: float, knee: float, ankle: float) -> np.ndarray:
        return passive_torques(names, np.radians([[0.0, hip, knee, ankle]]))[0]

    assert np.isnan(at(0, 0, 0)[0])
    # Figures computed by hand from the publication's equations, with plantarflexion positive there.
    np.testing.assert_allclose(at(0, 0, 0)[1:], [8.58, 10.42, -6.39], atol=0.01)
    assert at(-20, 20, 0)[1] > 10.0
    assert at(110, 90, 0)[1] < -5.0
    assert at(30, 130, 0)[2] < -5.0
    assert at(0, 20, 20)[3] < -10.0
    assert at(0, 20, -50)[3] > 3.0
    assert np.isnan(passive_torques(("hip_flexion_r",), np.zeros((2, 1)))).all()
