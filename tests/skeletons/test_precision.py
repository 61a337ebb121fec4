"""Products are traced with all digits of their type where a GPU would otherwise take fewer."""

import re

import jax
import jax.numpy as jnp
import pytest

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.world_model.muscles import muscles_of
from musclemap.imitation.world_model.tendons import TendonConfig, fit_tendons
from musclemap.retarget.checks.bounded_least_squares import bounded_least_squares
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.solver.fitter import Fitter
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.precision import precise


def products(text: str) -> tuple[int, int]:
    """Products in lowered code, and those of them that are exact."""
    lines = [line for line in text.splitlines() if "dot_general" in line]
    return len(lines), sum(bool(re.search(r"precision\s*=\s*\[HIGHEST, HIGHEST\]", line)) for line in lines)


def test_products_and_their_derivatives_are_exact() -> None:
    a = jnp.ones((3, 3))
    work = lambda x: jnp.sum((x @ x) ** 2)  # noqa: E731
    assert products(jax.jit(jax.grad(work)).lower(a).as_text())[1] == 0
    count, exact = products(jax.jit(jax.grad(precise(work))).lower(a).as_text())
    assert count == exact >= 3


def test_bounded_least_squares_are_exact() -> None:
    text = bounded_least_squares.lower(jnp.ones((2, 6, 8)), jnp.ones((2, 6)), weight=1.0).as_text()
    count, exact = products(text)
    assert count == exact > 0


def test_torques_of_muscles_are_exact(arm: SimulationBody) -> None:
    tendons, n = fit_tendons(arm, TendonConfig(samples=50, steps=1)), 4
    joint, act = jnp.zeros((n, 2)), jnp.full((n, arm.model.nu), 0.5)
    torque = lambda q: jnp.sum(tendons.torque(muscles_of(arm.model), q, q, act))  # noqa: E731
    count, exact = products(jax.jit(jax.grad(torque)).lower(joint).as_text())
    assert count == exact > 0


@pytest.mark.parametrize("name", ["_frames", "_frames_again", "_windows"])
def test_solvers_are_traced_exactly(body: TargetBody, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    def solver(*args: object, **kwargs: object) -> jax.Array:
        seen.append(getattr(jax.config, "jax_default_matmul_precision"))  # noqa: B009  not in its stubs
        return jnp.zeros(())

    monkeypatch.setattr("musclemap.retarget.solver.fitter.solve_frames", solver)
    monkeypatch.setattr("musclemap.retarget.solver.fitter.refine_windows", solver)
    getattr(Fitter(body, RetargetConfig()), name)()
    assert seen == ["highest"]
