"""Learning through a model of the body's dynamics. May import `ppo` for its networks."""
