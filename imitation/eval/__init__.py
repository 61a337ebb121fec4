"""How well a policy tracks: rollouts by the published protocol and their scores."""
