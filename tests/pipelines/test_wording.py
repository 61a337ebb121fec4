"""Words of messages."""

from musclemap.pipelines.wording import close_names, counted

NAMES = ["builtin/exercise/jump_poses.h5", "builtin/exercise/squat_poses.h5", "builtin/exercise/turn_poses.h5",
         "builtin/walk/walk_1.2_poses.h5"]  # fmt: skip


def test_numbers_have_their_nouns() -> None:
    assert [counted(number, "clip") for number in (0, 1, 1200)] == ["0 clips", "1 clip", "1,200 clips"]


def test_a_misspelt_word_of_a_long_name_is_found() -> None:
    assert close_names("wlak", NAMES)[0] == NAMES[3]
    assert close_names("Sqaut", NAMES)[0] == NAMES[1]
    assert close_names("walk/walk_1.2", NAMES)[0] == NAMES[3]


def test_there_are_never_more_names_than_asked_for() -> None:
    assert len(close_names("x" * 10_000, NAMES, count=2)) == 2
    assert close_names("walk", []) == []
