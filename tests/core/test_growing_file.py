"""Files that grow: whole records at any time."""

import json
import os
import sys
from contextlib import contextmanager

import pytest

from everypose.core.growing_file import GrowingFile
from everypose.errors import EveryposeError


@contextmanager
def largest_file(size):
    """Files that cannot grow beyond ``size`` bytes, as on a full disk: a part of a write is written."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are Unix's")
@pytest.mark.parametrize("room", range(8, 30))
def test_a_full_disk_leaves_whole_records(tmp_path, room):
    path = tmp_path / "list.json"
    with GrowingFile(path) as file:
        file.append(b"[]")
        file.append(b"[\n1111\n]", replacing=1 + 1)
        with largest_file(room):
            for number in (2222, 3333):
                try:
                    file.append(b",\n%d\n]" % number, replacing=2)
                except EveryposeError as error:
                    assert os.strerror(27) in str(error)  # noqa: PT017
                    break
        assert json.loads(path.read_bytes()) == [1111, 2222, 3333][: 1 + (room >= 14) + (room >= 20)]
        file.append(b",\n4444\n]", replacing=2)
    assert json.loads(path.read_bytes())[-1] == 4444
