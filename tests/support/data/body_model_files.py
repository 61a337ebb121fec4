"""Synthetic body models in their publishers' formats, for tests: no real model may be shipped.

The pickles are written as Python 2 wrote them: byte strings for text and array data, numpy under its old names, and
objects of chumpy and scipy.sparse, neither of which needs to be installed under those names.
"""

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from musclemap.skeletons.smpl.joints import FAMILY_PARENTS


@dataclass(frozen=True, kw_only=True)
class PickledObject:
    """An object to write to a pickle although its class does not exist here.

    Attributes:
        qualname: Module and class, such as "chumpy.ch.Ch".
        state: Content of its __dict__.
        reconstructor: Write it with copy_reg._reconstructor, as protocols 0 and 1 do, instead of the opcode NEWOBJ.
    """

    qualname: str
    state: dict[str, Any]
    reconstructor: bool = False


class _Python2Pickler(pickle._Pickler):
    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)
    write: Callable[[bytes], Any]
    save: Callable[[Any], None]

    def _text(self, text: str | bytes) -> None:
        data = text.encode("latin1") if isinstance(text, str) else text
        self.write(b"T" + struct.pack("<i", len(data)) + data)  # BINSTRING

    def _object(self, item: PickledObject) -> None:
        module, _, name = item.qualname.rpartition(".")
        kind = f"c{module}\n{name}\n".encode()  # GLOBAL
        if item.reconstructor:
            self.write(b"ccopy_reg\n_reconstructor\n(" + kind + b"c__builtin__\nobject\nNtR")  # called with a triple
        else:
            self.write(kind + b")\x81")  # EMPTY_TUPLE, NEWOBJ
        self.save(item.state)
        self.write(b"b")  # BUILD

    dispatch[str] = _text
    dispatch[bytes] = _text
    dispatch[PickledObject] = _object


def write_python2_pickle(path: Path, content: object) -> None:
    """Write a pickle of protocol 2 as Python 2 with a numpy of that time did."""
    with path.open("wb") as stream:
        _Python2Pickler(stream, protocol=2).dump(content)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.", b"cnumpy.core."))


@dataclass(frozen=True, kw_only=True)
class SyntheticModel:
    """Arrays of a synthetic body model.

    Attributes:
        family: "smpl", "smplh" or "smplx".
        template: Vertices, shape (nvertex, 3) [m].
        dirs: Shape directions, and for SMPL-X those of expression after them, shape (nvertex, 3, ndir) [m].
        regressor: Weights of the vertices in each joint, shape (njoint, nvertex); each row adds up to one.
    """

    family: str
    template: np.ndarray
    dirs: np.ndarray
    regressor: np.ndarray

    @property
    def tree(self) -> np.ndarray:
        """Parents and joints, shape (2, njoint); the root's parent is -1 cast to unsigned, as in real files."""
        parents = FAMILY_PARENTS[self.family]
        return np.array([parents, range(len(parents))], dtype=np.int64).astype(np.uint32)

    def joints(self, betas: np.ndarray) -> np.ndarray:
        """Joints by their definition: shape the vertices first, then regress."""
        return self.regressor @ (self.template + self.dirs[:, :, : len(betas)] @ betas)


def synthetic_model(family: str, *, ndir: int, nvertex: int = 60, seed: int = 0) -> SyntheticModel:
    """Create a body model of random arrays; each joint depends on five vertices."""
    rng = np.random.default_rng(seed)
    njoint = len(FAMILY_PARENTS[family])
    regressor = np.zeros((njoint, nvertex))
    for row in regressor:
        row[rng.choice(nvertex, 5, replace=False)] = rng.dirichlet(np.ones(5))
    return SyntheticModel(
        family=family,
        template=rng.normal(size=(nvertex, 3)),
        dirs=0.1 * rng.normal(size=(nvertex, 3, ndir)),
        regressor=regressor,
    )


def write_npz(path: Path, model: SyntheticModel, **entries: Any) -> None:
    """Write a model in the format of SMPL-H and SMPL-X for AMASS: plain arrays, a dense regressor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"v_template": model.template, "shapedirs": model.dirs, "J_regressor": model.regressor}
    np.savez(path, **{"kintree_table": model.tree, **arrays, **entries})


def write_smpl_pkl(path: Path, model: SyntheticModel, *, wrapping: str = "Ch", reconstructor: bool = False) -> None:
    """Write a model in the format of SMPL: a Python 2 pickle with chumpy objects and a sparse regressor.

    Args:
        path: File to write.
        model: Model to write.
        wrapping: chumpy object around the shape directions: "Ch", or "Select", which selects them from a larger array.
        reconstructor: See PickledObject.
    """
    path.parent.mkdir(parents=True, exist_ok=True)

    def constant(array: np.ndarray) -> PickledObject:
        state = {"x": array, "_dirty_vars": {"x"}, "_itr": None, "_status": "new", "_depends_on_deps": {}}
        return PickledObject(qualname="chumpy.ch.Ch", state=state, reconstructor=reconstructor)

    dirs = constant(model.dirs)
    if wrapping == "Select":
        nvertex, _, ndir = model.dirs.shape
        wide = np.concatenate([model.dirs, np.full((nvertex, 3, 2), 9.0)], axis=2)
        idxs = np.arange(wide.size).reshape(wide.shape)[:, :, :ndir].ravel()
        state = {"a": constant(wide), "idxs": idxs, "preferred_shape": model.dirs.shape}
        dirs = PickledObject(qualname="chumpy.reordering.Select", state=state, reconstructor=reconstructor)
    csc = sparse.csc_matrix(model.regressor)
    parts = {"data": csc.data, "indices": csc.indices, "indptr": csc.indptr, "_shape": csc.shape, "maxprint": 50}
    regressor = PickledObject(qualname="scipy.sparse.csc.csc_matrix", state=parts, reconstructor=reconstructor)
    write_python2_pickle(
        path,
        {"v_template": model.template, "shapedirs": dirs, "J_regressor": regressor, "kintree_table": model.tree,
         "bs_style": "lbs", "weights": constant(np.ones((2, 2)))},
    )  # fmt: skip
