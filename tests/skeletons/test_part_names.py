"""Names that commands check before MuJoCo is imported are those of the compiled models."""

import pytest

from musclemap.skeletons.bodies import BODY_OPTIONS, load_body
from musclemap.skeletons.variants.part_names import MODELS, part_names


@pytest.mark.parametrize("option", sorted(MODELS))
def test_names_of_the_files_are_those_of_the_model(option: str) -> None:
    assert BODY_OPTIONS[option] == MODELS[option]
    names, model = part_names(option), load_body(MODELS[option]).model
    assert names is not None
    assert names == part_names(MODELS[option])
    assert sorted(names.muscles) == sorted(model.actuator(i).name for i in range(model.nu))
    assert sorted(names.joints) == sorted(model.joint(j).name for j in range(model.njnt))
    assert sorted(names.bodies) == sorted(model.body(b).name for b in range(1, model.nbody))


def test_other_bodies_are_not_known() -> None:
    assert part_names("Legs") is None
