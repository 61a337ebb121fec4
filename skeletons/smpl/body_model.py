"""Joints of a body model of the SMPL family, read from the published files without torch and without running pickles.

The joints of a shape are J = R (v + S beta), with the regressor R (njoint, nvertex), the template v (nvertex, 3) and
the shape directions S (nvertex, 3, nbeta). Both terms are linear in beta, so only R v and R S are kept: a few kilobytes
out of hundreds of megabytes.
"""

import hashlib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from musclemap.errors import BodyModelError, FileError
from musclemap.failures import Failure, attempt
from musclemap.files import open_regular, read_bytes
from musclemap.folders import find_files
from musclemap.npz_arrays import NpzArrays, open_archive, text_of

from .array_pickle import MAX_ELEMENTS, MAX_PICKLE_BYTES, array, dense, load_arrays
from .joints import FAMILY_PARENTS
from .pickle_machine import Record

MAX_BETA = 16
"""Maximum number of shape coefficients: AMASS fits 16, and files of later releases hold up to 300 directions."""

MAX_FILE_BYTES = MAX_PICKLE_BYTES
"""Largest file of a body model [B]; the largest published ones have 550 MB."""

MAX_NUMBER = 1e6
"""Largest plausible number in a body model [m]; a larger one means that the file holds other data."""

_KEYS = ("v_template", "shapedirs", "J_regressor")
_PIECE = 2**20
_LOGGER = logging.getLogger(__name__)
_FAMILY_OF_NJOINT = {len(parents): family for family, parents in FAMILY_PARENTS.items()}
_GENDERS = {"neutral": "neutral", "n": "neutral", "male": "male", "m": "male", "female": "female", "f": "female"}
_OTHER_MODELS = ("mano", "flame", "smal")  # a hand, a head, an animal, published with these in the same format


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyModel:
    """Joints of one body-model file.

    Attributes:
        file: Name of the file, without its folder.
        sha256: Hash of the file's bytes.
        family: "smpl", "smplh" or "smplx".
        gender: "neutral", "male" or "female".
        joint_template: Joints of the mean shape in the T-pose, shape (njoint, 3) [m]; y up, x to the left, z forward.
        joint_dirs: Change of the joints per shape coefficient, shape (njoint, 3, nbeta) [m], nbeta at most 16.
    """

    file: str
    sha256: str
    family: str
    gender: str
    joint_template: np.ndarray
    joint_dirs: np.ndarray

    @property
    def nbeta(self) -> int:
        """Number of shape coefficients of the model."""
        return self.joint_dirs.shape[2]

    def joints(self, betas: np.ndarray) -> np.ndarray:
        """Rest positions of the joints of one subject.

        Args:
            betas: Shape coefficients, shape (n,). Fewer than nbeta are padded with zeros; any beyond nbeta must be
                zero.

        Returns:
            Positions in the T-pose, shape (njoint, 3) [m].

        Raises:
            BodyModelError: If the coefficients are not a finite vector, or exceed the model's directions.
        """
        betas = np.asarray(betas, dtype=np.float64)
        if betas.ndim != 1 or not np.all(np.isfinite(betas)):
            raise BodyModelError(f"betas must be a vector of finite numbers, not of shape {betas.shape}")
        if np.any(betas[self.nbeta :] != 0.0):
            raise BodyModelError(
                f"{len(betas)} shape coefficients were given, but {self.file} has directions for only {self.nbeta}; "
                "use a release of the model with at least as many"
            )
        betas = betas[: self.nbeta]
        return self.joint_template + self.joint_dirs[:, :, : len(betas)] @ betas


