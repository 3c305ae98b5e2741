import pyarrow
import pytest
from pyarrow import parquet

from bulk.tar_files import write_table
from everypose.bulk.sources import tables
from everypose.bulk.sources.tables import read_table
from everypose.errors import EveryposeError, UsageError


def read(path, root=None, column=None):
    with path.open("rb") as file:
        return list(read_table(file, "t.parquet", root or path.parent, column))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.parquet"


def test_bytes_are_named_by_their_row(path):
    write_table(path, image=[b"a", b"b", b"c", b"d"], label=[1, 2, 3, 4])
    assert read(path) == [("0", b"a"), ("1", b"b"), ("2", b"c"), ("3", b"d")]


def test_structures_of_hugging_face_data_sets(path):
    write_table(path, image=[{"bytes": b"a", "path": "x.jpg"}, {"bytes": None, "path": "y.jpg"}], text=["p", "q"])
    assert read(path) == [("0", b"a"), ("y.jpg", path.parent / "y.jpg")]


def test_paths_below_the_root(path, tmp_path):
    write_table(path, file_name=["a/1.jpg", "a/1.jpg", str(tmp_path / "2.jpg")])
    expected = [("a/1.jpg", tmp_path / "a/1.jpg"), ("a/1.jpg#2", tmp_path / "a/1.jpg")]
    assert read(path)[:2] == expected
    assert read(path)[2] == (str(tmp_path / "2.jpg"), tmp_path / "2.jpg")
    assert read(path, root="s3://bucket/set")[0] == ("a/1.jpg", "s3://bucket/set/a/1.jpg")


@pytest.mark.parametrize(
    "value", ["../x.jpg", "/etc/passwd", "a/../../x.jpg", "link/x.jpg", "http://host/x.jpg", "file:///etc/passwd", "\0"]
)
def test_paths_elsewhere_are_refused(path, tmp_path, value):
    (tmp_path / "link").symlink_to("/etc")
    write_table(path, path=[value])
    ((_, content),) = read(path)
    assert isinstance(content, EveryposeError)
    assert "does not lie below" in str(content)


@pytest.mark.parametrize(
    "value", ["../x.jpg", "/x.jpg", "s3://other/x.jpg", "zip://x::s3://bucket/set/a.zip", "a/../../x"]
)
def test_addresses_elsewhere_are_refused(path, value):
    write_table(path, path=[value])
    ((_, content),) = read(path, root="s3://bucket/set")
    assert isinstance(content, EveryposeError)


def test_empty_and_large_cells_are_recorded(path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_BYTES", 2)
    write_table(path, image=[b"ab", None, b"abc"])
    found = [content for _, content in read(path)]
    assert found[0] == b"ab"
    assert "t.parquet/1 is an empty cell" in str(found[1])
    assert "t.parquet/2 is too large" in str(found[2])


def test_the_column_is_chosen_and_not_guessed(path):
    write_table(path, image=[b"a"], mask=[b"m"], url=["u"])
    with pytest.raises(UsageError, match=r"several columns.*image, mask.*--column"):
        read(path)
    assert read(path, column="mask") == [("0", b"m")]
    with pytest.raises(UsageError, match="no column 'x'"):
        read(path, column="x")
    write_table(path, url=["u"], size=[1])
    with pytest.raises(UsageError, match="no column of images"):
        read(path)
    assert read(path, column="url") == [("u", path.parent / "u")]


def test_rows_are_read_in_small_batches(path):
    parquet.write_table(pyarrow.table({"image": [bytes([n]) for n in range(100)]}), path)
    assert [content for _, content in read(path)] == [bytes([n]) for n in range(100)]


def test_damaged_tables_are_one_error(path):
    write_table(path, image=[b"a" * 1000] * 50)
    content = path.read_bytes()
    for damaged in (content[:-3], content[: len(content) // 2], b"PAR1" + content[200:], b""):
        path.write_bytes(damaged)
        with pytest.raises(EveryposeError, match=r"t\.parquet is damaged, or not a Parquet file"):
            read(path)
