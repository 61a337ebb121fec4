"""Joints of a body model of the SMPL family, from the files as their publishers give them out. No torch, no pickle run.

The joints of a shape are J = R (v + S beta), with R the regressor (njoint, nvertex), v the template (nvertex, 3) and S
the shape directions (nvertex, 3, nbeta). Both terms are linear in beta, so R v and R S are all that is kept: a few
kilobytes out of hundreds of megabytes.
"""

import hashlib
import mmap
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .array_pickle import dense, load_arrays
from .errors import BodyModelError
from .smpl import FAMILY_PARENTS

MAX_BETA = 16
"""Shape coefficients used at most: AMASS fits 16, and files of the later releases hold up to 300 directions."""

_KEYS = ("v_template", "shapedirs", "J_regressor")
_FAMILY_OF_NJOINT = {len(parents): family for family, parents in FAMILY_PARENTS.items()}
_GENDERS = {"neutral": "neutral", "n": "neutral", "male": "male", "m": "male", "female": "female", "f": "female"}
_OTHER_MODELS = ("mano", "flame", "smal")  # of a hand, a head, an animal, published next to these in the same format


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyModel:
    """What one body-model file says about joints.

    Attributes:
        file: Name of the file, without its folder.
        sha256: Hash of the file's bytes.
        family: "smpl", "smplh" or "smplx".
        gender: "neutral", "male" or "female".
        joint_template: Joints of the mean shape in the T-pose, shape (njoint, 3) [m]; y up, x to the left, z forward.
        joint_dirs: Their change with each shape coefficient, shape (njoint, 3, nbeta) [m], nbeta at most 16.
    """

    file: str
    sha256: str
    family: str
    gender: str
    joint_template: np.ndarray
    joint_dirs: np.ndarray

    @property
    def nbeta(self) -> int:
        """Number of shape coefficients the model understands."""
        return self.joint_dirs.shape[2]

    def joints(self, betas: np.ndarray) -> np.ndarray:
        """Rest positions of the joints of one subject.

        Args:
            betas: Shape coefficients, shape (n,). Fewer than nbeta are filled up with zeros; more are allowed where
                those beyond nbeta are zero.

        Returns:
            Positions in the T-pose, shape (njoint, 3) [m].

        Raises:
            BodyModelError: The coefficients are no vector of finite numbers, or more than the model has directions for.
        """
        betas = np.asarray(betas, dtype=np.float64)
        if betas.ndim != 1 or not np.all(np.isfinite(betas)):
            raise BodyModelError(f"betas must be a vector of finite numbers, not of shape {betas.shape}")
        if np.any(betas[self.nbeta :] != 0.0):
            raise BodyModelError(
                f"{len(betas)} shape coefficients given, but {self.file} has directions for {self.nbeta} only; "
                "use a release of the model with at least as many"
            )
        betas = betas[: self.nbeta]
        return self.joint_template + self.joint_dirs[:, :, : len(betas)] @ betas


def load_body_model(path: Path) -> BodyModel:
    """Read a body model, .npz or .pkl, exactly as downloaded.

    The family is told by the number of joints, the gender by the file's `gender` entry or else by its name or the
    name of the folder it lies in (`SMPL_FEMALE.pkl`, `basicModel_f_lbs_10_207_0_v1.0.0.pkl`, `male/model.npz`).

    Raises:
        BodyModelError: The file is missing or damaged, is not of the family, or does not tell its gender.
    """
    path = Path(path)
    if not path.is_file():
        raise BodyModelError(f"there is no body-model file {path}")
    content = _read(path)
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise BodyModelError(f"{path} is no body model of the SMPL family: it lacks {', '.join(missing)}")
    template, dirs, regressor = (dense(content[key], name=f"{key} in {path}") for key in _KEYS)
    _check_shapes(path, template, dirs, regressor)
    family = _family(path, content, len(regressor))
    dirs = dirs[:, :, : _shape_directions(family, dirs.shape[2])]
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return BodyModel(
        file=path.name,
        sha256=sha256,
        family=family,
        gender=_gender(path, content),
        joint_template=regressor @ template,
        joint_dirs=(regressor @ dirs.reshape(len(dirs), -1)).reshape(len(regressor), 3, -1),
    )


