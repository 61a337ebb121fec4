"""Damaged files of every kind are read or refused with an error of ours, without crash, hang or memory growth.

`make fuzz COUNT=50000` runs the same for longer and prints a table.
"""

import pytest

from ..support.fuzz.fuzz_kinds import KINDS
from ..support.fuzz.fuzzing import damaged, fuzz

COUNT = 2000


@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_are_read_or_refused(name):
    result = fuzz(name, count=COUNT)
    assert not result.faults
    assert result.accepted + result.refused == COUNT
    assert result.refused > 0 or name in ("manifest", "metrics", "track list")  # readers of these skip damaged lines


def test_fault_is_reproduced_by_its_number():
    assert damaged("manifest", 3, 17) == damaged("manifest", 3, 17) != damaged("manifest", 4, 17)
