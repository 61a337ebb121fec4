"""The clip of the Python interface: the stored clip, with tables and plots."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from musclemap.datasets.clip import Clip as StoredClip

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Clip(StoredClip):
    """One retargeted motion.

    All arrays and facts are attributes, as in the file: `qpos` (nframe, nq), `qvel` (nframe, nv), `landmark_pos`
    (nframe, nlandmark, 3) [m], `activation` (nframe, nu) or None, `fps`, `verdict`, `metrics` and so on;
    `musclemap.datasets.clip.Clip` describes each. z is up, units are metres, radians and seconds, quaternions wxyz.

    Raises:
        ClipError: By a method, if the clip lacks what the method shows, or if this release does not know its body.

    Example:
        >>> import musclemap as mm
        >>> clip = mm.load("builtin-walk")
        >>> clip
        <Clip builtin/walk/walk_1.2_poses.npz: 601 frames at 100 Hz (6.00 s), MyoFullBody, feasible, with forces and
        activations>
        >>> clip.activation[:, clip.muscle_names.index("soleus_r")].max()
    """

    @classmethod
    def of(cls, clip: StoredClip) -> Self:
        """The same clip with the methods of this class; arrays are shared, not copied.

        Args:
            clip: A clip as `musclemap.datasets.clip.read_clip` reads it.

        Example:
            >>> from musclemap.datasets.clip import read_clip
            >>> mm.Clip.of(read_clip(path)).plot_gait()
        """
        return clip if isinstance(clip, cls) else cls(**vars(clip))

    def __repr__(self) -> str:
        parts = {"forces": self.ground_force, "activations": self.activation}
        present = " and ".join(name for name, array in parts.items() if array is not None)
        extra = f", with {present}" if present else ""
        return (
            f"<Clip {self.source}: {self.nframe} frames at {self.fps:g} Hz ({self.duration:.2f} s), {self.model}, "
            f"{self.verdict}{extra}>"
        )

    def angles(self, *, degrees: bool = False, every: bool = False) -> dict[str, np.ndarray]:
        """Joint angles by joint name.

        Args:
            degrees: Give degrees in place of radians.
            every: Also give the joints that others drive, such as single vertebrae, and locked fingers.

        Returns:
            Angle of each hinge, shape (nframe,) [rad], or [deg] with `degrees`. Zero and positive directions are those
            of the body: flexion, adduction and internal rotation of the hip, flexion of the knee, dorsiflexion.

        Raises:
            ClipError: If this release does not know the body.

        Example:
            >>> clip.angles(degrees=True)["knee_angle_r"].max()
        """
        from .views.tables import joint_angles

        return joint_angles(self, degrees=degrees, every=every)

    def to_dataframe(self) -> "pd.DataFrame":
        """All arrays as one pandas table with a row per frame.

        Returns:
            Table of float32 of shape (nframe, ncolumn), index "time" [s], columns (quantity, name). Quantities are the
            names of the arrays, such as "qpos", "activation" [0 to 1], "ground_force" [N] and "joint_moment" [Nm].
            Names are those of joints, muscles and so on, with _x, _y, _z for vectors in the world.

        Raises:
            MissingPackageError: If pandas is not installed.

        Example:
            >>> frame = clip.to_dataframe()
            >>> frame["activation"]["soleus_r"].max(), frame["qpos", "knee_angle_r"].iloc[0]
        """
        from .views.tables import clip_frame

        return clip_frame(self)

    def to_xarray(self) -> "xr.Dataset":
        """All arrays as one xarray data set.

        Returns:
            Variables of shape (nframe, ...) with the names of the arrays and their `units`; dimensions "time" [s], then
            "coordinate", "dof", "landmark", "muscle" and so on with names, and "axis" for vectors in the world. Arrays
            are not copied.

        Raises:
            MissingPackageError: If xarray is not installed.

        Example:
            >>> clip.to_xarray().activation.sel(muscle="soleus_r").max()
        """
        from .views.tables import clip_dataset

        return clip_dataset(self)

    def plot(self, *names: str, quantity: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Plot muscles, joints or ground forces over time.

        Args:
            names: Muscles, joints or supports of the body; `*` stands for any letters.
            quantity: "activation" of muscles [0 to 1], "angle" [deg] or "moment" [Nm] of joints, or vertical "force" on
                supports [N]; by default the first of activation, angle, force and moment that has all the names.
            ax: Axes to draw on; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            ClipError: If the clip has no such name, with the closest ones, or the names are of different quantities.

        Example:
            >>> clip.plot("soleus_r", "soleus_l")
            >>> clip.plot("knee_angle_r", quantity="moment")
        """
        from .views.plots import plot_curves

        return plot_curves(self, names, quantity=quantity, ax=ax)

    def plot_gait(self) -> "np.ndarray[Any, Any]":
        """Plot the legs over the gait cycle: hip, knee and ankle angles [deg] beside those of healthy adults, vertical
        ground forces [body weights] and activations, as far as the clip has them.

        A stride lasts from a foot's first contact to its next. Thin lines are single strides, thick ones their mean.

        Returns:
            Axes of the panels, shape (nrow, 3).

        Raises:
            ClipError: If no foot completes a stride, or this release does not know the body.

        Example:
            >>> clip.plot_gait()[0, 0].figure.savefig("gait.png")
        """
        from .views.gait import plot_gait

        return plot_gait(self)
