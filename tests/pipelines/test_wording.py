"""Names that somebody may have meant."""

from musclemap.pipelines.wording import close_names

NAMES = ["builtin/exercise/jump_poses.h5", "builtin/exercise/squat_poses.h5", "builtin/exercise/turn_poses.h5",
         "builtin/walk/walk_1.2_poses.h5"]  # fmt: skip


def test_a_misspelt_word_of_a_long_name_is_found() -> None:
    assert close_names("wlak", NAMES)[0] == NAMES[3]
    assert close_names("Sqaut", NAMES)[0] == NAMES[1]
    assert close_names("walk/walk_1.2", NAMES)[0] == NAMES[3]


def test_there_are_never_more_names_than_asked_for() -> None:
    assert len(close_names("x" * 10_000, NAMES, count=2)) == 2
    assert close_names("walk", []) == []
