"""Added mass: a cuff on the shank, a boot, a rucksack."""

from collections.abc import Mapping

import mujoco
import numpy as np

from .names import require_names


def apply_added_mass(spec: mujoco.MjSpec, model: mujoco.MjModel, mass: Mapping[str, float]) -> None:
    """Add mass to bodies in place, at their centre of mass: gravity and inertia of a point, no moment of inertia.

    Args:
        spec: Specification of the body.
        model: The unaltered body, compiled.
        mass: Mass to add to each body [kg].

    Raises:
        TargetError: If there is no such body; the message names similar ones.
    """
    require_names(mass, [model.body(b).name for b in range(1, model.nbody)], noun="body", plural="bodies")
    if mass:
        spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_AUTO  # or masses are ignored
    for name, added in mass.items():
        compiled, body = model.body(name), spec.body(name)
        # Some masses come from geoms only at compilation, so the compiled values are made explicit.
        body.explicitinertial = True
        body.mass = float(compiled.mass[0]) + added
        body.ipos[:], body.iquat[:], body.inertia[:] = compiled.ipos, compiled.iquat, compiled.inertia
        body.fullinertia[:] = np.nan
        body.ialt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
