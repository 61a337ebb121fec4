"""Construction of the retargeter in the process that converts."""

from pathlib import Path
from typing import Any

from musclemap.errors import BodyModelError
from musclemap.retarget.config import RetargetConfig
from musclemap.skeletons.smpl.body_model import find_body_models, load_body_model

from .batch import BatchRetargeter
from .subject_retargeter import SubjectRetargeter


def make_retargeter(config: RetargetConfig, *, body_models: Path | None, device: Any) -> BatchRetargeter:
    """Make a `Retargeter` with every body model of a folder.

    Raises:
        BodyModelError: If a body model cannot be read or the folder has none.
    """
    from musclemap.retarget.retargeter import Retargeter  # imports JAX: only after the arguments have been checked

    paths = find_body_models(body_models) if body_models is not None else ()
    if body_models is not None and not paths:
        raise BodyModelError(f"no body model of the SMPL family below {body_models}")
    models = tuple(load_body_model(path) for path in paths)
    if config.body.subjects or config.body.scale == "body":
        return SubjectRetargeter(config, body_models=models, device=device)
    return Retargeter(config, body_models=models, device=device)
