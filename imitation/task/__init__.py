"""The tracking task: references, observation, reward, episodes. Knows no algorithm."""
