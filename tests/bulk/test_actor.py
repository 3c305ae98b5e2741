"""The actor of pipelines, without an engine; shards of runs on Ray."""

import sys

import cv2
import numpy as np
import pytest

from everypose.bulk import PoseActor
from everypose.bulk.ray_run import ActorPool, all_shards, run_shards
from everypose.bulk.shards import Shard
from everypose.bulk.sources import find_sources
from everypose.errors import MissingDependencyError, UsageError
from inference.stand_in import crowd, write_model


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        people = [(0, 0, 50 + number)] if number % 3 else []
        assert cv2.imwrite(str(folder / f"{number}.png"), crowd(people)[..., ::-1])
    (folder / "broken.png").write_bytes(b"no image")
    return sorted(folder.iterdir())


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "stand_in.onnx")


def test_paths_bytes_and_arrays_give_the_same_people(photos, model):
    names = [str(path) for path in photos]
    by_path = PoseActor(model, threads=1)({"path": np.array(names)})
    of_bytes = {"key": names, "content": [path.read_bytes() for path in photos]}
    by_bytes = PoseActor(model, "key", image="content", threads=1)(of_bytes)
    rows = np.array(by_path["problem"]) == ""
    assert [name for name in by_path if not np.array_equal(by_path[name][rows], by_bytes[name][rows])] == []
    pixels = [cv2.imread(str(path))[..., ::-1] for path in photos[:-1]]
    by_array = PoseActor(model, "key", image="pixels", threads=1)({"key": names[:-1], "pixels": pixels})
    assert [name for name in by_array if not np.array_equal(by_array[name], by_path[name][rows])] == []


def test_an_unreadable_image_has_one_row_with_the_reason(photos, model):
    table = PoseActor(model, rows="people", threads=1)({"path": [str(path) for path in photos]})
    assert {len(column) for column in table.values()} == {5}
    assert table["person"].tolist() == [0, 0, 0, 0, -1]
    assert "broken.png" in table["problem"][-1]
    assert np.isnan(table["person_score"][-1])
    assert not np.isnan(table["nose_x"][:-1]).any()


def test_images_of_a_large_batch_are_read_a_few_ahead_of_the_network(photos, model, monkeypatch):
    actor = PoseActor(model, threads=1, batch_size=1)
    read, prepare, ahead, table = [], actor.estimator.prepare, [], actor._table
    monkeypatch.setattr(actor.estimator, "prepare", lambda image: read.append(image) or prepare(image))
    monkeypatch.setattr(actor, "_table", lambda *row: ahead.append(len(read) - len(ahead)) or table(*row))
    actor({"path": [str(photos[1])] * 40})
    assert len(ahead) == 40
    assert max(ahead) < 20


def test_a_batch_without_people_has_typed_columns(photos, model):
    table = PoseActor(model, threads=1)({"path": [str(photos[0])]})
    assert {len(column) for column in table.values()} == {0}
    assert table["x"].dtype == np.float32
    with pytest.raises(UsageError, match="no column 'path', only name"):
        PoseActor(model, threads=1)({"name": ["a"]})


def test_all_shards_of_a_run(photos, tmp_path):
    sources = find_sources([str(photos[0].parent)], out=tmp_path / "out", quiet=True)
    assert all_shards(sources, tmp_path / "out") == [Shard(0, 1)]
    assert all_shards(sources, tmp_path / "out", 3) == [Shard(0, 3), Shard(1, 3), Shard(2, 3)]
    many = {f"{number}.jpg": "" for number in range(640)}
    assert len(all_shards(type(sources)(many), tmp_path / "out")) == 10


def test_ray_is_named_if_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="ray"):
        run_shards(lambda: None, lambda *_: None, [Shard(0, 1)], pool=ActorPool(), quiet=True)  # type: ignore[arg-type,return-value]
