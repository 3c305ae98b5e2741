import os
from pathlib import Path

import fsspec
import pytest

from bulk.tar_files import png, tar_of, write_table
from everypose.bulk.addresses import find_addresses, read_address
from everypose.bulk.items import Item, pixels_of_item, read_item
from everypose.bulk.process import process_items
from everypose.bulk.shards import Shard
from everypose.bulk.sources import Archive, Sources, TableOptions, find_sources
from everypose.data.tars import expand_range
from everypose.errors import EveryposeError, UsageError
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from inference.stand_in import StandIn, config

FILES = {
    "a.png": png(50),
    "sub/b.png": png(60),
    "sub/.hidden.png": b"",
    "notes.txt": b"",
    "notes.gz": b"",
    "set-000.tar": tar_of([("1.png", png(70)), ("1.json", b"{}"), ("2.png", png(80))]),
    "set-001.tar.gz": tar_of([("1.png", png(90))], "gz"),
}
IMAGES = ["a.png", "sub/b.png"]
ARCHIVES = ["set-000.tar", "set-001.tar.gz", "t.parquet"]
ITEMS = ["a.png", "sub/b.png", "set-000.tar/1.png", "set-000.tar/2.png", "set-001.tar.gz/1.png", "t.parquet/0"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, content in FILES.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write_table(tmp_path / "set/t.parquet", image=[png(100)])
    monkeypatch.chdir(tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture
def store(folder):
    system = fsspec.filesystem("memory")
    system.store.clear()
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"/bucket/{path.relative_to(folder)}", path.read_bytes())
    yield "memory://bucket"
    system.store.clear()


def find(sources, listed=(), **options):
    return find_sources(sources, listed, out=Path("out"), quiet=True, **options)


def scores(sources):
    estimator = SingleStageEstimator(StandIn(), ModelConfig.model_validate(config()), batch_size=2)
    results = process_items(estimator, sources.items())
    return {one.key: one.problem or [round(float(score) * 255) for score in one.people.scores] for one in results}


def test_a_folder_with_images_and_archives(folder):
    found = find([str(folder)])
    assert list(found.images) == [f"{folder}/{name}" for name in IMAGES]
    assert [archive.key for archive in found.archives] == [f"{folder}/{name}" for name in ARCHIVES]
    assert list(scores(found).values()) == [[50], [60], [70], [80], [90], [100]]


def test_globs_lists_and_number_ranges(folder):
    assert list(find(["*.png"]).images) == ["a.png"]
    assert list(find(["-"], [b"sub\n", b"\n", b"a.png\n", b"sub/b.png\n"]).images) == ["sub/b.png", "a.png"]
    found = find(["set-{000..000}.tar", str(folder / "set-000.tar")])
    assert [archive.key for archive in found.archives] == ["set-000.tar"]
    for wrong in (
        "{3..1}.tar",
        "{0..99999999}.tar",
        "{0..9999}{0..9999}{0..9999}.tar",
        "{1..2}{2..1}",
        "{0..999999999999999999}",
    ):
        with pytest.raises(UsageError):
            expand_range(wrong)
    assert expand_range("{1..2}-{09..10}") == ["1-09", "1-10", "2-09", "2-10"]
    assert expand_range("a.tar") == ["a.tar"]


@pytest.mark.usefixtures("folder")
def test_what_is_missing_is_named():
    for wrong in ("nowhere", "*.jpg", "memory://nowhere/at/all", "unknown-scheme://x", "memory://a::file://b"):
        with pytest.raises(EveryposeError):
            find([wrong])
    with pytest.raises(UsageError, match="no image is named"):
        find(["-"], [])


def test_object_stores(store):
    found = find([store])
    assert list(found.images) == [f"memory:///bucket/{name}" for name in IMAGES]
    assert [item.key for item in found.items()] == [f"memory:///bucket/{name}" for name in ITEMS]
    assert list(scores(found).values()) == [[50], [60], [70], [80], [90], [100]]
    assert list(find([f"{store}/*.png"]).images) == ["memory:///bucket/a.png"]
    assert list(find([f"{store}/sub/b.png"]).images) == ["memory:///bucket/sub/b.png"]
    with pytest.raises(EveryposeError, match=r"memory://bucket/x\.png does not exist"):
        read_address(f"{store}/x.png")


def test_the_file_system_of_this_machine_as_addresses(folder):
    assert find_addresses(f"file://{folder}/sub", {".png"}) == [f"file://{folder}/sub/b.png"]
    assert read_address(f"file://{folder}/a.png") == FILES["a.png"]


def test_files_of_a_store_are_bounded(store, monkeypatch):
    monkeypatch.setattr("everypose.bulk.addresses.MOST_BYTES", 20)
    with pytest.raises(EveryposeError, match="more than 0 MB"):
        read_address(f"{store}/a.png")


@pytest.mark.usefixtures("store")
def test_tables_of_paths_in_a_store(folder):
    write_table(folder / "paths.parquet", path=["a.png", "sub/b.png", "../bucket2/a.png"])
    fsspec.filesystem("memory").pipe_file("/lists/paths.parquet", (folder / "paths.parquet").read_bytes())
    options = TableOptions(root="memory://bucket")
    found = scores(find(["memory://lists/paths.parquet"], table=options))
    assert [one for one in found.values() if isinstance(one, list)] == [[50], [60]]
    assert "does not lie below memory://bucket" in found["memory:///lists/paths.parquet/../bucket2/a.png"]


def test_shards_share_out_all_images_and_archives():
    archives = [Archive(f"{number:02d}.tar", "") for number in range(10)]
    sources = Sources({f"{number}.jpg": "" for number in range(50)}, archives)
    shards = [sources.of_shard(Shard(index, 4)) for index in range(4)]
    assert sorted(key for shard in shards for key in shard.images) == sorted(sources.images)
    assert sorted(len(shard.archives) for shard in shards) == [2, 2, 3, 3]
    assert sorted(each.key for shard in shards for each in shard.archives) == [each.key for each in archives]


def test_keys_of_sources():
    sources = Sources({"a.jpg": "a.jpg"}, [Archive("x/s.tar", "x/s.tar")])
    assert all(sources.has(key) for key in ("a.jpg", "x/s.tar", "x/s.tar/a/b.jpg"))
    assert not any(sources.has(key) for key in ("b.jpg", "x", "x/s.tar2/a.jpg", "s.tar/a.jpg"))


def test_damage_and_pipes_are_results(folder):
    (folder / "broken.tar").write_bytes(FILES["set-000.tar"][:2600])
    (folder / "text.tar").write_text("no tar" * 500)
    (folder / "broken.parquet").write_bytes(b"PAR1")
    os.mkfifo(folder / "pipe.png")
    items = [item.key for item in find(["broken.tar", "text.tar", "broken.parquet"]).items()]
    assert items == ["broken.parquet", "broken.tar/1.png", "broken.tar", "text.tar"]
    sources = Sources({"pipe.png": "pipe.png"}, [Archive("pipe.png.tar", "pipe.png")])
    assert all("named pipe" in problem for problem in scores(sources).values())


def test_items():
    assert pixels_of_item(Item("a", png(3))) == 64 * 64
    assert pixels_of_item(Item("a", b"no image")) == pixels_of_item(Item("a", EveryposeError("x"))) == 0
    with pytest.raises(EveryposeError, match=r"a/1\.jpg is not an image"):
        read_item(Item("a/1.jpg", b"no image"))
