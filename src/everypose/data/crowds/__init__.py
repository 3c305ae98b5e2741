"""Composed crowds: people cut out of photos and pasted together so that they overlap."""
