"""Live markets: polling, quotes and refresh requests."""
