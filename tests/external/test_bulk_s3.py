"""`everypose bulk` reads images, tars and tables from a server of the S3 protocol (``make test-bulk``)."""

import subprocess
import sys

import pytest

from bulk.tar_files import png, tar_of, write_table
from everypose.bulk.check import find_problems, shard_states
from everypose.bulk.merge import merge
from inference.stand_in import crowd, write_model

av = pytest.importorskip("av", reason="needs the environment of make test-bulk")
boto3 = pytest.importorskip("boto3", reason="needs the environment of make test-bulk")
pytest.importorskip("s3fs", reason="needs the environment of make test-bulk")
server = pytest.importorskip("moto.server", reason="needs the environment of make test-bulk")
parquet = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.filterwarnings("default")  # of botocore and moto

IMAGES = 40


@pytest.fixture
def store(monkeypatch):
    """A bucket with images, tars and a table of paths; the client of its server."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="photos")
    yield client
    running.stop()


def fill(client, tmp_path):
    def put(key, body):
        client.put_object(Bucket="photos", Key=key, Body=body)

    for number in range(IMAGES):
        put(f"set/{number}.png", png(100 + number))
    put("set/empty.png", b"")
    put("set/notes.txt", b"")
    for number in range(3):
        put(f"tars/{number}.tar", tar_of([(f"{each}.png", png(10 * number + each)) for each in range(1, 6)]))
    put("tars/3.tar", tar_of([("1.png", png(200)), ("2.png", png(201))])[:1700])
    write_table(tmp_path / "list.parquet", path=["set/1.png", "set/2.png", "set/missing.png", "../other/1.png"])
    put("list.parquet", (tmp_path / "list.parquet").read_bytes())


def run(tmp_path, out, *sources, shard="0/1", options=()):
    command = [sys.executable, "-m", "everypose", "bulk", "run", *sources, "-m", str(tmp_path / "stand_in.onnx")]
    command += ["--part", "7", "--shard", shard, "--out", str(tmp_path / out), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_shards_of_a_bucket_have_the_rows_of_one_run(store, tmp_path):
    fill(store, tmp_path)
    write_model(tmp_path / "stand_in.onnx")
    sources = ("s3://photos/set", "s3://photos/tars/{0..3}.tar", "s3://photos/list.parquet")
    whole = run(tmp_path, "one", *sources)
    assert whole.returncode == 1, whole.stderr  # failures are named
    for name in ("set/empty.png", "tars/3.tar", "set/missing.png", "../other/1.png"):
        assert f"photos/{name}" in whole.stderr or name in whole.stderr
    for index in range(3):
        run(tmp_path, "three", *sources, shard=f"{index}/3")
    tables = []
    for name in ("one", "three"):
        assert find_problems(tmp_path / name) == []
        merge(tmp_path / name, tmp_path / f"{name}.parquet")
        rows = parquet.read_table(tmp_path / f"{name}.parquet").to_pylist()
        tables.append(sorted(rows, key=lambda row: (row["file"], row["person"], row["keypoint"])))
    assert tables[0] == tables[1]
    files = {row["file"] for row in tables[0]}
    assert len(files) == IMAGES + 3 * 5 + 1 + 2
    assert {"s3://photos/set/7.png", "s3://photos/tars/3.tar/1.png", "s3://photos/list.parquet/set/1.png"} <= files
    assert sum(state.failed for state in shard_states(tmp_path / "one")) == 4


def test_a_video_in_a_bucket_has_the_rows_of_a_file(store, tmp_path):
    """Of segments in two shards, which are read from the middle of the object, with tracks."""
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.gop_size = 15
        for number in range(60):
            people = [(0, 0, 240), (1, 1, 220)] if number > 20 else [(0, 0, 240)]
            output.mux(stream.encode(av.VideoFrame.from_ndarray(crowd(people), format="rgb24")))
        output.mux(stream.encode())
    store.put_object(Bucket="photos", Key="videos/clip.mp4", Body=clip.read_bytes())
    write_model(tmp_path / "stand_in.onnx")
    options = ("--track", "--segment-seconds", "0.5")
    runs = [run(tmp_path, "file", str(clip), options=options)]
    runs += [
        run(tmp_path, "store", "s3://photos/videos/clip.mp4", shard=f"{index}/2", options=options) for index in range(2)
    ]
    assert [one.returncode for one in runs] == [0, 0, 0], runs
    tables = []
    for name in ("file", "store"):
        assert find_problems(tmp_path / name) == []
        merge(tmp_path / name, tmp_path / f"{name}.parquet")
        tables.append(parquet.read_table(tmp_path / f"{name}.parquet").to_pylist())
    assert {row.pop("file") for row in tables[0]} == {str(clip)}
    assert {row.pop("file") for row in tables[1]} == {"s3://photos/videos/clip.mp4"}
    assert tables[0] == tables[1]
    assert len({row["track_id"] for row in tables[0]}) == 2


@pytest.mark.usefixtures("store")
def test_a_missing_bucket_is_one_line(tmp_path):
    write_model(tmp_path / "stand_in.onnx")
    failed = run(tmp_path, "out", "s3://nowhere/at/all")
    assert failed.returncode in (1, 2)
    assert failed.stderr.startswith("everypose: ")
    assert failed.stderr.count("\n") == 1
    assert "s3://nowhere/at/all" in failed.stderr
