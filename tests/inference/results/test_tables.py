import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from everypose.errors import EveryposeError, MissingDependencyError
from everypose.inference.results import FrameResult, read_results
from everypose.inference.results.csv_table import CsvWriter
from everypose.inference.results.parquet_table import ParquetWriter, read_parquet
from everypose.models.identity import ModelIdentity, identify_model
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from inference.results.made import COCO, people, photos, same, video

WRITERS = {"csv": CsvWriter, "parquet": ParquetWriter}


def write(path, results, *, wide=False):
    with WRITERS[path.suffix[1:]](path, wide=wide) as writer:
        for result in results:
            writer.add(result)
    return path


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("wide", [False, True], ids=["long", "wide"])
@pytest.mark.parametrize("results", [video(), video(tracked=False), photos()], ids=["tracked", "video", "photos"])
def test_a_table_reads_back_exactly(tmp_path, suffix, wide, results):
    assert same(results, list(read_results(write(tmp_path / f"t.{suffix}", results, wide=wide))))


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99)), min_size=1, max_size=4),
    st.booleans(),
    st.text(max_size=8),
)
def test_any_table_reads_back_exactly(tmp_path_factory, frames, wide, file):
    name = "".join(char for char in file if char.isprintable()) or "clip"
    results = [FrameResult(name, people(seed, count), frame=i, time=i / 7) for i, (count, seed) in enumerate(frames)]
    folder = tmp_path_factory.mktemp("tables")
    for suffix in WRITERS:
        assert same(results, list(read_results(write(folder / f"t.{suffix}", results, wide=wide))))


@pytest.mark.parametrize("suffix", WRITERS)
def test_pandas_reads_what_was_written(tmp_path, suffix):
    path = write(tmp_path / f"t.{suffix}", video())
    table = pandas.read_csv(path) if suffix == "csv" else pandas.read_parquet(path)
    assert list(table.columns) == [
        "file", "frame", "time_s", "person", "track_id", "person_score", "box_x1", "box_y1", "box_x2", "box_y2",
        "skeleton", "keypoint", "x", "y", "score",
    ]  # fmt: skip
    assert len(table) == (2 + 0 + 1 + 3) * 17
    row = table[(table.frame == 3) & (table.track_id == 7) & (table.keypoint == "left_wrist")].iloc[0]
    person = video()[3].people[1]
    np.testing.assert_allclose([row.x, row.y, row.score], person["left_wrist"], rtol=1e-6)
    np.testing.assert_allclose([row.time_s, row.person_score], [4 / 30, person.score], rtol=1e-6)
    np.testing.assert_allclose(row[["box_x1", "box_y1", "box_x2", "box_y2"]].astype(float), person.box, rtol=1e-6)
    assert (row.file, row.skeleton, row.person) == ("clips/a, b.mp4", "coco", 1)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_wide_table_in_pandas(tmp_path, suffix):
    path = write(tmp_path / f"t.{suffix}", photos(), wide=True)
    table = pandas.read_csv(path) if suffix == "csv" else pandas.read_parquet(path)
    assert len(table) == 4
    assert table.track_id.isna().all()
    assert table.frame.isna().all()
    np.testing.assert_allclose(table.nose_x[2], photos()[1].people[0]["nose"][0], rtol=1e-6)


def test_types_of_a_parquet_file(tmp_path):
    schema = parquet.read_schema(write(tmp_path / "t.parquet", video()))
    assert schema.field("x").type == pyarrow.float32()
    assert schema.field("time_s").type == pyarrow.float64()
    assert schema.field("track_id").type == pyarrow.int64()


def test_a_parquet_file_names_the_weights(tmp_path):
    identity = identify_model("boir-lite")
    path = tmp_path / "t.parquet"
    with ParquetWriter(path) as writer:
        writer.state_model(identity)
        for result in video():
            writer.add(result)
    stored = parquet.read_schema(path).metadata[b"everypose.model"]
    assert ModelIdentity.model_validate_json(stored) == identity
    assert identity.sha256 is not None
    assert len(list(read_parquet(path))) == len(list(read_parquet(write(tmp_path / "plain.parquet", video()))))


def test_people_as_a_table():
    some = video()[3].people
    long, wide = pandas.DataFrame(some.to_table()), pandas.DataFrame(some.to_table(wide=True))
    assert (len(long), len(wide)) == (3 * 17, 3)
    assert long[long.person == 2].track_id.unique().tolist() == [3]
    for index, person in enumerate(some):  # the literal twin
        for name in COCO.keypoints:
            x, y, score = person[name]
            found = long[(long.person == index) & (long.keypoint == name)].iloc[0]
            assert (found.x, found.y, found.score) == (x, y, score)
            assert tuple(wide.iloc[index][[f"{name}_x", f"{name}_y", f"{name}_score"]]) == (x, y, score)
    assert "track_id" not in people(0, 1).to_table()
    assert len(pyarrow.table(People.empty(COCO).to_table())) == 0


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_table_without_people_has_a_header(tmp_path, suffix):
    path = write(tmp_path / f"t.{suffix}", [])
    assert list(read_results(path)) == []
    table = pandas.read_csv(path) if suffix == "csv" else pandas.read_parquet(path)
    assert "keypoint" in table.columns


