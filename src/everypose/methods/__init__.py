"""The published methods, one package each, and what single-stage and top-down methods share."""
