"""Search for the muscle excitations by which a body follows a clip."""

import time

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.bodies import SimulationBody

from .config import TrackingConfig
from .controller import FeedbackController
from .search import Fragment, Simulator, State, extend_beam, twice_as_wide, vary_gains, vary_lean
from .track import ProgressCallback, Track, TrackingProgress

_RELATIVE_LIMIT = 0.09
"""Mean landmark error relative to the first landmark at which the search replaces feedback alone [m]."""

_ROOT_LIMIT = 0.12
"""Error of the first landmark at which it does [m]."""

_CLOSE = 0.6
"""Part of both limits below which feedback alone may take over again."""

_RETREAT = 4
"""Fragments before a large error at which the search begins; doubled as long as that does not help."""

_ADVANCE = 20
"""Frames by which that frame must move on for a search to count as a success."""

_ATTEMPTS = 4
"""Searches of a clip, each with twice as many samples and variations as the one before."""

_VARIANT_RETREATS = (6, 12, 24)
"""Fragments before the end of a chain from which other gains are tried."""


def track_clip(
    body: SimulationBody, clip: Clip, config: TrackingConfig, *, progress: ProgressCallback | None = None
) -> Track:
    """Find the excitations by which a body follows a clip from its first frame.

    The feedback controller follows the clip alone as far as it can. If it loses the body, other gains are tried, from
    the first frame and from before that place. Where those fail too, a beam search over offsets of the targets goes
    back and finds a way past it.

    Args:
        body: Simulated body; its target must be the body of the clip.
        clip: Reference motion at the body's control rate.
        config: Settings.
        progress: Called after each computed frame.

    Returns:
        The track, which ends early if the body cannot follow or if the time is up.

    Raises:
        TrackingError: If the clip belongs to another body, has another frame rate or fewer than 3 frames.
    """
    started = time.perf_counter()
    simulator = Simulator(body, FeedbackController.for_clip(body, clip, config))
    first = simulator.start(0)
    report = _Reporter(progress, simulator.reference.nframe, started + config.seconds)
    search = _Search(simulator, first, config, report)
    search.run()
    return _track(first, search.best, simulator, time.perf_counter() - started)


class _Reporter:
    """Progress of a search, and the end of its time."""

    def __init__(self, callback: ProgressCallback | None, nframe: int, deadline: float) -> None:
        self._callback, self._total, self._deadline = callback, nframe - 1, deadline
        self.stage, self.reached = "track", 0

    def __call__(self, frame: int) -> bool:
        """Report a frame that is reached; returns whether the time is up."""
        self.reached = max(self.reached, frame)
        if self._callback is not None:
            self._callback(TrackingProgress(stage=self.stage, done=frame, total=self._total, reached=self.reached))
        return self.late

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self._deadline


