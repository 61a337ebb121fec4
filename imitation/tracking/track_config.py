"""Settings of a tracking run, all in one tree: what `mm-track --set` changes and what a track's file keeps."""

from dataclasses import field

from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.settings import settings

from .config import TrackingConfig


@settings
class TrackConfig:
    """Settings of a run.

    Attributes:
        tracking: The search for excitations.
        physics: The simulation, with locked fingers unless it says otherwise.
    """

    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    physics: PhysicsConfig = field(default_factory=lambda: PhysicsConfig(hands="locked"))
