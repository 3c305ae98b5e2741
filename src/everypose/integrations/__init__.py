"""Everypose in tools for labeling and viewing data. Each module imports its tool only when it is used."""
