"""Tables of subjects: what they say, which file is whose, and what is refused."""

from pathlib import Path

import pytest

from musclemap.datasets.subjects import ANY, MAX_BYTES, read_subjects, subject_of, subjects_text
from musclemap.errors import MusclemapError, SettingsError


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_gives_the_facts_that_it_has(tmp_path: Path) -> None:
    path = table(
        tmp_path / "subjects.csv", "subject,height_m,mass_kg,sex,age,thigh_m", "s01,1.62,58,female,,0.40",
        "s02,1.80,,,71,",
    )  # fmt: skip
    assert read_subjects(path) == {
        "s01": {"height": 1.62, "mass": 58.0, "sex": "female", "thigh": 0.40},
        "s02": {"height": 1.80, "age": 71.0},
    }


def test_order_of_rows_and_columns_does_not_matter(tmp_path: Path) -> None:
    one = table(tmp_path / "a.csv", "subject,height_m,mass_kg", "a,1.6,60", "b,1.7,70")
    other = table(tmp_path / "b.csv", "mass_kg,subject,height_m", "70,b,1.7", "60.0,a,1.60")
    assert subjects_text(read_subjects(one)) == subjects_text(read_subjects(other))


@pytest.mark.parametrize(
    ("source", "subject"),
    [
        ("s01/walk.npz", "s01"),
        ("study/s01/walk.npz", "s01"),
        ("study/s01_walk.npz", "s01"),
        ("s01.npz", "s01"),
        ("s01/s01_b_run.npz", "s01_b"),
        ("s011/walk.npz", None),
        ("walk.npz", None),
    ],
)
def test_a_file_belongs_to_the_subject_that_its_path_names(source: str, subject: str | None) -> None:
    table = {"s01": {}, "s01_b": {}}
    assert subject_of(source, table) == subject
    assert subject_of(source, table | {ANY: {}}) == (subject or ANY)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("subject,height", "s01,1.62"), "the column 'height'; the columns are: subject, height_m"),
        (("name,height_m", "s01,1.62"), "the column 'name'"),
        (("height_m", "1.62"), "no column 'subject'"),
        (("subject,height_m", "s01,162"), r"line 2: the height is 162 m, which reads like centimetres"),
        (("subject,height_m", "s01,tall"), "line 2: height_m is 'tall', not a number"),
        (("subject,height_m", "s01,nan"), "line 2"),
        (("subject,height_m", "s01,1.6", "s01,1.7"), "line 3: a second row of subject 's01'"),
        (("subject,height_m", ",1.6"), "line 2: no subject"),
        (("subject,height_m,mass_kg", "s01,2.0,35"), "line 2: nobody is 2.00 m tall with 35 kg"),
        (("subject,sex", "s01,m"), "line 2: sex is 'm'"),
        (("subject,height_m", "s01,1.6,3"), "more fields than columns"),
        (("subject,height_m",), "no subjects"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_subjects(table(tmp_path / "subjects.csv", *lines))


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "large.csv").write_bytes(b"subject\n" + b"a" * (MAX_BYTES + 1))
    for name in ("binary.csv", "large.csv", "missing.csv"):
        with pytest.raises(MusclemapError):
            read_subjects(tmp_path / name)