def test_a_skeleton_of_ones_own_keeps_its_names(tmp_path):
    skeleton = Skeleton("mine", ("tip", "tail"), (), ((0, 1),), None)
    result = FrameResult("x.mp4", people(0, 1, skeleton=skeleton), frame=0, time=0.0)
    read = next(read_results(write(tmp_path / "t.csv", [result])))
    assert read.people.skeleton.keypoints == ("tip", "tail")
    assert np.array_equal(read.people.keypoints, result.people.keypoints)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_wide_table_of_two_skeletons_is_refused(tmp_path, suffix):
    results = [FrameResult("x", people(0, 1)), FrameResult("x", people(0, 1, skeleton=Skeleton.named("mpii")))]
    with pytest.raises(EveryposeError, match="different skeletons"):
        write(tmp_path / f"t.{suffix}", results, wide=True)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no column 'file'"),
        ("a,b\n1,2\n", "no column 'file'"),
        (
            "file,frame,time_s,person,track_id,person_score,box_x1,box_y1,box_x2,box_y2,skeleton\n",
            "no columns of keypoints",
        ),
    ],
)
def test_a_csv_that_is_no_table(tmp_path, content, reason):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(EveryposeError, match=rf"t\.csv is not a table of everypose: .*{reason}"):
        list(read_results(tmp_path / "t.csv"))


def test_a_damaged_row_is_named(tmp_path):
    path = write(tmp_path / "t.csv", video())
    lines = path.read_text().splitlines(keepends=True)
    lines[5] = lines[5].replace(",coco,", ",coco,x,x,")
    path.write_text("".join(lines))
    with pytest.raises(EveryposeError, match=r"t\.csv: clips/a, b\.mp4, frame 0, is not a table of people"):
        list(read_results(path))


def test_the_last_rows_of_a_broken_copy_are_ignored(tmp_path):
    path = write(tmp_path / "t.csv", video())
    whole = list(read_results(path))
    content = path.read_bytes()
    for cut in (1, 40, 400):
        path.write_bytes(content[:-cut])
        assert same(whole[:-1], list(read_results(path)))


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"text")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(EveryposeError, match=r"t\.parquet is not a Parquet file"):
        list(read_results(tmp_path / "t.parquet"))
    with pytest.raises(EveryposeError, match=r"t\.csv is not a CSV file in UTF-8"):
        list(read_results(tmp_path / "t.csv"))
    with pytest.raises(EveryposeError, match=r"cannot read .*none\.csv: No such file"):
        list(read_results(tmp_path / "none.csv"))
    with pytest.raises(EveryposeError, match=r"none\.parquet"):
        list(read_results(tmp_path / "none.parquet"))


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'everypose\[tables\]'"):
        ParquetWriter(tmp_path / "t.parquet")


@pytest.mark.skipif(os.name == "nt", reason="limits of open files are POSIX")
def test_more_parts_than_a_process_may_have_open(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("everypose.inference.results.parquet_table.PART_SECONDS", -1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = len(list(Path("/dev/fd").iterdir())) + 10
    writer = ParquetWriter(tmp_path / "t.parquet")
    for _ in range(allowed):
        writer.add(video()[3])
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    try:
        read = list(read_results(tmp_path / "t.parquet.parts"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        writer.close()
    assert sum(len(result.people) for result in read) == 3 * allowed


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from inference.results.made import video
from everypose.inference.results.csv_table import CsvWriter
from everypose.inference.results.parquet_table import ParquetWriter, read_parquet
folder = Path({folder!r})
writers = [CsvWriter(folder / "t.csv"), ParquetWriter(folder / "t.parquet")]
result = video()[3]
while True:
    for writer in writers:
        writer.add(result)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_killed_run_leaves_complete_rows(tmp_path):
    script = KILLED.format(path=[path for path in sys.path if path], folder=str(tmp_path))
    run = subprocess.Popen([sys.executable, "-c", script])
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("t.parquet.parts/part-*")) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    content = (tmp_path / "t.csv").read_text()
    # This loop does little but write, so that the system may cut the line being written: it is then the last one.
    rows = list(csv.reader(content[: content.rindex("\n")].splitlines()))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) > 3 * 17
    parts = tmp_path / "t.parquet.parts"
    assert len(pandas.read_parquet(parts)) % (3 * 17) == 0
    assert len(list(read_results(tmp_path / "t.csv"))) >= 1