class _Search:
    """Chain of fragments from the first frame of a clip as far as the body gets.

    Attributes:
        best: The best chain so far: complete ones first, then the longer, then the closer.
    """

    def __init__(self, simulator: Simulator, first: State, config: TrackingConfig, report: _Reporter) -> None:
        self._simulator, self._first, self._config, self._report = simulator, first, config, report
        self._last = simulator.reference.nframe - 1
        self._rng = np.random.default_rng(config.seed)
        self.best: list[Fragment] = []

    def run(self) -> None:
        """Follow the clip by feedback alone, with other gains if it is lost; search where that leaves the clip.

        If the clip is still lost after that, twice as many ways are tried from the best chain on, as time permits.
        """
        chain = self._follow([])
        self._report.stage = "search"
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._config, chain = twice_as_wide(self._config), self.best
            if chain[-1].failure and self._config.variants:
                chain = self._try_gains(chain)
            self._search(chain)
            if self.best[-1].end >= self._last or self._report.late or not self._config.samples:
                break
        end = self.best[-1]
        if end.end < self._last and (self._report.late or not end.failure):
            end.failure = "time" if self._report.late else "landmarks"

    def _search(self, chain: list[Fragment]) -> None:
        """Find ways past all places where a chain leaves the clip, from further and further back."""
        lost_frame, retreat = self._first_large_error(chain, 0), _RETREAT
        while lost_frame is not None and self._config.samples and not self._report.late:
            kept = max(0, lost_frame // self._config.fragment - retreat)
            chain = self._search_past(chain[:kept], lost_frame)
            passed = chain[-1].end if chain else 0
            if passed >= self._last:
                break
            chain = self._follow(chain)
            following = self._first_large_error(chain, passed)
            retreat = _RETREAT if following is None or following >= lost_frame + _ADVANCE else 2 * retreat
            if kept == 0 and retreat > 2 * len(chain):
                break  # every way from the first frame on has been tried
            lost_frame = following

    def _follow(self, chain: list[Fragment]) -> list[Fragment]:
        """Continue a chain by feedback alone."""
        state, frame = (chain[-1].states[-1], chain[-1].end) if chain else (self._first, 0)
        if frame < self._last:
            run = self._simulator.run(state, frame, self._last, stop=self._report)
            chain = chain + _cut(run, self._config.fragment, chain[-1] if chain else None)
        self._propose(chain)
        return chain

    def _try_gains(self, chain: list[Fragment]) -> list[Fragment]:
        """Follow the clip with other gains until that gets no further; returns the best chain."""
        chain = self._best_of_gains(chain, [])
        retreats = list(_VARIANT_RETREATS)
        while retreats and chain[-1].failure and not self._report.late:
            kept = chain[: max(0, len(chain) - retreats.pop(0))]
            reached = chain[-1].end
            chain = self._best_of_gains(chain, kept)
            if chain[-1].end >= reached + _ADVANCE:
                retreats = list(_VARIANT_RETREATS)
        return chain

    def _best_of_gains(self, best: list[Fragment], kept: list[Fragment]) -> list[Fragment]:
        """The best of a chain and of those that follow the clip from the end of another one with other gains."""
        simulator, config = self._simulator, self._config
        state, frame = (kept[-1].states[-1], kept[-1].end) if kept else (self._first, 0)
        for _ in range(config.variants):
            if not best[-1].failure or self._report.late:
                break
            controller = FeedbackController(
                simulator.body, simulator.dofs, simulator.reference, vary_gains(config, self._rng)
            )
            offset = vary_lean(simulator.dofs.ndof, simulator.dofs.nroot, self._rng)
            run = simulator.run(state, frame, self._last, offset=offset, stop=self._report, controller=controller)
            chain = kept + _cut(run, config.fragment, kept[-1] if kept else None)
            if _rank(chain) > _rank(best):
                best = chain
        self._propose(best)
        return best

    def _propose(self, chain: list[Fragment]) -> None:
        if chain and (not self.best or _rank(chain) > _rank(self.best)):
            self.best = chain

    def _first_large_error(self, chain: list[Fragment], first: int) -> int | None:
        """First frame from `first` on whose errors are too large; None if there is none."""
        for fragment in chain:
            for k, (relative, root) in enumerate(zip(fragment.relative_error, fragment.root_error, strict=True)):
                if fragment.first + k >= first and (relative > _RELATIVE_LIMIT or root > _ROOT_LIMIT):
                    return fragment.first + k
        return None if chain[-1].end >= self._last else chain[-1].end

    def _search_past(self, chain: list[Fragment], lost_frame: int) -> list[Fragment]:
        """Search from the end of a chain until the body is close to the reference again, past a large error.

        Returns the chain as far as the search got.
        """
        beam = [chain[-1] if chain else Fragment.empty(self._first)]
        while beam[0].end < self._last and not self._report.late:
            end = min(beam[0].end + self._config.fragment, self._last)
            extended = extend_beam(self._simulator, beam, end, self._config, self._rng, self._report)
            if not extended:
                break
            beam = extended
            self._propose(_ancestors(beam[0]))
            close = (
                beam[0].relative_error[-1] < _CLOSE * _RELATIVE_LIMIT and beam[0].root_error[-1] < _CLOSE * _ROOT_LIMIT
            )
            if close and end >= lost_frame + 2 * self._config.fragment:
                break
        return _ancestors(beam[0])


def _rank(chain: list[Fragment]) -> tuple[int, float]:
    errors = [error for fragment in chain for error in fragment.relative_error]
    return chain[-1].end, -float(np.mean(errors))


def _cut(run: Fragment, length: int, parent: Fragment | None) -> list[Fragment]:
    """A run as fragments of at most `length` steps; the last one has its failure."""
    parts: list[Fragment] = []
    for k in range(0, len(run.excitation), length):
        rows = slice(k, k + length)
        part = Fragment(
            first=run.first + k,
            parent=parts[-1] if parts else parent,
            states=run.states[rows],
            excitation=run.excitation[rows],
            relative_error=run.relative_error[rows],
            root_error=run.root_error[rows],
        )
        parts.append(part)
    parts[-1].failure = run.failure
    return parts


def _ancestors(fragment: Fragment) -> list[Fragment]:
    """The chain that ends with a fragment."""
    chain: list[Fragment] = []
    link: Fragment | None = fragment
    while link is not None and link.excitation:
        chain.append(link)
        link = link.parent
    return chain[::-1]


def _track(first: State, chain: list[Fragment], simulator: Simulator, seconds: float) -> Track:
    states = [first, *(state for fragment in chain for state in fragment.states)]
    reference = simulator.reference
    return Track(
        start=0,
        qpos=np.array([state.qpos for state in states]),
        qvel=np.array([state.qvel for state in states]),
        act=np.array([state.act for state in states]),
        excitation=np.array([row for fragment in chain for row in fragment.excitation]),
        warmstart=first.warmstart,
        base=None if reference.base is None else reference.base[: chain[-1].end],
        failure=chain[-1].failure,
        relative_error=np.array([error for fragment in chain for error in fragment.relative_error]),
        root_error=np.array([error for fragment in chain for error in fragment.root_error]),
        seconds=seconds,
        control_steps=simulator.control_steps,
    )
