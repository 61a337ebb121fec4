"""Body models are read exactly, from every published format, and never executed."""

import importlib.util
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from musclemap.skeletons.body_model import (
    BodyModel,
    choose_body_model,
    find_body_models,
    load_body_model,
)
from musclemap.skeletons.errors import BodyModelError

from .body_model_files import (
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


def test_smplh_npz_is_cut_at_sixteen(tmp_path: Path) -> None:
    model = synthetic_model("smplh", ndir=20)
    write_npz(tmp_path / "male" / "model.npz", model)
    assert_reads_back(tmp_path / "male" / "model.npz", model, gender="male", nbeta=16)


def test_smplx_npz_directions_of_expression_are_not_taken_for_shape(tmp_path: Path) -> None:
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


def test_gender_entry_goes_before_the_name(tmp_path: Path) -> None:
    model = synthetic_model("smplh", ndir=16)
    for k, entry in enumerate((np.str_("male"), np.bytes_(b"male"), np.array(["male"]))):
        write_npz(tmp_path / f"{k}_female.npz", model, gender=entry)
        assert load_body_model(tmp_path / f"{k}_female.npz").gender == "male"
    write_npz(tmp_path / "body.npz", model)
    with pytest.raises(BodyModelError, match="does not tell its gender"):
        load_body_model(tmp_path / "body.npz")


def test_fewer_betas_are_filled_with_zeros_and_more_are_refused(tmp_path: Path) -> None:
    write_npz(tmp_path / "male.npz", synthetic_model("smplh", ndir=16))
    model = load_body_model(tmp_path / "male.npz")
    np.testing.assert_array_equal(model.joints(np.zeros(0)), model.joint_template)
    np.testing.assert_allclose(model.joints(BETAS), model.joints(np.pad(BETAS, (0, 6))), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(model.joints(np.pad(BETAS, (0, 90))), model.joints(np.pad(BETAS, (0, 6))))
    with pytest.raises(BodyModelError, match="directions for 16 only"):
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
    assert marker.exists(), "the payload must work in an ordinary unpickler, else this test shows nothing"
    marker.unlink()
    for k, payload in enumerate(hostile):
        path = tmp_path / f"SMPL_MALE_{k}.pkl"
        path.write_bytes(payload)
        with pytest.raises(BodyModelError, match=r"no array type; nothing of it was run"):
            load_body_model(path)
    assert not marker.exists()


def test_stand_ins_run_nothing_whatever_the_class_is_called(tmp_path: Path) -> None:
    """`chumpy.os.system` is an attribute that chumpy would have; here it is a stand-in like any other."""
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


def test_damage_is_one_clear_error(tmp_path: Path) -> None:
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
    with pytest.raises(BodyModelError, match="hang together otherwise"):
        load_body_model(tmp_path / "male.npz")
    write_npz(tmp_path / "male.npz", model, v_template=model.template[:-1])
    with pytest.raises(BodyModelError, match="do not fit together"):
        load_body_model(tmp_path / "male.npz")


def test_finding_takes_bodies_only(tmp_path: Path) -> None:
    smplh, smpl = synthetic_model("smplh", ndir=16), synthetic_model("smpl", ndir=10)
    write_npz(tmp_path / "smplh" / "male" / "model.npz", smplh)
    write_smpl_pkl(tmp_path / "smpl" / "SMPL_FEMALE.pkl", smpl)
    write_smpl_pkl(tmp_path / "mano" / "MANO_LEFT.pkl", smpl)
    np.savez(tmp_path / "smplh" / "motion.npz", poses=np.zeros((3, 156)))
    (tmp_path / "smpl" / "other.pkl").write_bytes(pickle.dumps({"verts": 1}))
    (tmp_path / "smpl" / "empty.pkl").touch()
    (tmp_path / "LICENSE.txt").write_text("terms")
    found = find_body_models(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ["smpl/SMPL_FEMALE.pkl", "smplh/male/model.npz"]
    assert find_body_models(found[0]) == (found[0],)
    with pytest.raises(BodyModelError, match="there is no folder"):
        find_body_models(tmp_path / "absent")


def made_up(family: str, gender: str, *, file: str = "model.npz", nbeta: int = 16) -> BodyModel:
    template, dirs = np.zeros((2, 3)), np.zeros((2, 3, nbeta))
    return BodyModel(file=file, sha256="", family=family, gender=gender, joint_template=template, joint_dirs=dirs)


def test_choice_is_exact_gender_then_neutral_then_an_error_that_lists() -> None:
    male, neutral = made_up("smplh", "male"), made_up("smplh", "neutral")
    models = (made_up("smpl", "female", file="b.pkl"), neutral, male)
    assert choose_body_model(models, family="smplh", gender="male") is male
    assert choose_body_model(models, family="smplh", gender="female") is neutral
    with pytest.raises(BodyModelError, match=r"smplx, gender female.*b\.pkl \(smpl, female\), model\.npz"):
        choose_body_model(models, family="smplx", gender="female")
    with pytest.raises(BodyModelError, match="none at all"):
        choose_body_model((), family="smplx", gender="female")


def test_choice_does_not_depend_on_the_order() -> None:
    few, many = made_up("smpl", "male", file="a.pkl", nbeta=10), made_up("smpl", "male", file="b.pkl", nbeta=16)
    assert choose_body_model((few, many), family="smpl", gender="male") is many
    assert choose_body_model((many, few), family="smpl", gender="male") is many


NEEDS_SMPLX = pytest.mark.skipif(
    importlib.util.find_spec("smplx") is None, reason="smplx is not installed; it comes with the extra [smpl]"
)


@NEEDS_SMPLX
@pytest.mark.filterwarnings("ignore")  # theirs, at import
@pytest.mark.parametrize(("family", "ndir", "nbeta"), [("smpl", 10, 10), ("smpl", 300, 16), ("smplh", 16, 10),
                                                        ("smplx", 400, 16), ("smplx", 20, 10)])  # fmt: skip
def test_joints_equal_those_of_the_smplx_package(tmp_path: Path, family: str, ndir: int, nbeta: int) -> None:
    """Equal to float32, which smplx rounds its arrays to; it also cuts SMPL-H to 10 coefficients (0.1.28)."""
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
    if family == "smpl":  # their loader takes SMPL as a pickle only
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
