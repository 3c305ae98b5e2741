"""The small PoseFix: how it was trained and what it changes in the results of the bundled models."""
