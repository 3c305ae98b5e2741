import av
import fsspec
import numpy as np
import pandas
import pytest
from pyarrow import parquet

from everypose.bulk.check import find_problems, segments_of, shard_states
from everypose.bulk.merge import join_tracks, merge
from everypose.bulk.records import SegmentRecord
from everypose.bulk.run import run_shard
from everypose.bulk.segments import VideoSettings
from everypose.bulk.shards import parse_shard
from everypose.bulk.sources import find_sources
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from inference.stand_in import StandIn, config, crowd, write_model

FRAMES = 90
KEY_EVERY = 15
TRACKED = VideoSettings(track=True)


def blocks(frame):
    """The people of a frame: one all the time, one from frame 20 to 69, one from frame 50 on."""
    people = [(0, 0, 240)]
    if 20 <= frame < 70:
        people.append((1, 1, 220))
    if frame >= 50:
        people.append((0, 1, 200))
    return people


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"crf": "10", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.gop_size = KEY_EVERY
        for number in range(FRAMES):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(crowd(blocks(number)), format="rgb24")))
        output.mux(stream.encode())
    return path


def run(clip, out, shards=1, seconds=0.5, **options):
    estimator = SingleStageEstimator(StandIn(), ModelConfig.model_validate(config()), batch_size=2)
    summaries = []
    for index in range(shards):
        sources = find_sources([str(clip)], out=out, segment_seconds=seconds, quiet=True)
        shard = parse_shard(f"{index}/{shards}")
        options = {"model": {"model": "stand-in"}, "quiet": True, **options}
        summaries.append(run_shard(estimator, sources, out, shard=shard, **options))
    return summaries


def test_a_video_in_an_object_store_has_the_rows_of_a_file(clip, tmp_path):
    """Of segments that are read from the middle, with tracks."""
    system = fsspec.filesystem("memory")
    system.pipe("/videos/clip.mp4", clip.read_bytes())
    system.pipe("/videos/broken.mp4", b"no video")
    run(clip, tmp_path / "file", video=TRACKED)
    (summary, other) = run("memory://videos", tmp_path / "store", shards=2, video=TRACKED)
    system.rm("/videos", recursive=True)
    assert len(segments_of(tmp_path / "store")["memory:///videos/clip.mp4"]) > 2
    (problem,) = (summary.failed | other.failed).values()
    assert problem.startswith("cannot read the video memory:///videos/broken.mp4: ")
    expected, found = merged(tmp_path / "file"), merged(tmp_path / "store")
    assert set(found["file"]) == {"memory:///videos/clip.mp4"}
    pandas.testing.assert_frame_equal(found.drop(columns="file"), expected.drop(columns="file"))


def merged(out):
    assert find_problems(out) == []
    table = out.with_suffix(".parquet")
    merge(out, table)
    return parquet.read_table(table).to_pandas()


def test_shards_of_a_video_have_the_rows_of_predict(clip, tmp_path, everypose):
    model = write_model(tmp_path / "stand_in.onnx")
    command = ["bulk", "run", clip, "-m", model, "-o", tmp_path / "out", "--segment-seconds", 0.5]
    for index in range(4):
        assert everypose(*command, "--shard", f"{index}/4").code == 0
    assert "6 segments" not in everypose(*command, "--shard", "0/4").out
    assert everypose("predict", clip, "-m", model, "--save", "parquet", "-o", tmp_path / "predict").code == 0
    found, expected = merged(tmp_path / "out"), parquet.read_table(tmp_path / "predict" / "results.parquet").to_pandas()
    assert len(found) == 17 * sum(len(blocks(frame)) for frame in range(FRAMES))
    assert found.equals(expected)


