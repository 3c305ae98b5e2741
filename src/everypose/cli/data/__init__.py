"""The commands under ``everypose data``."""
