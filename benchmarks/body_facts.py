"""What docs/body.md says of MyoFullBody, computed with MuJoCo from the model as released and as corrected.

python benchmarks/body_facts.py
"""

import mujoco
import numpy as np

import musclemap as mm
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody

ROTATIONS = ("axial_rotation", "lat_bending", "flex_extension", "elv_angle_r")
TRUNK_EXTENSORS = ("IL", "LTpT", "LTpL", "MF")
"""First part of the names: iliocostalis, longissimus of thorax and loins, multifidus."""


def joint_inertia(model: mujoco.MjModel, joint: str) -> float:
    """Inertia about a joint in the model's rest configuration, all other joints held [kg m^2]."""
    data, inertia = mujoco.MjData(model), np.zeros((model.nv, model.nv))
    mujoco.mj_forward(model, data)
    mujoco.mj_fullM(model, data, inertia)
    dof = int(model.jnt_dofadr[model.joint(joint).id])
    return float(inertia[dof, dof])


def passive_force(body: TargetBody, muscle: str) -> float:
    """Force without activation in the rest configuration [peak active forces]."""
    model, data = body.model, mujoco.MjData(body.model)
    q = np.concatenate([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], body.reduced.rest])
    data.qpos[:] = body.reduced.expand(q[None])[0]
    mujoco.mj_forward(model, data)
    k = int(model.actuator(muscle).id)
    return float(-data.actuator_force[k] / model.actuator_gainprm[k, 2])


def supinator_jump(step_deg: float = 0.25) -> tuple[float, float]:
    """Largest relative change of the right supinator's length in one step of forearm rotation, and its angle [deg]."""
    body = load_body()
    model, data = body.model, mujoco.MjData(body.model)
    tendon = int(model.actuator("SUP").trnid[0])
    q = np.concatenate([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], body.reduced.rest])
    k = 7 + body.reduced.index("pro_sup_r")
    angles = np.deg2rad(np.arange(-90.0, 90.01, step_deg))
    lengths = []
    for angle in angles:
        q[k] = angle
        data.qpos[:] = body.reduced.expand(q[None])[0]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_tendon(model, data)
        lengths.append(float(data.ten_length[tendon]))
    change = np.abs(np.diff(lengths)) / np.array(lengths[:-1])
    return float(change.max()), float(np.rad2deg(angles[change.argmax() + 1]))


def shoulder_damping() -> tuple[float, float, float]:
    """Damping of the plane of elevation and its counter-rotation in the built-in walk.

    Returns:
        Largest damping moment [N m], largest muscle moment about the plane of elevation [N m], and their correlation.
    """
    model, walk = load_body().model, mm.load("builtin-walk")
    dofs = [model.joint(name).dofadr[0] for name in ("elv_angle_r", "shoulder1_r2_r")]
    # The second angle is the negative of the first, so that both add up.
    damping = walk.qvel[:, dofs] @ (model.dof_damping[dofs] * [1.0, -1.0])
    assert walk.joint_moment is not None
    moment = walk.joint_moment[:, walk.moment_names.index("elv_angle_r")]
    return np.abs(damping).max(), np.abs(moment).max(), np.corrcoef(damping, moment)[0, 1]


def main() -> None:
    """Print the figures."""
    released, corrected = (load_body(published=published) for published in (True, False))
    for joint in ROTATIONS:
        values = [joint_inertia(body.model, joint) for body in (released, corrected)]
        print(f"inertia about {joint}: {values[0]:.3f} as released, {values[1]:.3f} corrected [kg m^2]")
    for muscle in ("rect_abd_r", "EO1_r"):
        values = [passive_force(body, muscle) for body in (released, corrected)]
        print(
            f"passive force of {muscle} upright: {values[0]:.2f} as released, {values[1]:.2f} corrected [peak forces]"
        )
    model = corrected.model
    mass = model.body_mass
    head = sum(float(mass[model.body(name).id]) for name in ("head", "neck"))
    print(f"mass {mass.sum():.2f} kg; head and neck {head:.2f} kg, {100 * head / mass.sum():.1f} %")
    thorax = model.body("thorax")
    print(f"thorax {1e3 * float(thorax.mass[0]):.0f} g, inertia {np.round(thorax.inertia, 4).tolist()} kg m^2")
    names = [model.actuator(k).name for k in range(model.nu)]
    force, span = model.actuator_gainprm[:, 2], model.actuator_gainprm[:, :2]
    fibre = np.diff(model.actuator_lengthrange, axis=1)[:, 0] / np.diff(span, axis=1)[:, 0]
    longest = np.argsort(-fibre)[:12:2]
    print("longest optimal fibres [m]: " + ", ".join(f"{names[k]} {fibre[k]:.2f}" for k in longest))
    print(f"{int(np.sum(fibre > 0.6))} of {model.nu} muscles have an optimal fibre longer than 0.6 m")
    extensors = [k for k, name in enumerate(names) if name.split("_")[0] in TRUNK_EXTENSORS]
    print(f"{len(extensors)} extensors of the trunk: {force[extensors].sum():.0f} N in all; "
          + ", ".join(f"{name} {force[names.index(name)]:.0f} N" for name in ("IL_L1_r", "IL_L2_r")))  # fmt: skip
    print(f"toes: {np.rad2deg(model.joint('mtp_angle_r').range).round(1).tolist()} deg")
    print(f"joints with stiffness: {int(np.count_nonzero(model.jnt_stiffness))} of {model.njnt}")
    jump, angle = supinator_jump()
    print(f"supinator: its length jumps by {100 * jump:.0f} % at {angle:.0f} deg of forearm rotation")
    damping, moment, r = shoulder_damping()
    print(f"walk: damping of elv_angle_r and shoulder1_r2_r {damping:.1f} N m at most, muscles about elv_angle_r "
          f"{moment:.1f} N m at most, correlation {r:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
