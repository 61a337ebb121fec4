"""Disturbed starts from which a policy reaches the end of a clip, in one engine or both.

    python benchmarks/policy_gate.py POLICY CLIP [--starts 20] [--seed 5] [--frame 0] [--engines mujoco warp]

Start 0 is undisturbed; the others have velocity errors of 0.05 m/s (root, each axis) and 0.1 rad/s (its rotation, and
joints), as standard deviations. A start fails at the published limits: 0.3 m relative landmark error, 0.5 m root error.
The engines get the same starts.
"""

import argparse
import time
from pathlib import Path

from disturbed_starts import clip_library, run

from musclemap.imitation.policy.policy_file import body_of, load_policy


def main() -> None:
    """Print a line per engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--frame", type=int, default=0)
    parser.add_argument("--engines", nargs="+", choices=("mujoco", "warp"), default=["mujoco"])
    options = parser.parse_args()
    policy = load_policy(options.policy)
    body = body_of(policy)
    library = clip_library(policy, body, options.clip)
    for kind in options.engines:
        began = time.perf_counter()
        lost, normalised = run(
            policy, body, library, starts=options.starts, seed=options.seed, frame=options.frame, kind=kind
        )
        failures = ", ".join(str(frame) for frame in lost if frame >= 0)
        print(
            f"{kind}: {int((lost < 0).sum())} of {options.starts} starts reach the end, return {normalised.mean():.3f} "
            f"(undisturbed {normalised[0]:.3f}), {time.perf_counter() - began:.0f} s"
            + (f"; lost at frames {failures}" if failures else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
