"""Annotated images: files to scenes, readers for each format, checks and repairs."""
