"""Data set formats other than COCO, read as COCO content and written from it."""
