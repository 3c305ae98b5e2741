"""Saved results of any format that says enough to be read without the images."""

from collections.abc import Iterator
from pathlib import Path

from everypose.errors import UsageError
from everypose.inference.results.coco import read_coco_results
from everypose.inference.results.csv_table import read_csv
from everypose.inference.results.openpose import read_openpose
from everypose.inference.results.parquet_table import read_parquet
from everypose.inference.results.record import FrameResult
from everypose.skeleton.skeleton import Skeleton


def read_results(path: Path, *, skeleton: Skeleton | None = None) -> Iterator[FrameResult]:
    """Yield the results of a table (CSV, Parquet), a COCO results list, or a folder of OpenPose files.

    >>> import numpy as np
    >>> from everypose.inference.results.csv_table import CsvWriter
    >>> from everypose.people import People
    >>> with CsvWriter(Path("results.csv")) as writer:
    ...     writer.add(FrameResult("a.jpg", People(np.ones((2, 17, 3)), [0.9, 0.8], Skeleton.named("coco"))))
    >>> for result in read_results(Path("results.csv")):
    ...     print(result.file, result.frame, len(result.people))
    a.jpg None 2

    Args:
        path: a ``.csv``, ``.parquet`` or ``.json`` file, or a folder.
        skeleton: what the keypoints of a COCO list are; the other formats say it.

    Raises:
        EveryposeError: if the file cannot be read or is not what its name says.
        UsageError: if the format is unknown, or a COCO list comes without a skeleton.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_csv(path)
    if suffix == ".parquet" or path.name.endswith(".parquet.parts"):
        return read_parquet(path)
    if suffix == ".json" and not path.name.endswith("_keypoints.json"):
        if skeleton is None:
            raise UsageError(f"{path}: a COCO results list does not say what its keypoints are: give a skeleton")
        return read_coco_results(path, skeleton)
    if path.is_dir() or suffix == ".json":
        return read_openpose(path)
    raise UsageError(
        f"cannot read results from {path}: give a .csv, .parquet or .json file, or a folder of OpenPose files"
    )
