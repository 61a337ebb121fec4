"""Hash that identifies the version of a body."""

import hashlib

import mujoco
import numpy as np


def model_hash(model: mujoco.MjModel) -> str:
    """SHA-256 over the arrays that define a body: tree, joints, couplings, geometry, inertia and muscles."""
    digest = hashlib.sha256()
    names = (
        "body_parentid body_pos body_quat body_ipos body_iquat body_mass body_inertia "
        "jnt_type jnt_pos jnt_axis jnt_range jnt_limited qpos0 dof_damping dof_armature "
        "eq_type eq_obj1id eq_obj2id eq_active0 eq_data "
        "geom_type geom_size geom_pos geom_quat geom_contype geom_conaffinity geom_friction site_pos "
        "tendon_range tendon_stiffness wrap_type wrap_objid wrap_prm "
        "actuator_gainprm actuator_biasprm actuator_lengthrange actuator_dynprm"
    )
    digest.update(bytes(model.names))
    for name in names.split():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(getattr(model, name)).tobytes())
    return digest.hexdigest()
