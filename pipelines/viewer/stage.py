"""A scene on a page: geometry is sent once a clip, then for each frame what has moved."""

import numpy as np
import trimesh
import viser

from musclemap.pipelines.rendering.stage import BONE_RGB, GRID_RGB, TARGET_RADIUS

from .body import Body
from .scene import Frame, Scene

GHOST_RGB = (0.36, 0.16, 0.66)
STANDING_RGB = (1.00, 0.74, 0.00)
LAYERS = ("bones", "muscles", "targets", "ghost", "contacts")
"""What can be shown or hidden, each below a node of its name."""

_MUSCLE_THICKNESS, _GHOST_THICKNESS = 0.0045, 0.007  # [m]
_DISC_RADIUS, _DISC_HEIGHT = 0.045, 0.008  # [m]
_GRID_MARGIN = 4.0  # ground beyond the motion [m]
_AMBIENT = 1.4  # light from all around, beside viser's own lamps
_STILL = 1e-5  # solids that move less than this are not sent again [m, and parts of a quaternion]


class Stage:
    """The 3D part of the page.

    Attributes:
        solids, muscles, ghost, targets, contacts, ground: What is on it, as viser's handles.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        """Set up what all clips share."""
        self._scene = server.scene
        self._atomic = server.atomic
        self._scene.configure_environment_map(None)  # costs five seconds to begin with where there is no GPU
        self._scene.add_light_ambient("/light", intensity=_AMBIENT)
        self._layers = {name: self._scene.add_frame(f"/clip/{name}", show_axes=False) for name in LAYERS}
        self._body: Body | None = None
        self.solids: list[viser.BatchedMeshHandle] = []
        self._pose = np.zeros((0, 7))

    def set_visible(self, layer: str, visible: bool) -> None:
        """Show or hide a layer."""
        self._layers[layer].visible = visible

    def show(self, scene: Scene, frame: Frame) -> None:
        """Put a clip on the page in place of the one before; `frame` is the one to begin with."""
        if scene.body is not self._body:
            self._send_solids(scene.body)
        self._lookat = scene.track.lookat
        self._add_ground(scene)
        self.muscles = self._scene.add_line_segments(
            "/clip/muscles/paths", frame.muscle, _ends(frame.muscle_rgb), thickness=_MUSCLE_THICKNESS
        )
        self.ghost = self._scene.add_line_segments(
            "/clip/ghost/sticks", frame.ghost, GHOST_RGB, thickness=_GHOST_THICKNESS
        )
        ball = trimesh.creation.icosphere(subdivisions=2, radius=TARGET_RADIUS)
        self.targets = self._copies("targets/balls", ball.vertices, ball.faces, frame.target, scene.target_rgb)
        disc = trimesh.creation.cylinder(radius=_DISC_RADIUS, height=_DISC_HEIGHT, sections=32)
        standing_rgb = np.tile(STANDING_RGB, (len(frame.contact), 1))
        self.contacts = self._copies("contacts/discs", disc.vertices, disc.faces, frame.contact, standing_rgb)

    def draw(self, frame: Frame, *, index: int, following: bool) -> None:
        """Move to a frame of the clip that is shown.

        Following, the body stays and the ground goes by: the camera is left to whoever looks.
        """
        away = (self._lookat[index] - self._lookat[0]) * [1.0, 1.0, 0.0] if following else np.zeros(3)
        with self._atomic():
            self.ground.position = self._middle - away
            self._move_solids(np.concatenate([frame.body_pos - away, frame.body_quat], axis=1).astype(np.float32))
            self.muscles.points = (frame.muscle - away).astype(np.float32)
            self.muscles.colors = _ends(frame.muscle_rgb)
            self.ghost.points = (frame.ghost - away).astype(np.float32)
            self.targets.batched_positions = (frame.target - away).astype(np.float32)
            self.contacts.batched_positions = (frame.contact - away).astype(np.float32)
            self.contacts.batched_scales = np.where(frame.standing, 1.0, 1e-6).astype(np.float32)

    def _send_solids(self, body: Body) -> None:
        """Send each solid as a mesh with a single copy.

        The page moves a node when it draws, but redraws lines and copies one picture later. As nodes, bones would run
        ahead of the muscles by a picture, which is centimetres in a kick; as copies all arrive together.
        """
        for solid in self.solids:
            solid.remove()
        self.solids = [
            self._copies(f"bones/{solid.name}", solid.vertices, solid.faces, np.zeros((1, 3)), np.array([BONE_RGB]))
            for solid in body.solids
        ]
        self._body, self._pose = body, np.full((len(body.solids), 7), np.inf, dtype=np.float32)

    def _move_solids(self, pose: np.ndarray) -> None:
        moved = np.abs(pose - self._pose) > _STILL
        for solid in np.flatnonzero(moved[:, :3].any(axis=1)):
            self.solids[solid].batched_positions = pose[solid, None, :3]
            self._pose[solid, :3] = pose[solid, :3]
        for solid in np.flatnonzero(moved[:, 3:].any(axis=1)):
            self.solids[solid].batched_wxyzs = pose[solid, None, 3:]
            self._pose[solid, 3:] = pose[solid, 3:]

    def _add_ground(self, scene: Scene) -> None:
        """Lines half a metre apart under the whole motion."""
        path = scene.track.lookat[:, :2]
        low, high = np.floor(path.min(axis=0) - _GRID_MARGIN), np.ceil(path.max(axis=0) + _GRID_MARGIN)
        size, self._middle = high - low, np.append((high + low) / 2.0, 0.0)
        self.ground = self._scene.add_grid(
            "/clip/ground", width=float(size[0]), height=float(size[1]), position=self._middle, cell_size=0.5,
            section_size=1.0, cell_color=GRID_RGB, section_color=GRID_RGB, shadow_opacity=0.25,
        )  # fmt: skip

    def _copies(
        self, name: str, vertices: np.ndarray, faces: np.ndarray, pos: np.ndarray, rgb: np.ndarray
    ) -> viser.BatchedMeshHandle:
        """The same mesh at many places, shape (n, 3), colours (n, 3) from 0 to 1."""
        upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(pos), 1))
        return self._scene.add_batched_meshes_simple(
            f"/clip/{name}", vertices, faces, upright, pos, batched_scales=np.ones(len(pos)),
            batched_colors=_linear(rgb), lod="off", side="double",
        )  # fmt: skip


def _ends(rgb: np.ndarray) -> np.ndarray:
    """One colour for both ends of every segment, shape (nsegment, 2, 3) uint8."""
    return np.repeat(_linear(rgb / np.float32(255.0))[:, None], 2, axis=1)


def _linear(rgb: np.ndarray) -> np.ndarray:
    """sRGB from 0 to 1 as linear light in uint8: so the page reads the colours of segments and copies.

    It takes the colour of a whole mesh as sRGB. Curve: IEC 61966-2-1.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.round(linear * 255.0).astype(np.uint8)
