"""Selection of the clips of one body from a folder that holds clips of several."""

from collections.abc import Sequence
from pathlib import Path

from musclemap.datasets.clip import read_clip
from musclemap.errors import SettingsError
from musclemap.failures import Failure, attempt
from musclemap.pipelines.wording import counted


def clips_of_body(paths: Sequence[Path], body: str | None) -> list[Path]:
    """Those of some clips that were made for a body; one that cannot be read is kept, so that it is reported later.

    Args:
        paths: Files of the clips.
        body: A key of `BODY_OPTIONS`, or None for the clips of any body.

    Raises:
        SettingsError: If no clip is of the body, or there is no such body; the message lists those that exist.
    """
    if body is None:
        return list(paths)
    from musclemap.skeletons.bodies import BODY_OPTIONS  # here because it imports MuJoCo

    if body not in BODY_OPTIONS:
        raise SettingsError(f"there is no body {body!r}; the bodies are: {', '.join(BODY_OPTIONS)}")
    kept, others = [], set()
    for path in paths:
        clip = attempt(lambda path=path: read_clip(path))
        if isinstance(clip, Failure) or clip.model == BODY_OPTIONS[body]:
            kept.append(path)
        else:
            others.add(clip.model)
    if not kept:
        clips = counted(len(paths), "clip")
        raise SettingsError(f"none of {clips} is of {BODY_OPTIONS[body]}; they are of {', '.join(others)}")
    return kept
