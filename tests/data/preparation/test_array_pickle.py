"""Pickle files as data: arrays and plain values, and nothing else."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from everypose.data.preparation.array_pickle import read_array_pickle
from everypose.errors import EveryposeError

VALUES = {
    "poses": [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3))],
    "bytes": np.arange(3, dtype=np.uint8),
    "big": np.arange(3.0).astype(">f4"),
    "flags": np.array([True, False]),
    "names": np.array(["ab", "c"]),
    "number": np.float64(2.5),
    "plain": [1, -70000, 2**40, 0.25, "text", None, True, (1, 2), {}],
}

# A Python 2 pickle, protocol 2: {"a": array([1.5, -2.0])}; written out because Python 3 writes arrays differently.
PYTHON_2 = (
    b"\x80\x02}q\x00U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87R"
    b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89T\x10\x00\x00\x00" + np.array([1.5, -2.0]).tobytes() + b"tbs."
)


def equal(found, expected):
    if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            equal(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            equal(one, other)
    else:
        assert found == expected


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_and_plain_values_are_read(tmp_path, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(VALUES, protocol))
    equal(read_array_pickle(path), VALUES)


def test_python_2_files_are_read(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(PYTHON_2)
    equal(read_array_pickle(path), {"a": np.array([1.5, -2.0])})
    assert pickle.loads(PYTHON_2, encoding="latin1")["a"].tolist() == [1.5, -2.0]


class Attack:
    """Runs a command when a file with it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_executed(tmp_path, protocol):
    ran = tmp_path / "ran"
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": Attack(ran)}, protocol))
    with pytest.raises(EveryposeError, match=r"which is not read|do not need") as raised:
        read_array_pickle(path)
    assert not ran.exists()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(np.array([{}, 1], dtype=object)),
        pickle.dumps(OrderedDict(a=1)),
        pickle.dumps({1, 2}),
        pickle.dumps([1, 2])[:-1],
        b"\x80\x02cnumpy\nndarray\n\x85R.",
        b"\x80\x02h\x05.",
        b"no pickle",
        b"",
    ],
)
def test_other_content_is_one_line(tmp_path, content):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(EveryposeError, match=r"a\.pkl") as raised:
        read_array_pickle(path)
    assert "\n" not in str(raised.value)


def test_a_container_that_is_repeated_is_not_copied_each_time(tmp_path):
    value = []
    for _ in range(60):
        value = [value, value]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value, 4))
    found = read_array_pickle(path)
    assert found[0] is found[1]
