"""A scene in the browser: geometry is sent once per clip, then each frame sends only what has moved."""

import numpy as np
import trimesh
import viser

from musclemap.pipelines.rendering.drawing import BONE_RGB, GRID_RGB, TARGET_RADIUS

from .drawn_body import DrawnBody
from .scene import Frame, Scene

GHOST_RGB = (0.36, 0.16, 0.66)
CONTACT_RGB = (1.00, 0.74, 0.00)
LAYERS = ("bones", "muscles", "targets", "ghost", "contacts")
"""Parts that can be shown or hidden; each is a node of this name with its children."""

_MUSCLE_THICKNESS, _GHOST_THICKNESS = 0.0045, 0.007  # [m]
_DISC_RADIUS, _DISC_HEIGHT = 0.045, 0.008  # [m]
_GRID_MARGIN = 4.0  # margin of the ground around the motion [m]
_AMBIENT = 1.4  # intensity of ambient light, in addition to viser's lamps
_TOLERANCE = 1e-5  # solids that move less than this are not sent again [m, and components of quaternions]


class SceneView:
    """The 3D part of the page.

    Attributes:
        solids, muscles, ghost, targets, contacts, ground: viser handles of its parts.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        """Set up everything that clips share."""
        self._scene = server.scene
        self._atomic = server.atomic
        self._scene.configure_environment_map(None)  # the map takes five seconds to start without a GPU
        self._scene.add_light_ambient("/light", intensity=_AMBIENT)
        self._layers = {name: self._scene.add_frame(f"/clip/{name}", show_axes=False) for name in LAYERS}
        self._body: DrawnBody | None = None
        self.solids: list[viser.BatchedMeshHandle] = []
        self._pose = np.zeros((0, 7))

    def set_visible(self, layer: str, visible: bool) -> None:
        """Show or hide a layer."""
        self._layers[layer].visible = visible

    def show(self, scene: Scene, frame: Frame) -> None:
        """Replace the clip on the page by another; `frame` is the first frame to show."""
        if scene.body is not self._body:
            self._send_solids(scene.body)
        self._lookat = scene.camera_path.lookat
        self._add_ground(scene)
        self.muscles = self._scene.add_line_segments(
            "/clip/muscles/paths", frame.muscle, _ends(frame.muscle_rgb), thickness=_MUSCLE_THICKNESS
        )
        self.ghost = self._scene.add_line_segments(
            "/clip/ghost/sticks", frame.ghost, GHOST_RGB, thickness=_GHOST_THICKNESS
        )
        ball = trimesh.creation.icosphere(subdivisions=2, radius=TARGET_RADIUS)
        self.targets = self._add_instances("targets/balls", ball.vertices, ball.faces, frame.target, scene.target_rgb)
        disc = trimesh.creation.cylinder(radius=_DISC_RADIUS, height=_DISC_HEIGHT, sections=32)
        contact_rgb = np.tile(CONTACT_RGB, (len(frame.contact), 1))
        self.contacts = self._add_instances("contacts/discs", disc.vertices, disc.faces, frame.contact, contact_rgb)

    def draw(self, frame: Frame, *, index: int, following: bool) -> None:
        """Move to a frame of the current clip.

        If `following`, the body stays in place and the ground moves, so the camera remains under the user's control.
        """
        shift = (self._lookat[index] - self._lookat[0]) * [1.0, 1.0, 0.0] if following else np.zeros(3)
        with self._atomic():
            self.ground.position = self._middle - shift
            self._move_solids(np.concatenate([frame.body_pos - shift, frame.body_quat], axis=1).astype(np.float32))
            self.muscles.points = (frame.muscle - shift).astype(np.float32)
            self.muscles.colors = _ends(frame.muscle_rgb)
            self.ghost.points = (frame.ghost - shift).astype(np.float32)
            self.targets.batched_positions = (frame.target - shift).astype(np.float32)
            self.contacts.batched_positions = (frame.contact - shift).astype(np.float32)
            self.contacts.batched_scales = np.where(frame.standing, 1.0, 1e-6).astype(np.float32)

    def _send_solids(self, body: DrawnBody) -> None:
        """Send each solid as a batched mesh with a single instance.

        The browser moves nodes at once, but updates lines and batched meshes one picture later. As nodes, bones would
        lead the muscles by one picture, which is centimetres during a kick; as instances they arrive together.
        """
        for solid in self.solids:
            solid.remove()
        self.solids = [
            self._add_instances(
                f"bones/{solid.name}", solid.vertices, solid.faces, np.zeros((1, 3)), np.array([BONE_RGB])
            )
            for solid in body.solids
        ]
        self._body, self._pose = body, np.full((len(body.solids), 7), np.inf, dtype=np.float32)

    def _move_solids(self, pose: np.ndarray) -> None:
        moved = np.abs(pose - self._pose) > _TOLERANCE
        for solid in np.flatnonzero(moved[:, :3].any(axis=1)):
            self.solids[solid].batched_positions = pose[solid, None, :3]
            self._pose[solid, :3] = pose[solid, :3]
        for solid in np.flatnonzero(moved[:, 3:].any(axis=1)):
            self.solids[solid].batched_wxyzs = pose[solid, None, 3:]
            self._pose[solid, 3:] = pose[solid, 3:]

    def _add_ground(self, scene: Scene) -> None:
        """Add a grid with lines 0.5 m apart under the whole motion."""
        path = scene.camera_path.lookat[:, :2]
        low, high = np.floor(path.min(axis=0) - _GRID_MARGIN), np.ceil(path.max(axis=0) + _GRID_MARGIN)
        size, self._middle = high - low, np.append((high + low) / 2.0, 0.0)
        self.ground = self._scene.add_grid(
            "/clip/ground", width=float(size[0]), height=float(size[1]), position=self._middle, cell_size=0.5,
            section_size=1.0, cell_color=GRID_RGB, section_color=GRID_RGB, shadow_opacity=0.25,
        )  # fmt: skip

    def _add_instances(
        self, name: str, vertices: np.ndarray, faces: np.ndarray, pos: np.ndarray, rgb: np.ndarray
    ) -> viser.BatchedMeshHandle:
        """Add one mesh at many positions, shape (n, 3), with colours from 0 to 1, shape (n, 3)."""
        upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(pos), 1))
        return self._scene.add_batched_meshes_simple(
            f"/clip/{name}", vertices, faces, upright, pos, batched_scales=np.ones(len(pos)),
            batched_colors=_linear(rgb), lod="off", side="double",
        )  # fmt: skip


def _ends(rgb: np.ndarray) -> np.ndarray:
    """Repeat the colour of every segment for both ends, shape (nsegment, 2, 3) uint8."""
    return np.repeat(_linear(rgb / np.float32(255.0))[:, None], 2, axis=1)


def _linear(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB from 0 to 1 to linear light in uint8, which viser expects for segments and instances.

    For the colour of a whole mesh, viser expects sRGB. Transfer function: IEC 61966-2-1.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.round(linear * 255.0).astype(np.uint8)
