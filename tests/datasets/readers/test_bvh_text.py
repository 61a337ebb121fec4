"""BVH text: every spelling that programs write is read, every damage has its reason in one line."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.formats.readers.skeletons.bvh_kinematics import BvhKinematics
from musclemap.datasets.formats.readers.skeletons.bvh_text import MAX_JOINTS, Bvh, parse_bvh
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

ARM = """HIERARCHY
ROOT Hips
{
  OFFSET 0.0 90.0 0.0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Left Arm
  {
    OFFSET 20.0 40.0 0.0
    CHANNELS 3 Yrotation Zrotation Xrotation
    End Site
    {
      OFFSET 30.0 0.0 0.0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
1.0 91.0 2.0 10.0 20.0 30.0 40.0 50.0 60.0
1.5 91.5 2.5 11.0 21.0 31.0 41.0 51.0 61.0
"""


def code(text: str | bytes) -> str:
    """Reason for which a file is refused; its message has one line."""
    with pytest.raises(SourceError) as caught:
        parse_bvh(text if isinstance(text, bytes) else text.encode())
    assert "\n" not in str(caught.value)
    return str(caught.value.code)


def equal(first: Bvh, second: Bvh) -> bool:
    return (first.names, first.parents, first.channels) == (second.names, second.parents, second.channels) and all(
        np.array_equal(getattr(first, key), getattr(second, key), equal_nan=True)
        for key in ("offsets", "ends", "values", "frame_time")
    )


def test_a_file_is_read() -> None:
    bvh = parse_bvh(ARM.encode())
    assert bvh.names == ("Hips", "Left Arm")
    assert bvh.parents == (-1, 0)
    assert bvh.channels[1] == ("Yrotation", "Zrotation", "Xrotation")
    assert bvh.frame_time == 0.0333333
    np.testing.assert_array_equal(bvh.offsets, [[0, 90, 0], [20, 40, 0]])
    np.testing.assert_array_equal(bvh.ends, [[np.nan] * 3, [30, 0, 0]])
    np.testing.assert_array_equal(bvh.values[1], [1.5, 91.5, 2.5, 11, 21, 31, 41, 51, 61])


@pytest.mark.parametrize(
    "spelled",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("  ", "\t"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("position", "POSITION").replace("rotation", "Rotation"),
        lambda text: text.replace("HIERARCHY", "hierarchy").replace("MOTION", "Motion "),
        lambda text: re.sub(r"\n\s*\{", " {", text),
        lambda text: text.replace("Frame Time: ", "Frame Time:\t").replace("Frames: ", "Frames:  "),
        lambda text: text + "\n  \n",
        lambda text: text.rstrip("\n"),
    ],
)
def test_spellings(spelled) -> None:
    assert equal(parse_bvh(spelled(ARM).encode()), parse_bvh(ARM.encode()))


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ("", ReasonCode.NOT_BVH),
        ("ply\nformat ascii 1.0\n", ReasonCode.NOT_BVH),
        (ARM[:150], ReasonCode.TRUNCATED),
        (ARM[: ARM.index("MOTION")], ReasonCode.TRUNCATED),
        (ARM[: ARM.index("Frames")], ReasonCode.TRUNCATED),
        (ARM[: ARM.index("1.0 91")], ReasonCode.TRUNCATED),
        (ARM[: ARM.index("1.5 91")], ReasonCode.TRUNCATED),
        (ARM[:-12], ReasonCode.TRUNCATED),
        (ARM + "1 2 3 4 5 6 7 8 9\n", ReasonCode.TRUNCATED),
        (ARM.replace(" 61.0", " 61.0 7.0"), ReasonCode.TRUNCATED),
        (ARM.replace(" 60.0", "").replace(" 61.0", ""), ReasonCode.TRUNCATED),
        (ARM.replace("Frames: 2", "Frames: 3"), ReasonCode.TRUNCATED),
        (ARM.replace("Frames: 2", "Frames: 100000"), ReasonCode.TRUNCATED),
        (ARM.replace("Frames: 2", "Frames: 99999999999"), ReasonCode.TOO_LARGE),
        (ARM.replace("Frames: 2", "Frames: 2.5"), ReasonCode.NOT_BVH),
        (ARM.replace("Frames: 2", "Frames: 0"), ReasonCode.NO_FRAMES),
        (ARM.replace("0.0333333", "0"), ReasonCode.BAD_FRAME_RATE),
        (ARM.replace("0.0333333", "-0.03"), ReasonCode.BAD_FRAME_RATE),
        (ARM.replace("0.0333333", "nan"), ReasonCode.BAD_FRAME_RATE),
        (ARM.replace("0.0333333", "fast"), ReasonCode.BAD_FRAME_RATE),
        (ARM.replace("50.0", "nan"), ReasonCode.NON_FINITE),
        (ARM.replace("50.0", "-inf"), ReasonCode.NON_FINITE),
        (ARM.replace("50.0", "1e300"), ReasonCode.OUT_OF_RANGE),
        (ARM.replace("50.0", "5O.0"), ReasonCode.BAD_TYPE),
        (ARM.replace("50.0", "50,0"), ReasonCode.BAD_TYPE),
        (ARM.replace("30.0 0.0 0.0", "30,0 0,0 0,0"), ReasonCode.NOT_BVH),
        (ARM.replace("20.0 40.0 0.0", "20.0 40.0"), ReasonCode.NOT_BVH),
        (ARM.replace("20.0 40.0 0.0", "20.0 nan 0.0"), ReasonCode.NOT_BVH),
        (ARM.replace("    OFFSET 20.0 40.0 0.0\n", ""), ReasonCode.NOT_BVH),
        (ARM.replace("CHANNELS 3", "CHANNELS 4"), ReasonCode.NOT_BVH),
        (ARM.replace("CHANNELS 3 Yrotation", "CHANNELS 3 Wrotation"), ReasonCode.NOT_BVH),
        (ARM.replace("CHANNELS 3 Yrotation", "CHANNELS 3 Zrotation"), ReasonCode.NOT_BVH),
        (ARM.replace("JOINT Left", "ROOT Left"), ReasonCode.NOT_BVH),
        (ARM.replace("JOINT Left Arm\n", "JOINT\n"), ReasonCode.NOT_BVH),
        (ARM.replace("OFFSET 30.0 0.0 0.0\n", "JOINT Hand\n{\nOFFSET 0 0 0\n}\n"), ReasonCode.NOT_BVH),
        (ARM.replace("}\nMOTION", "}\n}\nMOTION"), ReasonCode.NOT_BVH),
        (ARM.replace("}\nMOTION", "MOTION"), ReasonCode.TRUNCATED),
        (b"HIERARCHY\n" + bytes(range(256)) * 8192, ReasonCode.TOO_LARGE),
    ],
)
def test_damage_has_a_reason(damaged: str | bytes, reason: ReasonCode) -> None:
    assert code(damaged) == reason


def test_commas_are_named() -> None:
    with pytest.raises(SourceError, match="decimal points"):
        parse_bvh(ARM.replace("50.0", "50,0").encode())
    with pytest.raises(SourceError, match="decimals need points"):
        parse_bvh(ARM.replace("30.0 0.0 0.0", "30,0 0,0 0,0").encode())


def test_joints_are_counted_and_deep_ones_do_not_recurse() -> None:
    def nested(count: int) -> str:
        joints = "".join(f"JOINT j{k}\n{{\nOFFSET 0 1 0\n" for k in range(count - 1))
        head = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation\n"
        return f"{head}{joints}{'}' * count}\nMOTION\nFrames: 1\nFrame Time: 0.1\n5\n"

    assert len(parse_bvh(nested(MAX_JOINTS).encode()).names) == MAX_JOINTS
    assert code(nested(MAX_JOINTS + 1)) == ReasonCode.TOO_LARGE


def test_repeated_names_are_numbered() -> None:
    assert parse_bvh(ARM.replace("Left Arm", "Hips").encode()).names == ("Hips", "Hips#2")


def test_channels_turn_about_turned_axes_in_their_order() -> None:
    bvh = parse_bvh(ARM.encode())
    xpos, xmat = BvhKinematics(bvh).world(slice(None))
    about = lambda axis, angle: Rotation.from_euler(axis, angle, degrees=True)  # noqa: E731
    root = about("z", 10) * about("x", 20) * about("y", 30)
    arm = root * about("y", 40) * about("z", 50) * about("x", 60)
    np.testing.assert_allclose(xmat[0], [root.as_matrix(), arm.as_matrix()], atol=1e-12)
    np.testing.assert_allclose(xpos[0], [[1, 91, 2], np.array([1, 91, 2]) + root.apply([20, 40, 0])], atol=1e-12)


@pytest.mark.parametrize("value", [[20.0, 41.0, 0.5], [0.0, 1.0, 0.5]])
def test_position_channels_hold_the_offset_or_add_to_it(value: list[float]) -> None:
    """Programs write both; values near zero are displacements."""
    bvh = parse_bvh(ARM.replace("CHANNELS 3", "CHANNELS 6 Xposition Yposition Zposition").replace(
        " 40.0 50", " 0 0 0 40.0 50").replace(" 41.0 51", " 0 0 0 41.0 51").encode())  # fmt: skip
    values = bvh.values.copy()
    values[:, 3:9], values[:, 9:] = [[0.0] * 3 + value], 0.0
    xpos, _ = BvhKinematics(replace(bvh, values=values)).world(slice(None))
    np.testing.assert_allclose(xpos[:, 1] - xpos[:, 0], [[20.0, 41.0, 0.5]] * 2, atol=1e-12)


def test_random_damage_is_refused_or_read() -> None:
    """Bytes changed, removed and repeated: a file is read or refused, and nothing else happens."""
    rng, data = np.random.default_rng(5), ARM.encode()
    codes = []
    for _ in range(1500):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            start = int(rng.integers(len(damaged)))
            stop = start + int(rng.integers(1, 12))
            kind = rng.integers(3)
            if kind == 0:
                damaged[start:stop] = rng.integers(0, 256, stop - start, np.uint8).tobytes()
            elif kind == 1:
                del damaged[start:stop]
            else:
                damaged[start:start] = damaged[start:stop]
        try:
            parse_bvh(bytes(damaged))
        except SourceError as error:
            codes.append(error.code)
    assert len(codes) > 700
    assert set(codes) > {ReasonCode.NOT_BVH, ReasonCode.TRUNCATED, ReasonCode.BAD_TYPE}
