"""Units that a user states."""

import pytest

from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.units import UNIT_LENGTHS, checked_unit, unit_length
from musclemap.errors import SettingsError
from musclemap.retarget.config import RetargetConfig
from musclemap.settings import override


def test_names_and_numbers() -> None:
    assert [unit_length(name) for name in ("m", "cm", "mm", "in")] == [1.0, 0.01, 0.001, 0.0254]
    assert unit_length("cmu") == pytest.approx(0.056444, abs=1e-6)
    assert unit_length("0.056444") == 0.056444
    for name in (*UNIT_LENGTHS, "auto", "0.3"):
        assert checked_unit(name) == name
        assert ReadOptions(units=name).units == name
        assert override(RetargetConfig(), [f"source.units={name}"]).source.units == name


@pytest.mark.parametrize("text", ["inch", "", "M", "0", "-1", "1e9", "nan", "inf", "1 m"])
def test_other_texts_are_refused_with_what_is_expected(text: str) -> None:
    for check in (checked_unit, lambda text: ReadOptions(units=text)):
        with pytest.raises(SettingsError, match=r"expected auto, m, cm, mm, in, cmu, or .* such as 0\.0254$"):
            check(text)
    with pytest.raises(SettingsError, match=r"^setting 'source\.units' takes a string, .* such as 0\.0254, got '"):
        override(RetargetConfig(), [f'source.units="{text}"'])
