"""Order of the iterations of a run: in each round labels are collected, the policy is fitted and then evaluated."""

import math
from dataclasses import dataclass
from typing import Literal

from .dagger_config import DaggerConfig

Kind = Literal["collect", "fit", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One iteration.

    Attributes:
        kind: What it does.
        round: Number of the round, from 0.
        index: Number of this iteration among those of its kind in the round.
        count: How many of these there are.
    """

    kind: Kind
    round: int
    index: int
    count: int


class Schedule:
    """Stages of all iterations, a function of the settings only, so that a resumed run finds its place.

    Args:
        config: Settings.
        nworld: Number of worlds.
        longest: Number of control steps of the longest clip.
    """

    def __init__(self, config: DaggerConfig, nworld: int, longest: int) -> None:
        self._config = config
        self._per_iteration = config.num_steps * nworld
        self.collect = math.ceil(config.round_steps / self._per_iteration)
        self.evaluate = math.ceil(min(longest, config.evaluation_steps) / config.num_steps)
        self.capacity = max(config.buffer_size // self._per_iteration, 1) * self._per_iteration

    @property
    def steps_per_round(self) -> int:
        """Control steps of all worlds per round, each with a label."""
        return self.collect * self._per_iteration

    def share(self, number: int) -> float:
        """Share of the controller in the executed excitations of a round."""
        shares = self._config.shares
        return shares[min(number, len(shares) - 1)]

    def stage(self, iterations: int) -> Stage:
        """What to do after a number of completed iterations."""
        number = 0
        while iterations >= self._length(number):
            iterations -= self._length(number)
            number += 1
        fit = self._fit(number)
        if iterations < self.collect:
            return Stage(kind="collect", round=number, index=iterations, count=self.collect)
        iterations -= self.collect
        if iterations < fit:
            return Stage(kind="fit", round=number, index=iterations, count=fit)
        return Stage(kind="evaluate", round=number, index=iterations - fit, count=self.evaluate)

    def steps_after(self, iterations: int) -> int:
        """Control steps that the policy has learned from: those of the completed rounds."""
        return self.stage(iterations).round * self.steps_per_round

    def _fit(self, number: int) -> int:
        """Iterations that fit the policy in a round."""
        config = self._config
        labels = min((number + 1) * self.steps_per_round, self.capacity)
        return math.ceil(config.epochs * labels / config.batch_size / config.gradient_steps)

    def _length(self, number: int) -> int:
        """Iterations of a round."""
        return self.collect + self._fit(number) + self.evaluate
