"""Passive torques of hip, knee and ankle: double exponentials of the joint angles (Riener & Edrich 1999).

R. Riener, T. Edrich, "Identification of passive elastic joint moments in the lower extremities", J Biomech 32, 539-544.
They measured ten people and include all passive structures, muscles too. Here hip and knee flexion and dorsiflexion are
positive, as in the model; the publication counts plantarflexion as positive.
"""

from collections.abc import Sequence

import numpy as np


def _hip(hip: np.ndarray, knee: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.exp(1.4655 - 0.0034 * knee - 0.0750 * hip) - np.exp(1.3403 - 0.0226 * knee + 0.0305 * hip) + 8.072


def _knee(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray) -> np.ndarray:
    extended = np.exp(1.800 + 0.0460 * ankle - 0.0352 * knee + 0.0217 * hip) + np.exp(2.220 - 0.150 * knee)
    return extended - np.exp(-3.971 + 0.0004 * ankle + 0.0495 * knee - 0.0128 * hip) - 4.820


def _ankle(_: np.ndarray, knee: np.ndarray, ankle: np.ndarray) -> np.ndarray:
    plantarflexed = np.exp(-7.9763 - 0.1949 * ankle + 0.0008 * knee)
    return plantarflexed - np.exp(2.1016 + 0.0843 * ankle - 0.0176 * knee) + 1.792


_TORQUES = {"hip_flexion": _hip, "knee_angle": _knee, "ankle_angle": _ankle}
"""Torque [Nm] of hip flexion, knee flexion and dorsiflexion as a function of all three [deg]."""


def passive_torques(joint_names: Sequence[str], joints: np.ndarray) -> np.ndarray:
    """Passive torque of each joint, shape (nframe, njoint) [Nm]; NaN for joints without a published one.

    Args:
        joint_names: Names of the joints; legs with all three joints of `_TORQUES`, with _r or _l, have torques.
        joints: Their angles, shape (nframe, njoint) [rad].
    """
    result = np.full(joints.shape, np.nan)
    for side in ("_r", "_l"):
        if all(name + side in joint_names for name in _TORQUES):
            columns = {name: joint_names.index(name + side) for name in _TORQUES}
            angles = [np.degrees(joints[:, column]) for column in columns.values()]
            for name, column in columns.items():
                result[:, column] = _TORQUES[name](*angles)
    return result
