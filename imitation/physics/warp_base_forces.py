"""Forces of a moving base on many worlds at once, for MuJoCo Warp; the derivation is in `base_forces.py`."""

from typing import Any

import warp as wp


@wp.kernel
def _apply(
    # Model
    gravity: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    body_mass: wp.array2d(dtype=float),  # type: ignore[valid-type]
    body_inertia: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    body_rootid: wp.array(dtype=int),  # type: ignore[valid-type]
    body_weldid: wp.array(dtype=int),  # type: ignore[valid-type]
    # Data in
    xpos_in: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    xipos_in: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    ximat_in: wp.array2d(dtype=wp.mat33),  # type: ignore[valid-type]
    subtree_com_in: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    cvel_in: wp.array2d(dtype=wp.spatial_vector),  # type: ignore[valid-type]
    base_in: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    # Data out
    xfrc_applied_out: wp.array2d(dtype=wp.spatial_vector),  # type: ignore[valid-type]
):
    world, body = wp.tid()  # pyright: ignore
    if body_weldid[body] == 0:
        return
    acceleration, omega, alpha = base_in[world, 1], base_in[world, 2], base_in[world, 3]
    xipos, ximat = xipos_in[world, body], ximat_in[world, body]
    cvel = cvel_in[world, body]
    turning = wp.spatial_top(cvel)
    arm = xipos - subtree_com_in[world, body_rootid[body]]
    velocity = wp.spatial_bottom(cvel) + wp.cross(turning, arm)  # pyright: ignore
    r = xipos - xpos_in[world, 1]
    lift = base_in[world, 0] - gravity[world % gravity.shape[0]] - acceleration - wp.cross(alpha, r)
    lift = lift - wp.cross(omega, wp.cross(omega, r)) - 2.0 * wp.cross(omega, velocity)  # pyright: ignore
    inertia = ximat * wp.diag(body_inertia[world % body_inertia.shape[0], body]) * wp.transpose(ximat)
    torque = inertia * (alpha + wp.cross(omega, turning))
    torque = torque + wp.cross(omega, inertia * (omega + turning)) + wp.cross(turning, inertia * omega)
    mass = body_mass[world % body_mass.shape[0], body]
    xfrc_applied_out[world, body] = wp.spatial_vector(mass * lift, -torque)


def apply_base_forces(m: Any, d: Any, base: Any) -> None:
    """Set the external forces on all bodies of all worlds.

    Args:
        m: MuJoCo Warp's model.
        d: Its data with positions and velocities computed; `xfrc_applied` is overwritten.
        base: Motion of the base of each world, a Warp array of vectors, shape (nworld, 4).
    """
    wp.launch(
        _apply,
        dim=d.xipos.shape,
        inputs=[
            m.opt.gravity, m.body_mass, m.body_inertia, m.body_rootid, m.body_weldid, d.xpos, d.xipos, d.ximat,
            d.subtree_com, d.cvel, base,
        ],
        outputs=[d.xfrc_applied],
    )  # fmt: skip
