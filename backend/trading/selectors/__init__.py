"""Reads for the API and the pages, one module per subject."""
