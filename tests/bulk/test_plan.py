import json

import numpy as np
import pytest

from bulk.tar_files import png, tar_of, write_table
from everypose.bulk.check import ShardState
from everypose.bulk.measure import Stages, count_images, measure_images
from everypose.bulk.plan import Plan, bottleneck_of, compare, make_plan, read_plan
from everypose.bulk.segments import VideoSettings
from everypose.bulk.shards import Shard
from everypose.bulk.sources import Archive, Sources, find_sources
from everypose.errors import EveryposeError
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from inference.stand_in import StandIn, config, write_model
from video.clips import write_clip

NO_IMAGE = " not an image that can be read: it is damaged, or none of JPEG, PNG, WebP, BMP and TIFF"


@pytest.fixture
def folder(tmp_path):
    for number in range(20):
        path = tmp_path / "set" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(100 + number))
    return tmp_path / "set"


@pytest.fixture
def estimator():
    return SingleStageEstimator(StandIn(), ModelConfig.model_validate(config()), batch_size=2)


def plan(estimator, sources, **options):
    defaults = {"workers": 3, "sample": 8, "video": VideoSettings(), "start_seconds": 1.0}
    return make_plan(estimator, sources, **(defaults | options))


def test_a_plan_is_the_sum_over_the_shards(folder, estimator, tmp_path):
    (folder / "a.tar").write_bytes(tar_of([(f"{n}.png", png(9)) for n in range(7)]))
    write_clip(folder / "clip.mp4", 60, options={"sc_threshold": "0"})
    sources = find_sources([str(folder)], out=tmp_path / "out", segment_seconds=0.7, quiet=True)
    made = plan(estimator, sources, price_per_hour=2.0)
    assert (made.images, made.frames) == (27, 60)
    loads = []
    for index in range(3):
        own = sources.of_shard(Shard(index, 3))
        images = len(own.images) + 7 * len(own.archives)
        frames = sum(clip.segment.packets for clip in own.clips)
        loads.append(images * made.image_seconds + frames * made.frame_seconds)
    np.testing.assert_allclose(made.hours, max(loads) / 3600)
    np.testing.assert_allclose(made.mean_hours, np.mean(loads) / 3600)
    np.testing.assert_allclose(made.cost, 3 * 2.0 * (np.mean(loads) + 1.0) / 3600)
    assert made.bottleneck in made.stages
    assert made.memory_mb > 10
    assert plan(estimator, sources, video=VideoSettings(every=4)).frames == 15


def test_images_are_measured_and_damaged_ones_are_not(folder, estimator):
    (folder / "0.png").write_bytes(b"no image")
    sources = Sources({str(path): str(path) for path in folder.iterdir()})
    measured = measure_images(estimator, sources, 20)
    assert measured.sample == 19
    assert [problem.partition("0.png is")[2] for problem in measured.problems] == [NO_IMAGE]
    np.testing.assert_allclose(measured.megabytes, len(png(101)) / 1e6, rtol=0.2)
    assert measured.seconds > 0
    for path in folder.iterdir():
        path.write_bytes(b"")
    for measure in (lambda: measure_images(estimator, sources, 20), lambda: plan(estimator, sources, sample=20)):
        with pytest.raises(EveryposeError, match=r"none of 20 images of the sample .*: the image .*png is empty"):
            measure()


def test_a_plan_says_what_of_the_sample_cannot_be_read(folder, estimator, tmp_path):
    (folder / "3.png").write_bytes(b"no image")
    made = plan(estimator, Sources({str(path): str(path) for path in folder.iterdir()}), sample=20)
    assert made.lines()[-1].startswith("1 of the sample cannot be read, the first because: ")
    assert str(folder / "3.png") in made.lines()[-1]
    (tmp_path / "a.tar").write_bytes(tar_of([]))
    with pytest.raises(EveryposeError, match="no images"):
        plan(estimator, Sources({}, [Archive("a.tar", str(tmp_path / "a.tar"))]))


