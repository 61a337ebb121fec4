"""What can be wrong with what is asked of the trainer."""

from musclemap.errors import MusclemapError


class TrainingError(MusclemapError):
    """There is nothing to learn from, or a run cannot go on; the message says why and what would do."""


class PolicyError(MusclemapError):
    """A policy's file is damaged, of another format, or of a body that is not the one here; the message says which."""
