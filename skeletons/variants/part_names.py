"""Names of a body's parts, read from the files of its model: commands check names without importing MuJoCo."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

MODELS = {"full-body": "MyoFullBody", "bimanual-arm": "MyoBimanualArm"}
"""Models of the bodies of the package, by the names in commands and settings."""

_FILES = {"MyoFullBody": "model/body/myofullbody.xml", "MyoBimanualArm": "model/arm/myoarm_bimanual.xml"}
"""File of each model in the package musclemimic_models."""


@dataclass(frozen=True, kw_only=True)
class PartNames:
    """Names of a body's muscles, joints and bodies."""

    muscles: tuple[str, ...]
    joints: tuple[str, ...]
    bodies: tuple[str, ...]


def part_names(body: str) -> PartNames | None:
    """Read the names of a body's parts.

    Args:
        body: Name of a body in commands, or of its model.

    Returns:
        The names in the order of the files; None for a body that is not one of this package's models.
    """
    file = _FILES.get(MODELS.get(body, body))
    package = find_spec("musclemimic_models")  # not imported: it would import MuJoCo
    if file is None or package is None or package.origin is None:
        return None
    elements = _elements(Path(package.origin).parent / file)

    def named(*tags: str) -> tuple[str, ...]:
        # with "joint1" it is the coupling of a joint
        found = (one.attrib for one in elements if one.tag in tags and "joint1" not in one.attrib)
        return tuple(attributes["name"] for attributes in found if "name" in attributes)

    muscles = [child for element in elements if element.tag == "actuator" for child in element]
    return PartNames(
        muscles=tuple(muscle.get("name", "") for muscle in muscles), joints=named("joint", "freejoint"),
        bodies=named("body"),
    )  # fmt: skip


def _elements(path: Path) -> list[ElementTree.Element]:
    """All elements of a file and of those that it includes; paths are relative to the file that includes them."""
    elements = []
    for element in ElementTree.parse(path).iter():
        if element.tag == "include":
            elements += _elements(path.parent / element.get("file", ""))
        else:
            elements.append(element)
    return elements
