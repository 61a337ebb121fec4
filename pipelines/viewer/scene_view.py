"""A scene in the browser: geometry is sent once per clip, then each frame sends only what has moved."""

import numpy as np
import trimesh
import viser

from musclemap.pipelines.rendering.drawing import BONE_RGB, FORCE_RGB, GRID_RGB, TARGET_RADIUS
from musclemap.pipelines.rendering.loads import ARROW_RADIUS, PAD_HEIGHT, PAD_RADIUS

from .drawn_body import DrawnBody
from .scene import Frame, Scene

GHOST_RGB = (0.36, 0.16, 0.66)
LAYERS = {"bones": True, "muscles": True, "forces": True, "contacts": True, "targets": False, "ghost": False}
"""Parts that can be shown or hidden, and whether they are shown at first; each is a node with its children."""

_MUSCLE_THICKNESS, _GHOST_THICKNESS = 0.0045, 0.007  # [m]
_CHOSEN_THICKNESS, _CHOSEN_RGB = 0.016, (0.05, 0.05, 0.07)
_TITLE_HEIGHT = 1.0  # of a title above the point that the camera looks at [m]
_GRID_MARGIN = 4.0  # margin of the ground around the motion [m]
_AMBIENT = 1.4  # intensity of ambient light, in addition to viser's lamps
_TOLERANCE = 1e-5  # solids that move less than this are not sent again [m, and components of quaternions]