def load_body_model(path: Path) -> BodyModel:
    """Read a body model, .npz or .pkl, as published.

    The number of joints determines the family. The gender comes from the file's `gender` entry, or else from the name
    of the file or its folder (`SMPL_FEMALE.pkl`, `basicModel_f_lbs_10_207_0_v1.0.0.pkl`, `male/model.npz`).

    Raises:
        BodyModelError: If the file is missing or damaged, is not of the family, or has no gender. Every fault of the
            file raises this error.
    """
    path = Path(path)
    outcome = attempt(lambda: _load(path))
    if not isinstance(outcome, Failure):
        return outcome
    if isinstance(outcome.error, BodyModelError):
        raise outcome.error
    names_path = str(path) in outcome.message
    message = outcome.message if names_path else f"{path} cannot be read: {outcome.message}"
    raise BodyModelError(message) from outcome.error


def _load(path: Path) -> BodyModel:
    if not os.path.lexists(path):
        raise BodyModelError(f"there is no body-model file {path}")
    data = read_bytes(path, limit=MAX_FILE_BYTES)
    content = _read(path, data)
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise BodyModelError(f"{path} is not a body model of the SMPL family: it lacks {', '.join(missing)}")
    template, dirs, regressor = (dense(content[key], name=f"{key} in {path}") for key in _KEYS)
    _check_shapes(path, template, dirs, regressor)
    family = _family(path, content, len(regressor))
    dirs = dirs[:, :, : _shape_directions(family, dirs.shape[2])]
    return BodyModel(
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        family=family,
        gender=_gender(path, content),
        joint_template=regressor @ template,
        joint_dirs=(regressor @ dirs.reshape(len(dirs), -1)).reshape(len(regressor), 3, -1),
    )


def find_body_models(folder: Path) -> tuple[Path, ...]:
    """List the body-model files below a folder, sorted; a path to a file gives that file.

    A file is a candidate if it names the three required arrays. Hands (MANO), heads (FLAME) and animals (SMAL), which
    are published in the same archives and format, are excluded by name. A file that cannot be examined is listed, so
    that `load_body_model` reports its fault instead of another model being used silently. Links are followed. A folder
    that cannot be listed is skipped with a warning in the log.

    Raises:
        BodyModelError: If the folder or file does not exist or cannot be listed.
    """
    folder = Path(folder)
    try:
        if folder.is_file():
            return (folder,)
        if not folder.is_dir():
            raise BodyModelError(f"there is no folder of body models {folder}")
        files, unlisted = find_files(folder, accept=_may_be_body_model)
    except (FileError, OSError) as error:
        raise BodyModelError(f"{folder} cannot be searched for body models: {error}") from error
    for path in unlisted:
        _LOGGER.warning("%s cannot be listed; body models in it are not used", path)
    return tuple(path for path in sorted(files) if _looks_like_body_model(path))


def choose_body_model(models: Sequence[BodyModel], *, family: str, gender: str) -> BodyModel:
    """Select the model for a motion: same family, same gender or else neutral.

    Another family is never substituted. Each family has its own shape space, learnt from its own scans, so its
    coefficients describe a body of unknown proportions in another family. Among several candidates, the one with the
    most shape directions is selected, then the first by file name and hash.

    Raises:
        BodyModelError: If no model matches; the message lists the available ones.
    """
    for candidate in dict.fromkeys((gender, "neutral")):
        matching = [model for model in models if (model.family, model.gender) == (family, candidate)]
        if matching:
            return min(matching, key=lambda model: (-model.nbeta, model.file, model.sha256))
    available = ", ".join(f"{m.file} ({m.family}, {m.gender})" for m in models) or "none at all"
    raise BodyModelError(
        f"no body model for family {family}, gender {gender} (nor neutral); found: {available}. "
        "Shape coefficients are not transferable between families"
    )


def _read(path: Path, data: bytes) -> Mapping[str, Any]:
    if path.suffix == ".pkl":
        return load_arrays(data, name=str(path))
    if path.suffix != ".npz":
        raise BodyModelError(f"{path} is neither .npz nor .pkl")
    arrays = NpzArrays(data, limit=8 * MAX_ELEMENTS)
    numbers = {key: arrays.numbers(key) for key in (*_KEYS, "kintree_table") if key in arrays}
    return numbers | ({"gender": arrays.array("gender")} if "gender" in arrays else {})


