"""The tracking task: references, observations, rewards, episodes. Must not depend on any algorithm."""