def test_videos_that_cannot_be_read(estimator, tmp_path):
    (tmp_path / "a").mkdir()
    write_clip(tmp_path / "a" / "good.mp4", 12)
    (tmp_path / "a" / "z.mp4").write_bytes(b"no video")
    made = plan(estimator, find_sources([str(tmp_path / "a")], out=tmp_path / "out", quiet=True))
    assert made.frame_seconds > 0
    assert str(tmp_path / "a" / "z.mp4") in made.sample_problems[0]
    (tmp_path / "a" / "good.mp4").write_bytes(b"")
    with pytest.raises(EveryposeError, match=r"none of 2 segments of the sample can be read, .*: .*z\.mp4"):
        plan(estimator, find_sources([str(tmp_path / "a")], out=tmp_path / "other", quiet=True))


def test_images_of_archives_are_counted_or_estimated(tmp_path):
    content = png(50)
    (tmp_path / "a.tar").write_bytes(tar_of([(f"{n}.png", content * (1 + n % 3)) for n in range(500)]))
    write_table(tmp_path / "t.parquet", image=[content] * 9)
    tar = Archive("a.tar", str(tmp_path / "a.tar"))
    assert count_images(tar, sample=1000) == 500
    assert 0.6 < count_images(tar, sample=20) / 500 < 1.4
    assert count_images(Archive("t.parquet", str(tmp_path / "t.parquet"))) == 9
    (tmp_path / "t.parquet").write_bytes(b"")
    assert count_images(Archive("t.parquet", str(tmp_path / "t.parquet"))) == 0


@pytest.mark.parametrize(
    ("seconds", "slowest"),
    [((9, 1, 2, 1), "reading"), ((1, 9, 2, 1), "decoding"), ((3, 3, 2, 1), "network"), ((1, 1, 1, 2), "writing")],
)
def test_bottleneck(seconds, slowest):
    assert bottleneck_of(Stages(*seconds), threads=4) == slowest


def made_plan(**changes):
    fields = {
        "images": 10, "frames": 0, "workers": 2, "image_seconds": 1.0, "frame_seconds": None, "hours": 0.5,
        "mean_hours": 0.25, "start_seconds": 3.0, "memory_mb": 100.0, "read_mb_per_second": 1.0,
        "bottleneck": "network", "stages": {"network": 1.0}, "price_per_hour": None,
    }  # fmt: skip
    return Plan(**(fields | changes))


def test_comparison_with_the_run():
    finished = [
        ShardState(Shard(index, 2), 5, 5, finished=True, seconds=seconds, peak_mb=90.0 + 20 * index)
        for index, seconds in enumerate((900.0, 2700.0))
    ]
    assert compare(made_plan(), finished) == [
        "planned: 30.0 min (mean 15.0 min), 100 MB, 2 workers",
        "measured: 45.0 min (mean 30.0 min), 110 MB, 2 shards",
        "measured time is 150 % of the plan, memory 110 %",
    ]
    assert compare(made_plan(workers=3), finished)[-1] == "the plan is for another number of workers"
    assert compare(made_plan(), [finished[0], ShardState(Shard(1, 2))])[-1] == "the run is not finished"


def test_commands(folder, tmp_path, everypose):
    model = write_model(tmp_path / "stand_in.onnx")
    options = [folder, "-m", model, "-o", tmp_path / "out"]
    made = everypose("bulk", "plan", *options, "--workers", 1, "--price-per-hour", 3)
    assert made.code == 0
    assert "20 images and 0 frames of videos, 1 worker\n" in made.out
    assert "cost: " in made.out
    printed = json.loads(everypose("bulk", "plan", *options, "--json").out)
    assert printed["cost"] is None
    assert read_plan(tmp_path / "out").images == 20
    assert everypose("bulk", "run", *options).code == 0
    assert "measured time is " in everypose("bulk", "status", tmp_path / "out").out
    (tmp_path / "out" / "plan.json").write_text("{}")
    damaged = everypose("bulk", "status", tmp_path / "out")
    assert damaged.code == 1
    assert "is not a plan" in damaged.err
