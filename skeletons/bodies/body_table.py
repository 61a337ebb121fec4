"""A body of one's own as a TOML table: which bodies and joints of a model play which part.

The names of its keys are those of the source's joints and of MyoFullBody; what to track, with which weight and in which
direction, follows from them (`own_body.py`). A table holds names only: reading one runs nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from musclemap.errors import SettingsError, TargetError
from musclemap.settings import load_settings, settings

MAX_ENTRIES = 200
"""Most entries of a list or table: a body has 22 source joints, and two hands have 40 finger joints."""

Name = Annotated[str, StringConstraints(max_length=100)]
BodyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$")]
ModelFile = Annotated[str, StringConstraints(max_length=300)]
Names = Annotated[Mapping[Name, Name], Field(max_length=MAX_ENTRIES)]
NameList = Annotated[tuple[Name, ...], Field(max_length=MAX_ENTRIES, strict=False)]


@settings
class BodyTable:
    """A body.

    Attributes:
        name: Name of the body, as in a clip's `model`.
        model: MJCF file of the model, relative to the table and in its folder.
        version: Version of the model, as in a clip's `model_version`.
        landmarks: Body of the model for each source joint that it follows, such as right_knee = "tibia_r"; its origin
            is the joint's centre. "pelvis" is required.
        feet: Bodies that touch the ground: left_heel, left_toe, right_heel, right_toe.
        joints: Joints of the model that have other names than MyoFullBody's, such as knee_angle_r = "knee_r".
        trunk: Bodies of the trunk that can bear weight when they lie on the ground.
        finger_joints: Joints of fingers, which are locked.
    """

    name: BodyName = "Body"
    model: ModelFile = "model.xml"
    version: Name = ""
    landmarks: Names = Field(default_factory=dict)
    feet: Names = Field(default_factory=dict)
    joints: Names = Field(default_factory=dict)
    trunk: NameList = ()
    finger_joints: NameList = ()


def read_body_table(path: Path) -> BodyTable:
    """Read a table.

    Raises:
        TargetError: If it is unreadable, too long, not TOML, or has an unknown key or a value of the wrong kind.
    """
    try:
        return load_settings(BodyTable, path)
    except SettingsError as error:
        raise TargetError(f"{path} is not the table of a body: {error}") from error