def find_body_models(folder: Path) -> tuple[Path, ...]:
    """List the files below a folder that hold a body model, sorted; a path to one file stands for itself.

    A file counts when it names the three arrays that are needed. Hands (MANO), heads (FLAME) and animals (SMAL), which
    come in the same archives and the same format, are left out by their names.

    Raises:
        BodyModelError: There is no such folder or file.
    """
    folder = Path(folder)
    if folder.is_file():
        return (folder,)
    if not folder.is_dir():
        raise BodyModelError(f"there is no folder of body models {folder}")
    return tuple(path for path in sorted(folder.rglob("*")) if path.is_file() and _looks_like_body_model(path))


def choose_body_model(models: Sequence[BodyModel], *, family: str, gender: str) -> BodyModel:
    """Pick the model for a motion: its own family, its gender or else neutral.

    Another family is never taken in its place. Each family has its own shape space, learnt from its own scans, so
    coefficients of one describe a body of unknown proportions in another. Of several that fit, the one with the most
    shape directions is taken, then the first by file name and hash.

    Raises:
        BodyModelError: None fits; the message lists those there are.
    """
    for wanted in dict.fromkeys((gender, "neutral")):
        fitting = [model for model in models if (model.family, model.gender) == (family, wanted)]
        if fitting:
            return min(fitting, key=lambda model: (-model.nbeta, model.file, model.sha256))
    found = ", ".join(f"{m.file} ({m.family}, {m.gender})" for m in models) or "none at all"
    raise BodyModelError(
        f"no body model for family {family}, gender {gender} (nor neutral); found: {found}. "
        "Shape coefficients of one family mean nothing in another"
    )


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".pkl":
        with path.open("rb") as stream:
            return load_arrays(stream, name=str(path))
    if path.suffix != ".npz":
        raise BodyModelError(f"{path} is neither .npz nor .pkl")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {key: archive[key] for key in (*_KEYS, "kintree_table", "gender") if key in archive.files}
    except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise BodyModelError(f"{path} cannot be read: {error}") from error


def _check_shapes(path: Path, template: np.ndarray, dirs: np.ndarray, regressor: np.ndarray) -> None:
    nvertex = len(template)
    good = template.shape == (nvertex, 3) and dirs.ndim == 3 and dirs.shape[:2] == (nvertex, 3)
    if not (good and regressor.ndim == 2 and regressor.shape[1] == nvertex):
        raise BodyModelError(
            f"the arrays of {path} do not fit together: v_template {template.shape}, shapedirs {dirs.shape}, "
            f"J_regressor {regressor.shape}; expected (nvertex, 3), (nvertex, 3, nbeta), (njoint, nvertex)"
        )
    if not all(np.all(np.isfinite(array)) for array in (template, dirs, regressor)):
        raise BodyModelError(f"{path} holds numbers that are not finite")


def _family(path: Path, content: Mapping[str, Any], njoint: int) -> str:
    if njoint not in _FAMILY_OF_NJOINT:
        known = ", ".join(f"{n} ({family})" for n, family in sorted(_FAMILY_OF_NJOINT.items()))
        raise BodyModelError(f"{path} has {njoint} joints; a body of the SMPL family has {known}")
    family = _FAMILY_OF_NJOINT[njoint]
    if "kintree_table" in content:
        tree = dense(content["kintree_table"], name=f"kintree_table in {path}")
        if tree.shape != (2, njoint) or tuple(tree[0, 1:]) != FAMILY_PARENTS[family][1:]:
            raise BodyModelError(f"the joints of {path} hang together otherwise than those of {family}")
    return family


def _shape_directions(family: str, ndir: int) -> int:
    """How many of a file's directions are of shape: SMPL-X files hold 300 before those of expression, early ones 10."""
    if family == "smplx" and ndir < 300:
        return min(ndir, 10)
    return min(ndir, MAX_BETA)


def _gender(path: Path, content: Mapping[str, Any]) -> str:
    entry = np.asarray(content.get("gender", "")).ravel()
    label = entry[0] if entry.size == 1 else ""
    label = label.decode("latin1") if isinstance(label, bytes) else str(label)
    for text in (label, path.stem, path.parent.name):
        said = {_GENDERS[word] for word in re.split(r"[^a-z]+", text.lower()) if word in _GENDERS}
        if len(said) == 1:
            return said.pop()
    raise BodyModelError(
        f"{path} does not tell its gender; put neutral, male or female into the name of the file or of its folder"
    )


def _looks_like_body_model(path: Path) -> bool:
    if path.name.lower().startswith(_OTHER_MODELS):
        return False
    if path.suffix == ".npz" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return {f"{key}.npy" for key in _KEYS} <= set(archive.namelist())
    if path.suffix == ".pkl" and path.stat().st_size > 0:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return all(content.find(key.encode()) >= 0 for key in _KEYS)
    return False
