"""Reads for the API and for pages: one module per subject."""
