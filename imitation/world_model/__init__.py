"""Learning through a model of the body's dynamics. Imports `ppo` for its networks."""
