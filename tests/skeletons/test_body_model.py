"""Body models are read exactly from every published format, and pickles are never executed."""

import importlib.util
import io
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from musclemap.errors import BodyModelError
from musclemap.skeletons.smpl.body_model import (
    BodyModel,
    choose_body_model,
    find_body_models,
    load_body_model,
)

from ..support.data.body_model_files import (
    PickledObject,
    SyntheticModel,
    synthetic_model,
    write_npz,
    write_python2_pickle,
    write_smpl_pkl,
)

BETAS = np.linspace(-2.0, 2.0, 10)


def assert_reads_back(path: Path, model: SyntheticModel, *, gender: str, nbeta: int) -> None:
    read = load_body_model(path)
    assert (read.family, read.gender, read.nbeta, read.file) == (model.family, gender, nbeta, path.name)
    betas = np.linspace(-2.0, 2.0, nbeta)
    np.testing.assert_allclose(read.joints(betas), model.joints(betas), rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrapping", ["Ch", "Select"])
@pytest.mark.parametrize("reconstructor", [False, True])
def test_smpl_pickle_of_python_2_with_chumpy_and_scipy_objects(
    tmp_path: Path, wrapping: str, reconstructor: bool
) -> None:
    model = synthetic_model("smpl", ndir=10)
    path = tmp_path / "basicModel_f_lbs_10_207_0_v1.0.0.pkl"
    write_smpl_pkl(path, model, wrapping=wrapping, reconstructor=reconstructor)
    assert_reads_back(path, model, gender="female", nbeta=10)


def test_smplh_npz_is_limited_to_sixteen_coefficients(tmp_path: Path) -> None:
    model = synthetic_model("smplh", ndir=20)
    write_npz(tmp_path / "male" / "model.npz", model)
    assert_reads_back(tmp_path / "male" / "model.npz", model, gender="male", nbeta=16)


def test_smplx_expression_directions_are_not_used_as_shape(tmp_path: Path) -> None:
    late, early = synthetic_model("smplx", ndir=400), synthetic_model("smplx", ndir=20)
    write_npz(tmp_path / "SMPLX_NEUTRAL.npz", late)
    write_npz(tmp_path / "SMPLX_FEMALE.npz", early)
    assert_reads_back(tmp_path / "SMPLX_NEUTRAL.npz", late, gender="neutral", nbeta=16)
    assert_reads_back(tmp_path / "SMPLX_FEMALE.npz", early, gender="female", nbeta=10)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [sparse.csc_matrix, sparse.csr_array, sparse.coo_array, np.asarray])
def test_pickles_of_this_python(tmp_path: Path, protocol: int, kind: type) -> None:
    model = synthetic_model("smpl", ndir=10)
    content = {"v_template": model.template, "shapedirs": model.dirs, "J_regressor": kind(model.regressor)}
    path = tmp_path / "SMPL_MALE.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    assert_reads_back(path, model, gender="male", nbeta=10)


def test_gender_entry_takes_precedence_over_the_name(tmp_path: Path) -> None:
    model = synthetic_model("smplh", ndir=16)
    for k, entry in enumerate((np.str_("male"), np.bytes_(b"male"), np.array(["male"]))):
        write_npz(tmp_path / f"{k}_female.npz", model, gender=entry)
        assert load_body_model(tmp_path / f"{k}_female.npz").gender == "male"
    write_npz(tmp_path / "body.npz", model)
    with pytest.raises(BodyModelError, match="does not state its gender"):
        load_body_model(tmp_path / "body.npz")


