"""Measured ground forces: they come back from tables and plates of every kind, and wrong files are named."""

import importlib.util
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.formats.readers.axes import UP_TO_Z
from musclemap.datasets.formats.readers.forces.companion import read_companion
from musclemap.datasets.formats.readers.forces.file_names import is_force_file
from musclemap.datasets.formats.readers.forces.grf_table import ESTIMATED, NOT_RAW, parse_external_loads, side_of
from musclemap.datasets.formats.readers.forces.raw_forces import in_world
from musclemap.datasets.formats.readers.markers.c3d_plates import plates_of
from musclemap.datasets.plates.plate_forces import LOADED, PlateForces, from_moments
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

from ...support.force_writer import CORNERS, add_plates, grf_text, new_c3d, plate_channels, write

EZC3D = importlib.util.find_spec("ezc3d") is not None
needs_ezc3d = pytest.mark.skipif(not EZC3D, reason="needs ezc3d, the extra [markers]")
TO_Z = np.array(UP_TO_Z["y"], float)


def forces(nsample: int = 200, *, rate: float = 100.0) -> PlateForces:
    """Two plates, the second loaded later, in a world with z up."""
    time = np.arange(nsample) / rate
    phase = np.clip((time[:, None] - np.array([0.1, 0.7])) / 0.8, 0.0, 1.0) * np.pi
    force = np.stack([80 * np.sin(2 * phase), 30 * np.sin(phase), 900 * np.sin(phase)], axis=2)
    point = np.stack([0.1 + 0.2 * phase / np.pi, 0.02 * np.sin(phase) + [0.1, -0.1], 0.0 * phase], axis=2)
    moment = np.zeros_like(force)
    moment[..., 2] = 5 * np.sin(2 * phase)
    return from_moments(names=("a", "b"), feet=("", ""), time=time, force=force, point=point, moment=moment,
                        corners=None, source="", mass=None)  # fmt: skip


def assert_equal(result: PlateForces, ref: PlateForces, *, tolerance: float = 1e-6) -> None:
    """Equal to a relative tolerance, where a plate is loaded."""
    on = ref.loaded
    assert on.any(axis=0).all()
    np.testing.assert_array_equal(result.loaded, on)
    np.testing.assert_allclose(result.force, ref.force, atol=tolerance * 1000)
    np.testing.assert_allclose(result.centre[on], ref.centre[on], atol=tolerance)
    np.testing.assert_allclose(result.free_moment, ref.free_moment, atol=tolerance * 10)


def table(ref: PlateForces, patterns: tuple[str, ...], **options) -> bytes:
    """A table of these forces with y up."""
    centre = np.nan_to_num(ref.centre)
    moment = np.concatenate([np.zeros((*ref.free_moment.shape, 2)), ref.free_moment[..., None]], axis=2)
    values = np.concatenate([vectors @ TO_Z for vectors in (ref.force, centre, moment)], axis=2)
    return grf_text(ref.time, {name: values[:, k] for k, name in enumerate(patterns)}, **options)


@pytest.mark.parametrize(
    ("patterns", "feet"),
    [
        (("ground_{}", "1_ground_{}"), ("", "")),
        (("right_ground_{}", "left_ground_{}"), ("right", "left")),
        (("ground_{}_l", "ground_{}_r"), ("left", "right")),
        (("ground_{}_calcn_r", "ground_{}_calcn_l"), ("right", "left")),
        (("R_ground_{}", "L_ground_{}"), ("right", "left")),
        (("FP1_ground_{}", "FP2_ground_{}"), ("", "")),
    ],
)
def test_tables(tmp_path: Path, patterns: tuple[str, ...], feet: tuple[str, ...]) -> None:
    ref = forces()
    (tmp_path / "walk_grf.mot").write_bytes(table(ref, patterns))
    raw = read_companion(tmp_path / "walk.trc", "")
    assert raw is not None
    assert raw.feet == feet
    result = in_world(raw, turn=TO_Z, metres=1.0, mass=None)
    np.testing.assert_allclose(result.force, ref.force, atol=1e-6)
    assert_equal(result, ref)
    assert np.isnan(result.centre[~ref.loaded]).all()


def test_sides_in_names() -> None:
    assert [side_of(name) for name in ("calcn_r", "L_", "1_", "foot_left", "plate", "r_l")] == [
        "right", "left", "", "left", "", ""]  # fmt: skip


