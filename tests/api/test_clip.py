"""Tables and plots of a clip agree with its arrays."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from matplotlib import pyplot

import musclemap as mm
from musclemap.api.views.tables import DIMENSIONS
from musclemap.datasets.clip import Clip as StoredClip
from musclemap.datasets.clip import read_clip, write_clip
from musclemap.datasets.clip_schema import ARRAYS, OPTIONAL
from musclemap.datasets.synthetic.gait_tables import stride_time
from musclemap.errors import ClipError
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER, read_walk
from musclemap.pipelines.report.gait import over_cycle, strides
from musclemap.skeletons.body import TargetBody

from ..support.data.small_clip import small_clip


@pytest.fixture(scope="module")
def walk() -> mm.Clip:
    return mm.load("builtin-walk")


@pytest.fixture(autouse=True)
def close_figures() -> object:
    yield
    pyplot.close("all")


def test_a_clip_is_the_stored_one(walk: mm.Clip, tmp_path: Path) -> None:
    stored = read_clip(WALK_FOLDER / WALK_CLIP)
    assert isinstance(walk, StoredClip)
    np.testing.assert_array_equal(walk.qpos, stored.qpos)
    assert isinstance(walk.frames(slice(10)), mm.Clip)
    write_clip(tmp_path / "again.h5", walk)
    assert (tmp_path / "again.h5").read_bytes() == (WALK_FOLDER / WALK_CLIP).read_bytes()
    assert mm.Clip.of(walk) is walk


def test_the_text_of_a_clip_is_one_line(walk: mm.Clip) -> None:
    assert repr(walk) == (
        "<Clip builtin/walk/walk_1.2_poses.npz: 601 frames at 100 Hz (6.00 s), MyoFullBody, feasible, with forces and "
        "activations>"
    )
    assert repr(mm.Clip.of(small_clip())) == "<Clip walks/one_poses.npz: 40 frames at 100 Hz (0.39 s), small, warn>"


def test_angles_are_those_of_the_model(walk: mm.Clip, body: TargetBody) -> None:
    model, every = body.model, walk.angles(every=True)
    for name, angle in every.items():
        joint = model.joint(name)
        assert joint.type[0] == mujoco.mjtJoint.mjJNT_HINGE
        np.testing.assert_array_equal(angle, walk.qpos[:, joint.qposadr[0]])
    independent = walk.angles()
    assert tuple(independent) == walk.moment_names
    assert independent.keys() < every.keys()
    degrees = walk.angles(degrees=True)["knee_angle_r"]
    np.testing.assert_allclose(np.radians(degrees), independent["knee_angle_r"])
    assert 50 < degrees.max() < 70


def test_a_data_frame_has_every_number(walk: mm.Clip) -> None:
    frame = walk.to_dataframe()
    assert frame.index.name == "time"
    np.testing.assert_allclose(frame.index, np.arange(601) / 100)
    assert frame.columns.is_unique
    assert not frame.isna().any(axis=None)
    for key in frame.columns.unique(level=0):
        np.testing.assert_array_equal(frame[key].to_numpy(), getattr(walk, key).reshape(601, -1).astype(np.float32))
    muscle = walk.muscle_names.index("soleus_r")
    assert walk.activation is not None
    np.testing.assert_array_equal(frame["activation", "soleus_r"], walk.activation[:, muscle])
    assert list(frame["qpos"])[:8] == [*(f"root_{c}" for c in ("x", "y", "z", "qw", "qx", "qy", "qz")),
                                       "flex_extension"]  # fmt: skip


def test_an_xarray_dataset_has_names_and_units(walk: mm.Clip) -> None:
    data = walk.to_xarray()
    assert walk.ground_force is not None
    for key, variable in data.data_vars.items():
        np.testing.assert_array_equal(variable, getattr(walk, str(key)))
        assert variable.attrs["units"]
    foot = data.ground_force.sel(support="left_foot", axis="z").sel(time=1.23, method="nearest")
    assert float(foot) == walk.ground_force[123, 0, 2]
    assert data.attrs["licence"] == "CC0-1.0"


@pytest.fixture(scope="module")
def on_plates(walk: mm.Clip) -> mm.Clip:
    """The walk with two force plates, measured forces and the motion of a base, all of random numbers."""
    rng = np.random.default_rng(0)
    assert walk.ground_force is not None
    n = walk.nframe
    return replace(
        walk, plate_names=("one", "two"), plate_force=rng.normal(size=(n, 2, 3)).astype(np.float32),
        plate_centre=rng.normal(size=(n, 2, 3)).astype(np.float32),
        plate_free_moment=rng.normal(size=(n, 2)).astype(np.float32),
        plate_foot=rng.integers(0, 2, size=(n, 2, 2)).astype(np.uint8),
        measured=rng.integers(0, 2, size=(n, 2)).astype(np.uint8), estimated_force=2.0 * walk.ground_force,
        base_motion=rng.normal(size=(n, 4, 3)).astype(np.float32),
    )  # fmt: skip


def test_every_dataset_of_a_clip_has_names_and_a_unit(on_plates: mm.Clip) -> None:
    assert set(DIMENSIONS) == {*ARRAYS, *OPTIONAL}
    assert all(getattr(on_plates, key) is not None for key in DIMENSIONS)


def test_tables_of_a_clip_with_force_plates(on_plates: mm.Clip) -> None:
    frame, dataset = on_plates.to_dataframe(), on_plates.to_xarray()
    assert on_plates.plate_force is not None
    assert on_plates.plate_foot is not None
    np.testing.assert_array_equal(frame["plate_force", "two_y"], on_plates.plate_force[:, 1, 1])
    np.testing.assert_array_equal(frame["plate_foot", "one_right"], on_plates.plate_foot[:, 0, 1])
    np.testing.assert_array_equal(
        dataset.plate_foot.sel(plate="two", foot="left"), on_plates.plate_foot[:, 1, 0]
    )  # fmt: skip
    np.testing.assert_array_equal(dataset.measured.sel(foot="right"), frame["measured", "right"])
    assert on_plates.base_motion is not None
    np.testing.assert_array_equal(
        dataset.base_motion.sel(base_vector="angular_velocity", axis="z"), on_plates.base_motion[:, 2, 2]
    )  # fmt: skip
    assert dataset.plate_force.dims == ("time", "plate", "axis")


def test_tables_of_an_unknown_body() -> None:
    clip = mm.Clip.of(small_clip())
    clip = replace(clip, qpos=clip.qpos, joint_names=("root", "knee_angle_r", "knee_angle_l"))
    assert list(clip.to_dataframe()["qpos"])[-2:] == ["knee_angle_r", "knee_angle_l"]
    assert clip.to_xarray().sizes["coordinate"] == 9
    with pytest.raises(ClipError, match="small is not a known body; known: MyoFullBody, MyoBimanualArm, SmallArm"):
        clip.angles()


def test_a_plot_shows_the_named_curves(walk: mm.Clip) -> None:
    ax = walk.plot("soleus_*")
    assert [line.get_label() for line in ax.lines] == ["soleus_r", "soleus_l"]
    assert walk.activation is not None
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), walk.activation[:, walk.muscle_names.index("soleus_r")])
    assert ax.get_ylabel() == "activation (0 to 1)"
    knee = walk.plot("knee_angle_r", ax=ax)
    assert knee is ax
    np.testing.assert_allclose(np.asarray(ax.lines[2].get_ydata(), float), walk.angles(degrees=True)["knee_angle_r"])
    moment = walk.plot("knee_angle_r", quantity="moment")
    assert walk.joint_moment is not None
    column = walk.moment_names.index("knee_angle_r")
    np.testing.assert_array_equal(moment.lines[0].get_ydata(), walk.joint_moment[:, column])


@pytest.mark.parametrize(
    ("names", "quantity", "message"),
    [
        (("soleus",), None, "close names: soleus_r, soleus_l"),
        (("soleus_r", "knee_angle_r"), None, "different quantities"),
        (("knee_angle_r",), "activation", "close names:"),
        (("soleus_r",), "power", "the quantities are activation, angle, force, moment"),
        ((), None, "needs the name"),
    ],
)
def test_wrong_names_are_answered(walk: mm.Clip, names: tuple[str, ...], quantity: str | None, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        walk.plot(*names, quantity=quantity)


def test_strides_of_the_walk_have_their_duration(walk: mm.Clip) -> None:
    """The motion was synthesised at 1.2 m/s, and the sides alternate."""
    left, right = strides(walk, "left"), strides(walk, "right")
    lengths = np.array([b - a for a, b in left + right]) / walk.fps
    np.testing.assert_allclose(lengths, stride_time(1.2), atol=0.02)
    half = np.subtract([a for a, _ in left], [a for a, _ in right]) / walk.fps
    np.testing.assert_allclose(half, stride_time(1.2) / 2, atol=0.02)


def test_strides_without_forces_are_nearly_the_same(walk: mm.Clip) -> None:
    contacts = replace(walk, bearing=None, ground_force=None, centre_of_pressure=None, support_names=())
    for side in ("left", "right"):
        starts = [np.array([a for a, _ in strides(clip, side)]) for clip in (walk, contacts)]
        np.testing.assert_allclose(starts[0], starts[1], atol=6)


def test_a_stride_is_resampled_to_its_cycle() -> None:
    values = np.arange(200.0)
    cycle = over_cycle(values, 50, 150)
    np.testing.assert_allclose(cycle, np.linspace(50.0, 150.0, 101))


def test_gait_panels(walk: mm.Clip) -> None:
    axes = walk.plot_gait()
    titles = [ax.get_title() for ax in axes.flat]
    assert titles[:4] == ["hip_flexion [deg]", "knee_angle [deg]", "ankle_angle [deg]",
                          "vertical ground force [body weights]"]  # fmt: skip
    assert "soleus, activation" in titles
    peak = max(line.get_ydata().max() for line in axes.flat[3].lines)
    assert 1.0 < peak < 1.4  # of walking, in body weights
    standing = replace(walk, bearing=np.ones_like(walk.bearing))
    with pytest.raises(ClipError, match="needs a complete stride"):
        standing.plot_gait()


def test_a_tracked_clip_has_the_motion_of_its_track() -> None:
    clip, track = read_walk()
    tracked = mm.load("builtin-walk", tracked=True)
    nframe = len(track.tracked_qpos)
    np.testing.assert_array_equal(tracked.qpos[:nframe], track.tracked_qpos[: tracked.nframe])
    assert np.abs(tracked.qpos - clip.qpos[: tracked.nframe]).max() > 1e-3