def test_tracks_are_joined_across_segments(clip, tmp_path):
    run(clip, tmp_path / "one", seconds=60, video=TRACKED)
    summaries = run(clip, tmp_path / "four", shards=4, video=TRACKED)
    assert [summary.segments for summary in summaries] == [2, 2, 1, 1]
    one, four = merged(tmp_path / "one"), merged(tmp_path / "four")
    for table in (one, four):
        sure = table.dropna(subset=["track_id"])
        assert set(sure["track_id"]) == {1, 2, 3}
        place = sure["box_x1"].round(0).astype(str) + sure["box_y1"].round(0).astype(str)
        assert (place.groupby(sure["track_id"]).nunique() == 1).all()
    assert len(four.dropna(subset=["track_id"])) >= 0.95 * len(four)
    ids = ["track_id"]
    assert one.drop(columns=ids).equals(four.drop(columns=ids))


def test_a_segment_is_processed_again_after_a_kill_and_others_are_not(clip, tmp_path):
    run(clip, tmp_path / "out")
    part = next(iter(segments_of(tmp_path / "out")[str(clip)]))
    part.with_suffix(".json").unlink()
    assert "5 of 6" in find_problems(tmp_path / "out")[0]
    assert [one.segments for one in run(clip, tmp_path / "out")] == [1]
    assert len(merged(tmp_path / "out")) == 17 * sum(len(blocks(frame)) for frame in range(FRAMES))


def test_videos_that_cannot_be_read_are_recorded(clip, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.mp4").write_bytes(b"no video")
    clip.rename(tmp_path / "bad" / "b.mp4")
    (summary,) = run(tmp_path / "bad", tmp_path / "out")
    assert list(summary.failed) == [str(tmp_path / "bad" / "a.mp4")]
    assert [(one.done, one.failed, one.finished) for one in shard_states(tmp_path / "out")] == [(6, 1, True)]
    assert find_problems(tmp_path / "out") == []


def test_every_nth_frame(clip, tmp_path):
    run(clip, tmp_path / "out", shards=2, video=VideoSettings(every=4))
    assert sorted(set(merged(tmp_path / "out")["frame"])) == list(range(0, FRAMES, 4))


def test_missing_frames_are_a_problem(clip, tmp_path):
    run(clip, tmp_path / "out")
    part = list(segments_of(tmp_path / "out")[str(clip)])[2]
    record = part.with_suffix(".json")
    record.write_text(record.read_text().replace('"first": 30', '"first": 31'))
    assert "do not join: one ends before frame 30, the next begins with 31" in find_problems(tmp_path / "out")[0]


def reference_join(segments):
    """The rule of `join_tracks` with loops over all pairs."""
    results, known = [], 0
    for number, segment in enumerate(segments):
        people = {}
        if number:
            previous, names = segments[number - 1], results[-1]
            pairs = {}
            for frame, row, track in previous.after:
                for other_frame, other_row, other in segment.begin:
                    same = (frame, row) == (other_frame, other_row)
                    if same and track in names and other in segment.tracks:
                        pair = names[track], segment.tracks[other]
                        pairs[pair] = pairs.get(pair, 0) + 1
            while pairs:
                best = min(pairs, key=lambda pair: (-pairs[pair], pair))
                people[best[1]] = best[0]
                pairs = {pair: n for pair, n in pairs.items() if pair[0] != best[0] and pair[1] != best[1]}
        for track in sorted(set(segment.tracks.values())):
            if track not in people:
                known += 1
                people[track] = known
        results.append({number: people[track] for number, track in segment.tracks.items()})
    return results


def test_joining_is_that_of_the_reference():
    rng = np.random.default_rng(0)
    for _ in range(50):
        segments = []
        for number in range(3):
            tracks = {int(each): int(rng.integers(1, each + 1)) for each in range(1, 6) if rng.random() < 0.8}
            tracks |= {first: first for first in tracks.values()}
            seen = [
                [(frame, row, int(rng.integers(1, 6))) for frame in range(4) for row in range(3) if rng.random() < 0.7]
                for _ in range(2)
            ]
            segments.append(
                SegmentRecord(
                    video="a",
                    first=number,
                    end=number + 1,
                    frames=1,
                    corrupt=0,
                    tracks=tracks,
                    begin=seen[0],
                    after=seen[1],
                )
            )
        joined = join_tracks(segments)
        assert joined == reference_join(segments)
