"""Tars and Parquet tables of the tests."""

import io
import tarfile

import cv2
import pyarrow
from pyarrow import parquet

from inference.stand_in import crowd


def png(green):
    """The bytes of an image with one person of this score."""
    return cv2.imencode(".png", crowd([(0, 0, green)] if green else [])[..., ::-1])[1].tobytes()


def tar_of(members, compression=""):
    """The bytes of a tar with these (name, content) members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_table(path, /, **columns):
    """Write a Parquet table in small row groups."""
    parquet.write_table(pyarrow.table(columns), path, row_group_size=3)
