"""When models are trained for the agents."""
