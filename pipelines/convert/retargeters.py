"""The retargeter of a conversion, made in whatever process converts."""

from pathlib import Path
from typing import Any

from musclemap.errors import BodyModelError
from musclemap.retarget.config import RetargetConfig
from musclemap.skeletons.smpl.body_model import find_body_models, load_body_model

from .batch import BatchRetargeter


def make_retargeter(config: RetargetConfig, *, body_models: Path | None, device: Any) -> BatchRetargeter:
    """The real one, with every body model of a folder.

    Raises:
        BodyModelError: A body model cannot be read, or there is none in the folder.
    """
    from musclemap.retarget.retargeter import Retargeter  # imports JAX: after everything that can fail at once

    paths = find_body_models(body_models) if body_models is not None else ()
    if body_models is not None and not paths:
        raise BodyModelError(f"no body model of the SMPL family below {body_models}")
    return Retargeter(config, body_models=tuple(load_body_model(path) for path in paths), device=device)
