"""Motion lists: complete as published, and matched across the spellings of the archive's releases."""

import itertools

import pytest

from musclemap.datasets.groups import DATA_SETS, group_names, load_group, matches, motion_key, select
from musclemap.errors import SettingsError

SIZES = {
    "amass-bimanual-marginal": 2492,
    "amass-bimanual-test": 312,
    "amass-bimanual-train": 1770,
    "amass-ekut": 345,
    "amass-locomotion": 240,
    "amass-transitions": 110,
    "kit-kinesis-test": 108,
    "kit-kinesis-train": 972,
}


def test_groups_are_complete() -> None:
    assert {name: len(load_group(name)) for name in group_names()} == SIZES


def test_unknown_group_lists_the_known() -> None:
    for name in ("kit", "../groups/kit-kinesis-test", "README"):
        with pytest.raises(SettingsError, match="kit-kinesis-test, kit-kinesis-train"):
            load_group(name)


@pytest.mark.parametrize("name", SIZES)
def test_entries_of_a_group_are_distinct_recordings(name: str) -> None:
    """Matching is strict enough to keep entries apart: each has a data set, a subject and a recording."""
    keys = [motion_key(entry) for entry in load_group(name)]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 3 and key[0] in DATA_SETS for key in keys)


def test_no_two_data_sets_share_subject_and_recording() -> None:
    """So a path below a data set's folder can be matched without the name of the data set."""
    keys = {motion_key(entry) for name in group_names() for entry in load_group(name)}
    assert len({key[1:] for key in keys}) == len(keys)


def test_known_overlaps() -> None:
    keys = {name: {motion_key(entry) for entry in load_group(name)} for name in group_names()}
    assert not keys["kit-kinesis-train"] & keys["kit-kinesis-test"]
    assert len(keys["amass-locomotion"] & keys["kit-kinesis-test"]) == 16
    assert len(keys["amass-bimanual-marginal"] & keys["amass-bimanual-test"]) == 41
    subjects = [{key[1] for key in keys[name]} for name in ("kit-kinesis-test", "kit-kinesis-train")]
    assert len(subjects[0]) == 21
    assert subjects[0] <= subjects[1]


SPELLINGS = [
    (
        "KIT/3/walking_slow08_poses",
        "KIT/3/walking_slow08_poses.npz",
        "KIT/3/walking_slow08_stageii.npz",
        "KIT/KIT/3/walking_slow08_poses.npz",
        "AMASS/SMPL-X N/KIT/3/walking_slow08_stageii.npz",
        "KIT/3/walking_slow08_poses.h5",
        "3/walking_slow08_poses.npz",
        "kit_walking/3/walking_slow08_poses.npz",
    ),
    (
        "ACCAD/Female1Running_c3d/C21 -  run to pick up box_poses",
        "ACCAD/ACCAD/Female1Running_c3d/C21 -  run to pick up box_poses.npz",
        "ACCAD/Female1Running_c3d/C21_-__run_to_pick_up_box_stageii.npz",
        "Female1Running_c3d/C21 - run to pick up box_poses.npz",
    ),
    (
        "BMLrub/BioMotionLab_NTroje/rub021/0027_circle_walk_poses",
        "BioMotionLab_NTroje/rub021/0027_circle_walk_poses.npz",
        "BMLrub/rub021/0027_circle_walk_stageii.npz",
        "amass/bmlrub/rub021/0027_circle_walk_stageii.npz",
    ),
    (
        "Transitions_mocap/mazen_c3d/JOOF_kick_poses",
        "Transitions/mazen_c3d/JOOF_kick_stageii.npz",
        "Transitionsmocap/Transitions_mocap/mazen_c3d/JOOF_kick_poses.npz",
    ),
    ("HDM05/MPI_HDM05/bk/HDM_bk_01-01_01_120_poses", "HDM05/bk/HDM_bk_01-01_01_120_stageii.npz",
     "MPI_HDM05/bk/HDM_bk_01-01_01_120_poses.npz"),
    ("EyesJapanDataset/Eyes_Japan_Dataset/aita/accident-06-damage left leg-aita_poses",
     "Eyes_Japan_Dataset/aita/accident-06-damage_left_leg-aita_stageii.npz"),
    ("CMU/CMU/91/91_62_poses", "CMU/91/91_62_poses.npz", "91/91_62_stageii.npz"),
    ("GRAB/s3/apple_pick_all_stageii", "GRAB/s3/apple_pick_all_stageii.npz", "grab/s3/apple_pick_all_poses.npz"),
    ("EKUT/EKUT/125/SLP101_poses", "EKUT/125/SLP101_stageii.npz"),
]  # fmt: skip


def test_spellings_match_only_within_a_recording() -> None:
    entries = {entry for name in group_names() for entry in load_group(name)}
    for spellings in SPELLINGS:
        assert spellings[0] in entries  # a real line
        for one, other in itertools.product(spellings, repeat=2):
            assert matches(one, other), (one, other)
    for spellings, others in itertools.permutations(SPELLINGS, 2):
        assert not any(matches(one, other) for one in spellings for other in others)


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("KIT/3/walking_slow08_poses.npz", "KIT/4/walking_slow08_poses"),
        ("KIT/3/walking_slow08_poses.npz", "KIT/3/walking_slow09_poses"),
        ("EKUT/3/walking_slow08_poses.npz", "KIT/3/walking_slow08_poses"),
        ("walking_slow08_poses.npz", "KIT/3/walking_slow08_poses"),
        ("walking_slow08_poses.npz", "walking_slow08_poses"),
        ("KIT/3/walking_slow08_1_poses.npz", "KIT/3/walking_slow08_poses"),
        ("KIT/more/3/walking_slow08_poses.npz", "KIT/3/walking_slow08_poses"),
    ],
)
def test_other_recordings_do_not_match(path: str, entry: str) -> None:
    assert not matches(path, entry)


@pytest.mark.parametrize("name", SIZES)
def test_whole_group_is_found_in_either_release(name: str) -> None:
    group = load_group(name)
    keys = [motion_key(entry) for entry in group]
    older = [f"{key[0]}/{(DATA_SETS[key[0]] or key)[0]}/{'/'.join(entry.split('/')[-2:])}.npz"
             for key, entry in zip(keys, group, strict=True)]  # fmt: skip
    newer = [f"{'/'.join(key)}_stageii.npz" for key in keys]
    inside = ["/".join(entry.split("/")[-2:]) + ".npz" for entry in group]
    for collection in (older, newer, inside):
        noise = ["KIT/9999/walk_poses.npz", "x.npz"]
        selection = select([*noise, *collection], group)
        assert selection.names == tuple(collection)
        assert selection.missing == ()


def test_select_reports_what_is_missing() -> None:
    group = load_group("kit-kinesis-test")
    selection = select([f"{entry}.npz" for entry in group[5:]], group)
    assert selection.missing == group[:5]
    assert select([], group).missing == group
    both = ["KIT/KIT/" + "/".join(group[0].split("/")[1:]) + ".npz", group[0].replace("_poses", "_stageii.npz")]
    assert select(both, group).names == tuple(both)
