"""Evaluation of policies by the published protocol: rollouts and their scores."""
