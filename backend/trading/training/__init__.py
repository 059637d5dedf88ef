"""Training of the models that the agents use."""
