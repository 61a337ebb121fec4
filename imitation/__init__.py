"""Reinforcement learning of policies that track reference clips."""
