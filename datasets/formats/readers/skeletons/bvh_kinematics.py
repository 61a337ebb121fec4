"""Forward kinematics of a BVH skeleton."""

import numpy as np
from scipy.spatial.transform import Rotation

from .bvh_text import Bvh


class BvhKinematics:
    """World poses of the joints of a BVH file, frame by frame, in the file's unit and axes.

    A position channel replaces the component of the joint's offset, as animation programs write it. If the values are
    closer to zero than to the offset, they are displacements and are added instead.

    Args:
        bvh: The file.
    """

    def __init__(self, bvh: Bvh) -> None:
        self._bvh = bvh
        counts = [len(channels) for channels in bvh.channels]
        self._first = np.cumsum([0, *counts])[:-1]
        self._added = np.zeros((len(bvh.names), 3))
        for joint in range(1, len(bvh.names)):
            axes, columns = self._positions(joint)
            if axes:
                middle = np.median(bvh.values[:, columns], axis=0)
                offset = bvh.offsets[joint][axes]
                if np.linalg.norm(middle) < np.linalg.norm(middle - offset):
                    self._added[joint, axes] = offset

    def _positions(self, joint: int) -> tuple[list[int], list[int]]:
        """Axes that have position channels, and their columns."""
        found = [
            ("XYZ".index(name[0]), self._first[joint] + k)
            for k, name in enumerate(self._bvh.channels[joint])
            if name.endswith("position")
        ]
        return [axis for axis, _ in found], [column for _, column in found]

    def _rotation(self, joint: int, values: np.ndarray) -> np.ndarray:
        """Rotation relative to the joint above, shape (nframe, 3, 3)."""
        found = [(name[0], self._first[joint] + k) for k, name in enumerate(self._bvh.channels[joint])
                 if name.endswith("rotation")]  # fmt: skip
        if not found:
            return np.broadcast_to(np.eye(3), (len(values), 3, 3))
        angles = values[:, [column for _, column in found]]
        order = "".join(axis for axis, _ in found)  # capitals: about the axes as turned by the rotations before
        return Rotation.from_euler(order, angles, degrees=True).as_matrix().reshape(-1, 3, 3)

    def world(self, frames: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Poses in some frames.

        Args:
            frames: Which frames.

        Returns:
            Positions, shape (nframe, njoint, 3), and rotations, shape (nframe, njoint, 3, 3).
        """
        bvh, values = self._bvh, self._bvh.values[frames]
        xpos = np.empty((len(values), len(bvh.names), 3))
        xmat = np.empty((len(values), len(bvh.names), 3, 3))
        for joint, parent in enumerate(bvh.parents):
            local = np.tile(bvh.offsets[joint], (len(values), 1))
            axes, columns = self._positions(joint)
            local[:, axes] = values[:, columns] + self._added[joint, axes]
            turn = self._rotation(joint, values)
            if parent < 0:
                xpos[:, joint], xmat[:, joint] = local, turn
            else:
                xpos[:, joint] = xpos[:, parent] + (xmat[:, parent] @ local[..., None])[..., 0]
                xmat[:, joint] = xmat[:, parent] @ turn
        return xpos, xmat