def test_fewer_betas_are_padded_and_more_are_refused(tmp_path: Path) -> None:
    write_npz(tmp_path / "male.npz", synthetic_model("smplh", ndir=16))
    model = load_body_model(tmp_path / "male.npz")
    np.testing.assert_array_equal(model.joints(np.zeros(0)), model.joint_template)
    np.testing.assert_allclose(model.joints(BETAS), model.joints(np.pad(BETAS, (0, 6))), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(model.joints(np.pad(BETAS, (0, 90))), model.joints(np.pad(BETAS, (0, 6))))
    with pytest.raises(BodyModelError, match="directions for only 16"):
        model.joints(np.ones(17))
    with pytest.raises(BodyModelError, match="finite"):
        model.joints(np.array([np.nan]))


class _Command:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return subprocess.check_call, (["touch", str(self.marker)],)


def test_hostile_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    hostile = [pickle.dumps({"v_template": _Command(marker)}, protocol=p) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
    hostile += [
        f"cos\nsystem\n(S'touch {marker}'\ntR.".encode(),
        f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode(),
        f"(S'touch {marker}'\nios\nsystem\n.".encode(),
        f'c__builtin__\neval\n(S\'__import__("pathlib").Path("{marker}").touch()\'\ntR.'.encode(),
        f"cnumpy.testing._private.utils\nrunstring\n(S'touch {marker}'\n}}tR.".encode(),
    ]
    pickle.loads(hostile[0])
    assert marker.exists(), "the payload must work in an ordinary unpickler, or this test proves nothing"
    marker.unlink()
    for k, payload in enumerate(hostile):
        path = tmp_path / f"SMPL_MALE_{k}.pkl"
        path.write_bytes(payload)
        with pytest.raises(BodyModelError, match=r"no array type; nothing of it was run"):
            load_body_model(path)
    assert not marker.exists()


def test_records_run_nothing_whatever_the_class_name(tmp_path: Path) -> None:
    """`chumpy.os.system` would be an attribute of chumpy; here it is a plain record."""
    marker, path = tmp_path / "executed", tmp_path / "SMPL_MALE.pkl"
    path.write_bytes(f"}}S'v_template'\ncchumpy\nos.system\n(S'touch {marker}'\ntRs.".encode())
    with pytest.raises(BodyModelError, match="lacks"):
        load_body_model(path)
    assert not marker.exists()


def test_sparse_indices_outside_the_matrix_are_refused(tmp_path: Path) -> None:
    model = synthetic_model("smpl", ndir=10)
    csc = sparse.csc_matrix(model.regressor)
    parts = {"data": csc.data, "indices": csc.indices + 1000, "indptr": csc.indptr, "_shape": csc.shape}
    regressor = PickledObject(qualname="scipy.sparse.csc.csc_matrix", state=parts)
    content = {"v_template": model.template, "shapedirs": model.dirs, "J_regressor": regressor}
    write_python2_pickle(tmp_path / "SMPL_MALE.pkl", content)
    with pytest.raises(BodyModelError, match="J_regressor"):
        load_body_model(tmp_path / "SMPL_MALE.pkl")


def test_damage_is_a_body_model_error(tmp_path: Path) -> None:
    good = tmp_path / "SMPL_MALE.pkl"
    write_smpl_pkl(good, synthetic_model("smpl", ndir=10))
    whole = good.read_bytes()
    for cut in (0, 1, 30, 200, len(whole) // 2, len(whole) - 1):
        good.write_bytes(whole[:cut])
        with pytest.raises(BodyModelError):
            load_body_model(good)
    npz = tmp_path / "male.npz"
    npz.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(BodyModelError, match="cannot be read"):
        load_body_model(npz)
    with pytest.raises(BodyModelError, match="there is no"):
        load_body_model(tmp_path / "absent.npz")


def test_other_bodies_are_refused(tmp_path: Path) -> None:
    model = synthetic_model("smplh", ndir=10)
    write_npz(tmp_path / "male.npz", model, J_regressor=model.regressor[:16], kintree_table=model.tree[:, :16])
    with pytest.raises(BodyModelError, match=r"16 joints.*24 \(smpl\), 52 \(smplh\), 55 \(smplx\)"):
        load_body_model(tmp_path / "male.npz")
    write_npz(tmp_path / "male.npz", model, kintree_table=model.tree[:, ::-1])
    with pytest.raises(BodyModelError, match="connected differently"):
        load_body_model(tmp_path / "male.npz")
    write_npz(tmp_path / "male.npz", model, v_template=model.template[:-1])
    with pytest.raises(BodyModelError, match="are inconsistent"):
        load_body_model(tmp_path / "male.npz")


def test_only_body_models_are_found(tmp_path: Path) -> None:
    smplh, smpl = synthetic_model("smplh", ndir=16), synthetic_model("smpl", ndir=10)
    write_npz(tmp_path / "smplh" / "male" / "model.npz", smplh)
    write_smpl_pkl(tmp_path / "smpl" / "SMPL_FEMALE.pkl", smpl)
    write_smpl_pkl(tmp_path / "mano" / "MANO_LEFT.pkl", smpl)
    np.savez(tmp_path / "smplh" / "motion.npz", poses=np.zeros((3, 156)))
    (tmp_path / "smpl" / "other.pkl").write_bytes(pickle.dumps({"verts": 1}))
    (tmp_path / "smpl" / "empty.pkl").touch()
    (tmp_path / "LICENSE.txt").write_text("terms")
    models = find_body_models(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in models] == ["smpl/SMPL_FEMALE.pkl", "smplh/male/model.npz"]
    assert find_body_models(models[0]) == (models[0],)
    with pytest.raises(BodyModelError, match="there is no folder"):
        find_body_models(tmp_path / "absent")


def empty_model(family: str, gender: str, *, file: str = "model.npz", nbeta: int = 16) -> BodyModel:
    template, dirs = np.zeros((2, 3)), np.zeros((2, 3, nbeta))
    return BodyModel(file=file, sha256="", family=family, gender=gender, joint_template=template, joint_dirs=dirs)


def test_exact_gender_is_preferred_then_neutral_then_an_error() -> None:
    male, neutral = empty_model("smplh", "male"), empty_model("smplh", "neutral")
    models = (empty_model("smpl", "female", file="b.pkl"), neutral, male)
    assert choose_body_model(models, family="smplh", gender="male") is male
    assert choose_body_model(models, family="smplh", gender="female") is neutral
    with pytest.raises(BodyModelError, match=r"smplx, gender female.*b\.pkl \(smpl, female\), model\.npz"):
        choose_body_model(models, family="smplx", gender="female")
    with pytest.raises(BodyModelError, match="none at all"):
        choose_body_model((), family="smplx", gender="female")


def test_choice_does_not_depend_on_the_order() -> None:
    few = empty_model("smpl", "male", file="a.pkl", nbeta=10)
    many = empty_model("smpl", "male", file="b.pkl", nbeta=16)
    assert choose_body_model((few, many), family="smpl", gender="male") is many
    assert choose_body_model((many, few), family="smpl", gender="male") is many


NEEDS_SMPLX = pytest.mark.skipif(
    importlib.util.find_spec("smplx") is None, reason="smplx is not installed; it comes with the extra [smpl]"
)


@NEEDS_SMPLX
@pytest.mark.filterwarnings("ignore")  # raised by smplx at import
@pytest.mark.parametrize(("family", "ndir", "nbeta"), [("smpl", 10, 10), ("smpl", 300, 16), ("smplh", 16, 10),
                                                        ("smplx", 400, 16), ("smplx", 20, 10)])  # fmt: skip
def test_joints_equal_those_of_the_smplx_package(tmp_path: Path, family: str, ndir: int, nbeta: int) -> None:
    """Equal to float32, to which smplx rounds its arrays; it also limits SMPL-H to 10 coefficients (0.1.28)."""
    import smplx  # pyright: ignore[reportMissingImports]
    import torch  # pyright: ignore[reportMissingImports]
    from smplx.lbs import blend_shapes, vertices2joints  # pyright: ignore[reportMissingImports]

    model = synthetic_model(family, ndir=ndir, nvertex=300)
    njoint, nvertex = model.regressor.shape
    rest = {
        "f": np.array([[0, 1, 2]]), "posedirs": np.zeros((nvertex, 3, 9 * (njoint - 1))),
        "weights": np.full((nvertex, njoint), 1.0 / njoint),
        "lmk_faces_idx": np.zeros(51, dtype=np.int64), "lmk_bary_coords": np.ones((51, 3)) / 3,
        "dynamic_lmk_faces_idx": np.zeros((79, 17), dtype=np.int64),
        "dynamic_lmk_bary_coords": np.ones((79, 17, 3)) / 3,
        **{f"hands_components{side}": np.eye(45) for side in "lr"},
        **{f"hands_mean{side}": np.zeros(45) for side in "lr"},
    }  # fmt: skip
    path = tmp_path / f"{family.upper()}_NEUTRAL.npz"
    write_npz(path, model, **rest)
    if family == "smpl":  # smplx loads SMPL from a pickle only
        with np.load(path) as archive:
            content = dict(archive)
        path = path.with_suffix(".pkl")
        path.write_bytes(pickle.dumps(content))
    settings = {"num_betas": nbeta, "dtype": torch.float64} | ({"ext": "npz"} if family != "smpl" else {})
    theirs = {"smpl": smplx.SMPL, "smplh": smplx.SMPLH, "smplx": smplx.SMPLX}[family](str(path), **settings)
    betas = torch.linspace(-2.0, 2.0, nbeta, dtype=torch.float64)[None]
    shaped = theirs.v_template + blend_shapes(betas, theirs.shapedirs)
    expected = vertices2joints(theirs.J_regressor, shaped)[0].numpy()
    np.testing.assert_allclose(load_body_model(path).joints(betas[0].numpy()), expected, rtol=0, atol=1e-6)


# Untrusted folders


def test_damaged_archive_is_refused_by_name(tmp_path: Path) -> None:
    """The cases are those of motions, because both use the same archive reader."""
    model = synthetic_model("smplh", ndir=16)
    path = tmp_path / "male.npz"
    write_npz(path, model)
    whole = path.read_bytes()
    objects = np.array([{}], dtype=object)
    cases = {
        "cut": whole[: len(whole) // 2], "empty": b"", "page": b"<html>", "pickle": b"\x80\x04N.",
        "objects": npz_bytes(v_template=objects, shapedirs=model.dirs, J_regressor=model.regressor),
        "text": npz_bytes(v_template=np.array("x"), shapedirs=model.dirs, J_regressor=model.regressor),
        "complex": npz_bytes(v_template=model.template * 1j, shapedirs=model.dirs, J_regressor=model.regressor),
        "no directions": npz_bytes(v_template=model.template, shapedirs=model.dirs[:, :, :0],
                                   J_regressor=model.regressor),
        "no vertices": npz_bytes(v_template=model.template[:0], shapedirs=model.dirs[:0],
                                 J_regressor=model.regressor[:, :0]),
        "scalar": npz_bytes(v_template=np.float64(1), shapedirs=model.dirs, J_regressor=model.regressor),
        "huge": npz_bytes(v_template=model.template * 1e300, shapedirs=model.dirs * 1e300,
                          J_regressor=model.regressor * 1e300),
    }  # fmt: skip
    for data in cases.values():
        path.write_bytes(data)
        with pytest.raises(BodyModelError, match=r"male\.npz"):
            load_body_model(path)


def npz_bytes(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_zip_bomb_is_refused_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = synthetic_model("smplh", ndir=16)
    monkeypatch.setattr("musclemap.skeletons.smpl.body_model.MAX_ELEMENTS", 10_000)
    write_npz(tmp_path / "male.npz", model)
    assert load_body_model(tmp_path / "male.npz").gender == "male"
    write_npz(tmp_path / "male.npz", model, v_template=np.zeros((10_001, 3), np.int8))
    with pytest.raises(BodyModelError, match=r"male\.npz.*v_template"):
        load_body_model(tmp_path / "male.npz")


LINKS = ("/dev/zero", "nowhere", "male.npz", "male.pkl")  # the last two link to themselves or to nothing
NO_FILES: list[Callable[[Path], None]] = [os.mkfifo, os.mkdir]
NO_FILES += [lambda path, to=to: os.symlink(to, path) for to in LINKS]


@pytest.mark.parametrize("make", NO_FILES)
@pytest.mark.parametrize("name", ["male.npz", "male.pkl"])
def test_irregular_files_are_refused_immediately(tmp_path: Path, make: Callable[[Path], None], name: str) -> None:
    make(tmp_path / name)
    with pytest.raises(BodyModelError, match=name):
        load_body_model(tmp_path / name)
    assert find_body_models(tmp_path) == (() if (tmp_path / name).is_dir() else (tmp_path / name,))


def test_too_large_files_are_refused_before_reading(tmp_path: Path) -> None:
    for name in ("male.npz", "male.pkl"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**42)
        with pytest.raises(BodyModelError, match=f"{name} has 4398046511104 bytes"):
            load_body_model(tmp_path / name)
    assert len(find_body_models(tmp_path)) == 2


def test_damaged_body_model_in_a_folder_is_listed(tmp_path: Path) -> None:
    """Otherwise another model would be used silently. Damaged files that are not body models are ignored."""
    model = synthetic_model("smplh", ndir=16)
    write_npz(tmp_path / "male.npz", model)
    write_smpl_pkl(tmp_path / "female.pkl", synthetic_model("smpl", ndir=10))
    np.savez(tmp_path / "motion.npz", poses=np.zeros((3, 156)))
    for name in ("male.npz", "female.pkl", "motion.npz"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.npz").write_text("<html>")
    assert [path.name for path in find_body_models(tmp_path)] == ["female.pkl", "male.npz"]
    for path in find_body_models(tmp_path):
        with pytest.raises(BodyModelError, match=path.name):
            load_body_model(path)


def test_key_is_found_across_the_boundary_of_two_reads(tmp_path: Path) -> None:
    for before in range(2**20 - 14, 2**20 + 2):
        (tmp_path / "male.pkl").write_bytes(b"J_regressor" + bytes(before - 11) + b"v_templateshapedirs" + b".")
        assert find_body_models(tmp_path) == (tmp_path / "male.pkl",)


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    write_npz(tmp_path / "elsewhere" / "male.npz", synthetic_model("smplh", ndir=16))
    (tmp_path / "models" / "a").mkdir(parents=True)
    (tmp_path / "models" / "smplh").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "models" / "a" / "up").symlink_to(tmp_path / "models")
    (tmp_path / "models" / "itself").symlink_to("itself")
    assert find_body_models(tmp_path / "models") == (tmp_path / "models" / "smplh" / "male.npz",)


def test_unreadable_files_are_named_and_folders_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_npz(tmp_path / "male.npz", synthetic_model("smplh", ndir=16))
    (tmp_path / "locked").mkdir()
    open_file, scandir = os.open, os.scandir

    def no_file(path: Path, *arguments: int) -> int:
        if Path(path).name == "male.npz":
            raise PermissionError(13, "Permission denied")
        return open_file(path, *arguments)

    def no_folder(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "open", no_file)
    monkeypatch.setattr(os, "scandir", no_folder)
    assert find_body_models(tmp_path) == (tmp_path / "male.npz",)
    assert "locked cannot be listed" in caplog.text
    with pytest.raises(BodyModelError, match=r"male\.npz cannot be read: Permission denied"):
        load_body_model(tmp_path / "male.npz")
    with pytest.raises(BodyModelError, match="locked cannot be listed"):
        find_body_models(tmp_path / "locked")


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), AssertionError(), OSError(5, "I/O error")])
def test_any_error_becomes_a_body_model_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    write_npz(tmp_path / "male.npz", synthetic_model("smplh", ndir=16))

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("musclemap.skeletons.smpl.body_model._check_shapes", fails)
    with pytest.raises(BodyModelError, match=r"male\.npz"):
        load_body_model(tmp_path / "male.npz")
