"""Data set formats beside COCO: reading them as COCO content, and writing them."""
