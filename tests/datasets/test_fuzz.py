"""Damaged files of every kind: read, or refused by an error of ours; no other exception, no signal, no wait, no growth.

`make fuzz COUNT=50000` does the same for longer and prints a table.
"""

import pytest

from ..support.fuzz.fuzz_kinds import KINDS
from ..support.fuzz.fuzzing import damaged, fuzz

COUNT = 2000


@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_are_read_or_refused(name):
    tally = fuzz(name, count=COUNT)
    assert not tally.faults
    assert tally.accepted + tally.refused == COUNT
    assert tally.refused > 0 or name in ("manifest", "metrics")  # where each damaged line is passed over


def test_a_fault_is_made_again_by_its_number():
    assert damaged("manifest", 3, 17) == damaged("manifest", 3, 17) != damaged("manifest", 4, 17)