def _check_shapes(path: Path, template: np.ndarray, dirs: np.ndarray, regressor: np.ndarray) -> None:
    nvertex = len(template) if template.ndim else 0
    consistent = template.shape == (nvertex, 3) and dirs.ndim == 3 and dirs.shape[:2] == (nvertex, 3)
    if not (consistent and dirs.size and regressor.ndim == 2 and regressor.shape[1] == nvertex):
        raise BodyModelError(
            f"the arrays of {path} are inconsistent: v_template {template.shape}, shapedirs {dirs.shape}, "
            f"J_regressor {regressor.shape}; expected (nvertex, 3), (nvertex, 3, nbeta), (njoint, nvertex)"
        )
    for part in (template, dirs, regressor):
        if not (part.min(initial=0.0) >= -MAX_NUMBER and part.max(initial=0.0) <= MAX_NUMBER):
            raise BodyModelError(f"{path} holds numbers that are not finite, or beyond {MAX_NUMBER:g}")


def _family(path: Path, content: Mapping[str, Any], njoint: int) -> str:
    if njoint not in _FAMILY_OF_NJOINT:
        known = ", ".join(f"{n} ({family})" for n, family in sorted(_FAMILY_OF_NJOINT.items()))
        raise BodyModelError(f"{path} has {njoint} joints; a body of the SMPL family has {known}")
    family = _FAMILY_OF_NJOINT[njoint]
    if "kintree_table" in content:
        tree = dense(content["kintree_table"], name=f"kintree_table in {path}")
        if tree.shape != (2, njoint) or tuple(tree[0, 1:]) != FAMILY_PARENTS[family][1:]:
            raise BodyModelError(f"the joints of {path} are connected differently from those of {family}")
    return family


def _shape_directions(family: str, ndir: int) -> int:
    """Number of shape directions in a file: SMPL-X files have 300 before those of expression, early ones 10."""
    if family == "smplx" and ndir < 300:
        return min(ndir, 10)
    return min(ndir, MAX_BETA)


def _gender(path: Path, content: Mapping[str, Any]) -> str:
    label = content.get("gender", "")
    if isinstance(label, Record | np.ndarray):
        label = text_of(array(label, name=f"gender in {path}"))
    label = label.decode("latin-1") if isinstance(label, bytes) else label if isinstance(label, str) else ""
    for text in (label, path.stem, path.parent.name):
        genders = {_GENDERS[word] for word in re.split(r"[^a-z]+", text.lower()) if word in _GENDERS}
        if len(genders) == 1:
            return genders.pop()
    raise BodyModelError(
        f"{path} does not state its gender; put neutral, male or female into the name of the file or of its folder"
    )


def _may_be_body_model(name: str) -> bool:
    return name.endswith((".npz", ".pkl")) and not name.lower().startswith(_OTHER_MODELS)


def _looks_like_body_model(path: Path) -> bool:
    try:
        with open_regular(path, limit=MAX_FILE_BYTES) as stream:
            return _names_arrays(stream, packed=path.suffix == ".npz")
    except FileError:
        return True


def _names_arrays(stream: BinaryIO, *, packed: bool) -> bool:
    """Whether a file names the three arrays; for a damaged file, which may be truncated, one is enough."""
    if packed:
        try:
            return {f"{key}.npy" for key in _KEYS} <= set(open_archive(stream).namelist())
        except FileError:
            stream.seek(0)
    found: set[str] = set()
    piece = tail = b""
    while len(found) < len(_KEYS) and (piece := stream.read(_PIECE)):
        found |= {key for key in _KEYS if key.encode() in tail + piece}
        tail = (tail + piece)[-max(map(len, _KEYS)) :]
    complete = not packed and tail.endswith(b".")
    return len(found) == len(_KEYS) or (bool(found) and not complete)
