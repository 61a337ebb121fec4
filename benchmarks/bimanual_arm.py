"""What docs/bimanual-arm.md says of MyoBimanualArm: accuracy, agreement with MyoFullBody, and speed.

python benchmarks/bimanual_arm.py [FOLDER OF MOTIONS]
"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation
from tables import table

from musclemap.datasets.clip import Clip
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.selection import select
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.pipelines.device import enable_compilation_cache
from musclemap.retarget.checks.inverse_dynamics import filtered_motion
from musclemap.retarget.checks.physics_checks import MujocoPhysics
from musclemap.retarget.config import BodyConfig, RetargetConfig, ValidationConfig
from musclemap.retarget.forces.base_forces import base_torques
from musclemap.retarget.retargeter import Retargeter
from musclemap.skeletons.base_motion import BasePath, base_motion
from musclemap.skeletons.bodies import load_body

BUILTIN = ("reach", "arm_raise", "walk_1.2")
ARM = ("humerus", "ulna", "lunate")
REPEATS = 3
ARMS, WHOLE = load_body("MyoBimanualArm"), load_body()


def accuracy(clip: Clip) -> tuple[str, ...]:
    """Mean and 95th percentile of the frames' mean landmark errors [mm], of the arms and of the fingers."""
    error = 1e3 * np.linalg.norm(clip.landmark_pos - clip.target_pos, axis=2)
    arms = [n.rpartition("_")[0] in ARM for n in clip.landmark_names]
    fingers = [not arm and k > 0 for k, arm in enumerate(arms)]
    figures = []
    for chosen in (arms, fingers):
        part = error[:, chosen]
        figures += [f"{part.mean():.1f}", f"{np.percentile(part.mean(axis=1), 95):.1f}"]
    return tuple(figures)


def arms_of(clip: Clip) -> tuple[np.ndarray, BasePath]:
    """Configurations of the arms in a clip of MyoFullBody, and the path of its chest."""
    rest = mujoco.MjData(ARMS.model)
    rest.qpos[:] = ARMS.reduced.base
    mujoco.mj_kinematics(ARMS.model, rest)
    bone, data = rest.body("thorax"), mujoco.MjData(WHOLE.kinematic_model)
    pos, rot = np.empty((clip.nframe, 3)), np.empty((clip.nframe, 3, 3))
    for t, q in enumerate(clip.qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(WHOLE.kinematic_model, data)
        rot[t] = data.body("thorax").xmat.reshape(3, 3) @ bone.xmat.reshape(3, 3).T
        pos[t] = data.body("thorax").xpos + rot[t] @ (ARMS.model.body_pos[1] - bone.xpos)
    columns = [WHOLE.model.joint(name).qposadr[0] for name in ARMS.joint_names]
    return clip.qpos[:, columns].astype(np.float64), BasePath(pos, rot)


def against_whole(arms: Clip, whole: Clip) -> tuple[str, ...]:
    """Mean angle between the humeri of both bodies, in the chest's frame, and mean difference of the elbows [deg]."""
    humeri = []
    for qpos in (arms.qpos, arms_of(whole)[0]):
        data, rot = mujoco.MjData(ARMS.kinematic_model), []
        for q in qpos:
            data.qpos[:] = q
            mujoco.mj_kinematics(ARMS.kinematic_model, data)
            rot += [data.body(f"humerus_{side}").xmat.reshape(3, 3).copy() for side in "rl"]
        humeri.append(Rotation.from_matrix(np.array(rot)))
    elbows = [ARMS.model.joint(f"elbow_flex_{side}").qposadr[0] for side in "rl"]
    bend = np.rad2deg(np.abs(arms.qpos[:, elbows] - arms_of(whole)[0][:, elbows]))
    return f"{np.rad2deg((humeri[0].inv() * humeri[1]).magnitude()).mean():.1f}", f"{bend.mean():.1f}"


def moments(whole: Clip) -> tuple[str, ...]:
    """Largest difference of a joint's moment from MyoFullBody's for the same motion, with and without the chest's.

    Both are root mean squares relative to that of the joint's moment [%].
    """
    qpos, path = arms_of(whole)
    full = whole.qpos.astype(np.float64)
    ref = MujocoPhysics(WHOLE).evaluate(full, *filtered_motion(full, whole.fps, np.inf)).torque
    qvel, qacc = filtered_motion(qpos, whole.fps, np.inf, free=False)
    alone = MujocoPhysics(ARMS).evaluate(qpos, qvel, qacc).torque
    moved = alone + base_torques(ARMS, qpos, qvel, base_motion(path, whole.fps))
    ref = ref[:, [WHOLE.reduced.joint_names.index(name) for name in ARMS.reduced.joint_names]]
    own = [ARMS.actuated.joint_names.index(name) for name in ARMS.reduced.joint_names]
    rms = lambda x: np.sqrt(np.mean(x[5:-5] ** 2, axis=0))  # noqa: E731
    return tuple(f"{100 * (rms(torque[:, own] - ref) / rms(ref)).max():.2f}" for torque in (moved, alone))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("motions", type=Path, nargs="?", help="folder of recorded motions, besides the built-in ones")
    folder = parser.parse_args().motions
    enable_compilation_cache()
    motions: list[SourceMotion] = [synthesise(name) for name in BUILTIN]
    if folder is not None:
        motions += [motion for item in select(folder).items for motion in read_motions(item.path, name=item.name)]
    config = RetargetConfig(validation=ValidationConfig(enabled=False))
    to_arms = Retargeter(replace(config, body=BodyConfig(name="bimanual-arm")))
    arms = [result.clip for result in to_arms.retarget(motions)]
    whole = [result.clip for result in Retargeter(config).retarget(motions)]
    rows = [
        (arm.source, *accuracy(arm), *against_whole(arm, full), *moments(full))
        for arm, full in zip(arms, whole, strict=True)
        if arm is not None and full is not None
    ]
    headings = ("motion", "arms", "p95", "fingers", "p95", "humerus", "elbow", "moments", "still chest")
    print("landmark errors [mm]; arms against MyoFullBody's [deg]; moments against MyoFullBody's [%]")
    print(table(headings, rows))
    shared = Retargeter(replace(config, body=BodyConfig(name="bimanual-arm", chest="full-body")))
    rows = [
        (arm.source, *accuracy(arm), *against_whole(arm, full))
        for arm, full in zip((result.clip for result in shared.retarget(motions)), whole, strict=True)
        if arm is not None and full is not None
    ]
    print("the same with chest and arms of MyoFullBody's fit (--chest full-body)")
    print(table(headings[:7], rows))
    for checked in (False, True):
        settings = replace(to_arms.config, validation=ValidationConfig(enabled=checked))
        retargeter = Retargeter(settings)
        retargeter.retarget(motions)
        began, used = time.perf_counter(), time.process_time()
        results = retargeter.retarget(motions * REPEATS)
        seconds, busy = time.perf_counter() - began, time.process_time() - used
        nframe = sum(result.clip.nframe for result in results if result.clip is not None)
        cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
        print(
            f"{'with' if checked else 'without'} checks: {nframe} frames, {nframe / seconds:.0f} frames/s, "
            f"{nframe / busy:.0f} frames per second of one core; {cores} cores, load {load:.1f}"
        )


if __name__ == "__main__":
    main()
