"""Folder of recorded episodes for a world model's replay buffer; `episode_files` describes the files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musclemap.datasets.downloads.transport import sha256_of
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.world_model.episode_files import Episodes, read_episodes
from musclemap.pipelines.wording import counted


@dataclass(frozen=True, kw_only=True)
class EpisodeFolder:
    """A folder with files of episodes.

    Attributes:
        folder: The folder.
        files: SHA-256 of each file, by name.
    """

    folder: Path
    files: Mapping[str, str]

    @property
    def facts(self) -> dict[str, Any]:
        """Facts for run.json; a run resumes only with the same files, wherever they are."""
        return {"folder": str(self.folder), "files": dict(self.files)}


def find_episodes(folder: Path) -> EpisodeFolder:
    """List the files of episodes in a folder.

    Raises:
        TrainingError: If there are none.
    """
    paths = sorted(path for path in folder.glob("*.npz") if path.is_file()) if folder.is_dir() else []
    if not paths:
        raise TrainingError(f"there are no recorded episodes in {folder}: it has no .npz file")
    return EpisodeFolder(folder=folder.resolve(), files={path.name: sha256_of(path) or "" for path in paths})


def load_episodes(
    recorded: EpisodeFolder, body: SimulationBody, *, on_message: Callable[[str], None]
) -> list[Episodes]:  # fmt: skip
    """Read all files of a folder.

    Raises:
        TrainingError: If a file is damaged or of another body.
    """
    episodes = [read_episodes(recorded.folder / name, body) for name in recorded.files]
    count = sum(int(item.length.sum()) for item in episodes)
    on_message(f"{count:,} recorded steps in {counted(len(episodes), 'file')} of {recorded.folder}")
    return episodes
