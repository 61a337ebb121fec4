"""A model reduced to what kinematics and inertia need: no geoms, sites, tendons or muscles."""

import mujoco
import numpy as np

from .couplings import couplings


def bare_tree(
    model: mujoco.MjModel, *, without: frozenset[str] = frozenset(), floating: bool = False
) -> mujoco.MjModel:  # fmt: skip
    """Rebuild a model from its tree, joints, couplings and inertias alone.

    Bodies keep their ids; so do joints unless some uncoupled ones are left out by `without`, or a free one comes first.

    Args:
        model: The model.
        without: Names of uncoupled joints to leave out.
        floating: Whether the root body of a model without a free joint gets one.
    """
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    bodies = [spec.worldbody]
    for b in range(1, model.nbody):
        inertial = {
            "mass": model.body_mass[b], "inertia": model.body_inertia[b], "ipos": model.body_ipos[b],
            "iquat": model.body_iquat[b], "explicitinertial": True,
        }  # fmt: skip
        parent = bodies[model.body_parentid[b]]
        body = parent.add_body(name=model.body(b).name, pos=model.body_pos[b], quat=model.body_quat[b], **inertial)
        bodies.append(body)
        if floating and b == 1:
            body.add_freejoint(name="base")
        for j in range(model.body_jntadr[b], model.body_jntadr[b] + model.body_jntnum[b]):
            if model.joint(j).name in without:
                continue
            if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE:
                body.add_freejoint(name=model.joint(j).name)
                continue
            body.add_joint(
                name=model.joint(j).name,
                type=model.jnt_type[j],
                pos=model.jnt_pos[j],
                axis=model.jnt_axis[j],
                range=model.jnt_range[j],
                limited=int(model.jnt_limited[j]),
                ref=model.qpos0[model.jnt_qposadr[j]],
            )
    for c in couplings(model):
        data = np.zeros(mujoco.mjNEQDATA)
        data[: len(c.coef)] = c.coef
        driver = model.joint(c.driver).name if c.driver >= 0 else ""
        spec.add_equality(
            type=mujoco.mjtEq.mjEQ_JOINT,
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            name1=model.joint(c.driven).name,
            name2=driver,
            data=data.tolist(),
            active=True,
        )
    return spec.compile()
