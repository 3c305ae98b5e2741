"""Large sets of images in independent shards: each writes Parquet parts, resumes, and is checked and merged later."""

from everypose.bulk.actor import PoseActor

__all__ = ["PoseActor"]