class SceneView:
    """One body in the 3D part of the page.

    Attributes:
        solids, muscles, ghost, targets, contacts, forces, ground: viser handles of its parts.
        offset: Displacement of the body in the scene [m], shape (3,).
    """

    def __init__(self, server: viser.ViserServer, *, root: str = "clip") -> None:
        """Set up everything that clips share; `root` is the name of the node above all parts."""
        self._scene, self._root = server.scene, f"/{root}"
        self._atomic = server.atomic
        self._scene.configure_environment_map(None)  # the map takes five seconds to start without a GPU
        self._scene.add_light_ambient("/light", intensity=_AMBIENT)
        self._frame = self._scene.add_frame(self._root, show_axes=False)
        self._layers = {name: self._scene.add_frame(f"{self._root}/{name}", show_axes=False) for name in LAYERS}
        for name, shown in LAYERS.items():
            self._layers[name].visible = shown
        self._body: DrawnBody | None = None
        self.solids: list[viser.BatchedMeshHandle] = []
        self._pose, self.offset = np.zeros((0, 7)), np.zeros(3)
        self._chosen: tuple[np.ndarray, viser.LineSegmentsHandle, viser.LabelHandle] | None = None

    def set_visible(self, layer: str, visible: bool) -> None:
        """Show or hide a layer."""
        self._layers[layer].visible = visible

    def move_aside(self, offset: np.ndarray, *, title: str) -> None:
        """Show the body displaced [m], shape (3,), and under a title, so that another fits beside it."""
        self.offset = offset
        self._frame.position = offset
        height = np.array([0.0, 0.0, _TITLE_HEIGHT])
        self._scene.add_label(f"{self._root}/title", title, position=self._lookat[0] + height, anchor="bottom-center")

    def choose(self, scene: Scene, frame: Frame, muscle: str | None) -> None:
        """Draw a muscle thick and with its name, or none."""
        for handle in self._chosen[1:] if self._chosen else ():
            handle.remove()
        self._chosen = None
        if muscle is None or muscle not in scene.body.muscles:
            return
        rows = np.flatnonzero(scene.body.paths.tendon == scene.body.muscles[muscle])
        path = f"{self._root}/muscles/chosen"
        line = self._scene.add_line_segments(path, frame.muscle[rows], _CHOSEN_RGB, thickness=_CHOSEN_THICKNESS)
        name = self._scene.add_label(f"{path}/name", muscle, anchor="bottom-center")
        self._chosen = rows, line, name

    def show(self, scene: Scene, frame: Frame) -> None:
        """Replace the clip on the page by another; `frame` is the first frame to show."""
        self.choose(scene, frame, None)
        if scene.body is not self._body:
            self._send_solids(scene.body)
        self._lookat = scene.camera_path.lookat
        self._add_ground(scene)
        self.muscles = self._scene.add_line_segments(
            f"{self._root}/muscles/paths", frame.muscle, _ends(frame.muscle_rgb), thickness=_MUSCLE_THICKNESS
        )
        self.ghost = self._scene.add_line_segments(
            f"{self._root}/ghost/sticks", frame.ghost, GHOST_RGB, thickness=_GHOST_THICKNESS
        )
        ball = trimesh.creation.icosphere(subdivisions=2, radius=TARGET_RADIUS)
        self.targets = self._add_instances("targets/balls", ball.vertices, ball.faces, frame.target, scene.target_rgb)
        disc = trimesh.creation.cylinder(radius=PAD_RADIUS, height=PAD_HEIGHT, sections=32)
        contact_rgb = np.tile(FORCE_RGB, (len(frame.contact), 1))
        self.forces = self._scene.add_arrows(
            f"{self._root}/forces/arrows", _visible(frame.arrow), FORCE_RGB, shaft_radius=ARROW_RADIUS,
            head_radius=2.5 * ARROW_RADIUS, head_length=6.0 * ARROW_RADIUS,
        )  # fmt: skip
        self.contacts = self._add_instances("contacts/discs", disc.vertices, disc.faces, frame.contact, contact_rgb)

    def shift(self, index: int, *, following: bool) -> np.ndarray:
        """Displacement of the body in the world that is taken out of the scene [m], shape (3,)."""
        moved = (self._lookat[index] - self._lookat[0]) * [1.0, 1.0, 0.0]
        return moved if following else np.zeros(3)

    def draw(self, frame: Frame, *, index: int, following: bool) -> None:
        """Move to a frame of the current clip.

        If `following`, the body stays in place and the ground moves, so the camera remains under the user's control.
        """
        shift = self.shift(index, following=following)
        with self._atomic():
            self.ground.position = self._middle - shift
            self._move_solids(np.concatenate([frame.body_pos - shift, frame.body_quat], axis=1).astype(np.float32))
            self.muscles.points = (frame.muscle - shift).astype(np.float32)
            self.muscles.colors = _ends(frame.muscle_rgb)
            self.ghost.points = (frame.ghost - shift).astype(np.float32)
            self.targets.batched_positions = (frame.target - shift).astype(np.float32)
            self.contacts.batched_positions = (frame.contact - shift).astype(np.float32)
            self.forces.points = (_visible(frame.arrow) - shift).astype(np.float32)
            if self._chosen is not None:
                rows, line, name = self._chosen
                line.points = (frame.muscle[rows] - shift).astype(np.float32)
                name.position = (frame.muscle[rows[0], 0] + frame.muscle[rows[-1], 1]) / 2.0 - shift
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
            f"{self._root}/ground", width=float(size[0]), height=float(size[1]), position=self._middle, cell_size=0.5,
            section_size=1.0, cell_color=GRID_RGB, section_color=GRID_RGB, shadow_opacity=0.25,
        )  # fmt: skip

    def _add_instances(
        self, name: str, vertices: np.ndarray, faces: np.ndarray, pos: np.ndarray, rgb: np.ndarray
    ) -> viser.BatchedMeshHandle:
        """Add one mesh at many positions, shape (n, 3), with colours from 0 to 1, shape (n, 3)."""
        upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(pos), 1))
        return self._scene.add_batched_meshes_simple(
            f"{self._root}/{name}", vertices, faces, upright, pos, batched_scales=np.ones(len(pos)),
            batched_colors=_linear(rgb), lod="off", side="double",
        )  # fmt: skip


def _visible(arrow: np.ndarray) -> np.ndarray:
    """Arrows, shape (n, 2, 3), or one far below the ground if there is none, as the page has no empty set of arrows."""
    return arrow if len(arrow) else np.array([[[0.0, 0.0, -1000.0], [0.0, 0.0, -999.0]]])


def _ends(rgb: np.ndarray) -> np.ndarray:
    """Repeat the colour of every segment for both ends, shape (nsegment, 2, 3) uint8."""
    return np.repeat(_linear(rgb / np.float32(255.0))[:, None], 2, axis=1)


def _linear(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB from 0 to 1 to linear light in uint8, which viser expects for segments and instances.

    For the colour of a whole mesh, viser expects sRGB. Transfer function: IEC 61966-2-1.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.round(linear * 255.0).astype(np.uint8)
