"""Products are traced with the full precision of their type, where a GPU would otherwise reduce it."""

import re

import jax
import jax.numpy as jnp

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.world_model.muscles import read_muscles
from musclemap.imitation.world_model.tendons import TendonConfig, fit_tendons
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.forces.bounded_least_squares import bounded_least_squares_from
from musclemap.retarget.solver.fitter import Fitter
from musclemap.retarget.solver.terms import FrameTargets
from musclemap.retarget.solver.window_solver import HALO, Windows
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.precision import precise


def products(text: str) -> tuple[int, int]:
    """Number of matrix products in lowered code, and of the exact ones among them."""
    lines = [line for line in text.splitlines() if "dot_general" in line]
    return len(lines), sum(bool(re.search(r"precision\s*=\s*\[HIGHEST, HIGHEST\]", line)) for line in lines)


def test_products_and_their_derivatives_are_exact() -> None:
    a = jnp.ones((3, 3))
    work = lambda x: jnp.sum((x @ x) ** 2)  # noqa: E731
    assert products(jax.jit(jax.grad(work)).lower(a).as_text())[1] == 0
    count, exact = products(jax.jit(jax.grad(precise(work))).lower(a).as_text())
    assert count == exact >= 3


def test_bounded_least_squares_are_exact() -> None:
    bounds = {"lower": jnp.zeros((2, 8)), "upper": jnp.ones((2, 8)), "start": jnp.zeros((2, 6))}
    lowered = bounded_least_squares_from.lower(jnp.ones((2, 6, 8)), jnp.ones((2, 6)), weight=1.0, **bounds)
    text = lowered.as_text()
    count, exact = products(text)
    assert count == exact > 0


def test_torques_of_muscles_are_exact(arm: SimulationBody) -> None:
    tendons, n = fit_tendons(arm, TendonConfig(num_samples=50, gradient_steps=1)), 4
    joint, act = jnp.zeros((n, 2)), jnp.full((n, arm.model.nu), 0.5)
    torque = lambda q: jnp.sum(tendons.torque(read_muscles(arm.model), q, q, act))  # noqa: E731
    count, exact = products(jax.jit(jax.grad(torque)).lower(joint).as_text())
    assert count == exact > 0


def test_solvers_multiply_exactly() -> None:
    """The programs of the fit as passed to the compiler, on the small arm."""
    body, n, frames = load_body("SmallArm"), 4, 4 + 2 * HALO
    fitter = Fitter(body, RetargetConfig())
    zeros = lambda *shape: jnp.zeros(shape, jnp.float32)  # noqa: E731
    targets = FrameTargets(
        pos=zeros(3, 3, n), rot=zeros(0, 3, 3, n), anchor=zeros(0, 3, n), contact=zeros(0, n), floor=zeros(2, n)
    )
    windows = Windows(
        q=zeros(9, 1, frames), targets=targets, root_pos=zeros(3, 1, frames), root_rot=zeros(3, 3, 1, frames),
        joined=zeros(1, frames - 1), damping=zeros(1, n),
    )  # fmt: skip
    for solver in (fitter._solve_frames, fitter._solve_calibration_frames):
        count, exact = products(solver.lower(q=zeros(9, n), targets=targets).as_text())
        assert count == exact > 0
    count, exact = products(fitter._refine_windows.lower(windows=windows).as_text())
    assert count == exact > 0