@needs_ezc3d
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_plates(tmp_path: Path, kind: int, sign: float) -> None:
    """Known wrenches come back from the channels of each type, and types 2 to 4 as ezc3d's own filter reads them."""
    ref = forces(400, rate=1000.0)
    turn = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])  # from the plate's axes to the world
    centres = 1e3 * np.array([[0.2, 0.1, 0.0], [0.2, -0.1, 0.0]])
    if kind == 1:  # a centre of pressure is measured under any load
        ref = in_load(ref)
    force = np.where(ref.loaded[..., None], ref.force, 0.0) if kind != 1 else ref.force
    arm = np.where(ref.loaded[..., None], 1e3 * np.nan_to_num(ref.centre) - centres, 0.0)
    moment = np.cross(arm, force) + [0.0, 0.0, 1e3] * ref.free_moment[..., None]
    origin = np.array([120.0, 200.0, -50.0]) if kind == 3 else np.array([1.0, -2.0, -40.0])
    signals = [plate_channels(kind, sign * force[:, k] @ turn, sign * moment[:, k] @ turn, origin) for k in (0, 1)]
    content = new_c3d(("M",), np.zeros((len(ref.time) // 10, 1, 3)) + 1.0, fps=100.0)
    corners = centres[:, None] + 1e3 * CORNERS @ turn.T
    add_plates(content, corners=corners, kinds=[kind, kind], origins=np.array([origin, origin]), signals=signals,
               rate=1000.0)  # fmt: skip
    write(content, tmp_path / "walk.c3d")
    ezc3d = import_module("ezc3d")
    read = ezc3d.c3d(str(tmp_path / "walk.c3d"), extract_forceplat_data=kind != 1)
    raw = plates_of(read, source="")
    assert raw is not None
    assert raw.corners is not None
    result = in_world(raw, turn=np.eye(3), metres=1e-3, mass=None)
    assert result.corners is not None
    np.testing.assert_allclose(1e3 * result.corners, corners, atol=1e-3)
    np.testing.assert_allclose(result.force, force, atol=2e-3)
    on = np.linalg.norm(force, axis=2) > 100.0  # float32 in the file
    np.testing.assert_allclose(result.centre[on], ref.centre[on], atol=2e-6)
    np.testing.assert_allclose(result.free_moment[on], ref.free_moment[on], atol=2e-3)
    if kind == 1:
        return
    for k, plate in enumerate(read["data"]["platform"]):
        np.testing.assert_allclose(plate["force"].T, sign * force[:, k], atol=2e-3)
        own = plate["center_of_pressure"].T
        np.testing.assert_allclose(own[on[:, k]], 1e3 * ref.centre[on[:, k], k], atol=5e-3)


def in_load(ref: PlateForces) -> PlateForces:
    """Forces that never vanish."""
    force = ref.force + np.array([0.0, 0.0, 50.0])
    point = np.where(ref.loaded[..., None], np.nan_to_num(ref.centre), 0.1) * [1.0, 1.0, 0.0]
    moment = ref.free_moment[..., None] * np.array([0.0, 0.0, 1.0])
    return from_moments(names=ref.names, feet=ref.feet, time=ref.time, force=force, point=point, moment=moment,
                        corners=None, source="", mass=None)  # fmt: skip


def test_resampling_keeps_samples_and_wrenches() -> None:
    ref = forces()
    same, covered = ref.at(ref.time)
    assert covered.all()
    on = ref.loaded
    np.testing.assert_allclose(same.force[on], ref.force[on], atol=1e-9)
    np.testing.assert_allclose(same.centre[on], ref.centre[on], atol=1e-9)
    np.testing.assert_allclose(same.free_moment, ref.free_moment, atol=1e-9)
    fast = forces(2000, rate=1000.0)
    noise = 200.0 * np.sin(2 * np.pi * 450.0 * fast.time)[:, None]
    noisy = from_moments(
        names=fast.names, feet=fast.feet, time=fast.time,
        force=fast.force + np.where(fast.loaded, noise, 0.0)[..., None] * [0.0, 0.0, 1.0],
        point=np.nan_to_num(fast.centre), moment=fast.free_moment[..., None] * np.array([0.0, 0.0, 1.0]),
        corners=None, source="", mass=None,
    )  # fmt: skip
    slow, covered = noisy.at(ref.time)
    assert covered.all()
    high = ref.force[..., 2] > 300.0  # away from the corners of the curve, where a filter rounds
    np.testing.assert_allclose(slow.force[high], ref.force[high], atol=3.0)
    np.testing.assert_allclose(slow.centre[high], ref.centre[high], atol=2e-3)


def test_times_outside_the_recording_are_not_covered() -> None:
    ref = forces()
    late, covered = ref.later(0.5).at(ref.time)
    np.testing.assert_array_equal(covered, ref.time < 1.495)
    np.testing.assert_allclose(late.force[:100], ref.force[50:150], atol=20.0)
    assert not late.force[~covered].any()


def test_scaling_moves_points_and_not_forces() -> None:
    ref = forces()
    result = ref.moved(0.5, np.array([1.0, 2.0, -0.1]))
    on = ref.loaded
    np.testing.assert_allclose(result.centre[on], 0.5 * ref.centre[on] + [1.0, 2.0, -0.1])
    np.testing.assert_array_equal(result.force, ref.force)


def test_the_rule_of_names(tmp_path: Path) -> None:
    data = table(forces(), ("ground_{}_l", "ground_{}_r"))
    for name in ("a_GRF.mot", "b_forces.sto", "c_grf.mot", "c_forces.mot", "d.mot", "e_FP.mot"):
        (tmp_path / name).write_bytes(data)
    assert [is_force_file(name) for name in ("a_GRF.mot", "b_forces.sto", "c.mot", "grf.mot", "a_grf.trc")] == [
        True, True, False, False, False]  # fmt: skip
    found = lambda name, stated="": read_companion(tmp_path / name, stated)  # noqa: E731
    for name in ("a.trc", "a_ik.mot", "b.trc"):
        raw = found(name)
        assert raw is not None
        assert raw.source.split()[0].casefold() in ("a_grf.mot", "b_forces.sto")
    assert found("d.trc") is None
    assert found("e.trc") is None
    assert found("a.trc", "none") is None
    stated = found("e.trc", "*_FP.mot")
    assert stated is not None
    assert stated.source.startswith("e_FP.mot ")
    for name, pattern, text in (("c.trc", "", "--force-file"), ("x.trc", "*_FP.mot", "there is no file")):
        with pytest.raises(SourceError, match=text) as caught:
            found(name, pattern)
        assert caught.value.code == ReasonCode.BAD_FORCES


LOADS = """<OpenSimDocument Version="40000"><ExternalLoads name="loads"><objects>
<ExternalForce name="first"><isDisabled>false</isDisabled><applied_to_body>calcn_l</applied_to_body>
<force_expressed_in_body>ground</force_expressed_in_body><point_expressed_in_body>ground</point_expressed_in_body>
<force_identifier>ground_force_v</force_identifier><point_identifier>ground_force_p</point_identifier>
<torque_identifier>ground_torque_</torque_identifier></ExternalForce>
<ExternalForce name="second"><applied_to_body>/bodyset/calcn_r</applied_to_body>
<force_identifier>1_ground_force_v</force_identifier><point_identifier>1_ground_force_p</point_identifier>
<torque_identifier>1_ground_torque_</torque_identifier></ExternalForce>
<ExternalForce name="rail"><applied_to_body>hand_r</applied_to_body></ExternalForce>
</objects><datafile>C:\\data\\forces of the day.mot</datafile></ExternalLoads></OpenSimDocument>"""


def test_external_loads_say_which_foot(tmp_path: Path) -> None:
    ref = forces()
    (tmp_path / "forces of the day.mot").write_bytes(table(ref, ("ground_{}", "1_ground_{}")))
    (tmp_path / "walk_grf.xml").write_text(LOADS)
    raw = read_companion(tmp_path / "walk_ik.mot", "")
    assert raw is not None
    assert (raw.names, raw.feet) == (("first", "second"), ("left", "right"))
    assert_equal(in_world(raw, turn=TO_Z, metres=1.0, mass=None), ref)
    moved = LOADS.replace("<force_expressed_in_body>ground<", "<force_expressed_in_body>calcn_l<")
    for text in (moved, LOADS.replace("calcn", "hand"), "<!DOCTYPE a>" + LOADS, "<a>"):
        with pytest.raises(SourceError):
            parse_external_loads(text.encode())


def test_forces_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    ref = forces()
    names = ("ground_{}_l", "ground_{}_r")
    for data, text in (
        (table(ref, names, note=ESTIMATED), "mm-export wrote it"),
        (table(ref, names, note=NOT_RAW), "mm-export wrote it"),
        (grf_text(ref.time, {name: np.zeros((len(ref.time), 9)) for name in names}), "no plate is loaded"),
        (table(ref, names).replace(b"force_l_px", b"force_l_qx"), "lacks the columns .ground_force_l_px"),
        (table(ref, names).replace(b"force_", b"push_"), "0 loads"),
        (b"not a table", "endheader"),
    ):
        (tmp_path / "walk_grf.mot").write_bytes(data)
        with pytest.raises(SourceError, match=text) as caught:
            companion_in_world(tmp_path / "walk.trc", TO_Z)
        assert caught.value.code == ReasonCode.BAD_FORCES
    (tmp_path / "walk_grf.mot").write_bytes(table(ref, names))
    with pytest.raises(SourceError, match="points along y of the file"):
        companion_in_world(tmp_path / "walk.trc", np.eye(3))


def test_centres_of_unloaded_plates_may_be_anything(tmp_path: Path) -> None:
    """Programs divide moments by forces near zero; under load, such a distance is no person's."""
    ref = forces()
    centre = np.where(ref.loaded[..., None], ref.centre, 1e7)
    values = np.concatenate([ref.force @ TO_Z, centre @ TO_Z, np.zeros_like(ref.force)], axis=2)
    columns = {"ground_{}_l": values[:, 0], "ground_{}_r": values[:, 1]}
    (tmp_path / "walk_grf.mot").write_bytes(grf_text(ref.time, columns))
    result = companion_in_world(tmp_path / "walk.trc", TO_Z)
    np.testing.assert_allclose(result.centre[ref.loaded], ref.centre[ref.loaded], atol=1e-6)
    columns["ground_{}_l"][50, 3] = 1e7
    (tmp_path / "walk_grf.mot").write_bytes(grf_text(ref.time, columns))
    with pytest.raises(SourceError, match="not those of a person"):
        companion_in_world(tmp_path / "walk.trc", TO_Z)


def companion_in_world(motion: Path, turn: np.ndarray) -> PlateForces:
    raw = read_companion(motion, "")
    assert raw is not None
    return in_world(raw, turn=turn, metres=1.0, mass=None)
    assert LOADED == 20.0
