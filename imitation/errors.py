"""Errors of training, of policy files and of tracking."""

from musclemap.errors import MusclemapError


class TrainingError(MusclemapError):
    """There is no data to train on, or a run cannot continue; the message gives the cause and a remedy."""


class PolicyError(MusclemapError):
    """A policy file is damaged, has another format, or was trained on another body; the message says which."""


class TrackingError(MusclemapError):
    """A clip cannot be tracked as it is; the message gives the cause and a remedy."""
