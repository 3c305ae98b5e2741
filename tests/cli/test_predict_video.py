"""``everypose predict`` on videos, frames, cameras and addresses."""

import csv
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas
import pytest

from cli.outputs import results
from everypose.inference.results import read_results
from everypose.inference.single_stage import SingleStageEstimator
from everypose.skeleton.skeleton import Skeleton
from everypose.video import VideoWriter, open_video
from inference.stand_in import crowd
from video.clips import write_clip
from video.test_files import CLIPS
from video.test_live import FakeCamera

COCO = Skeleton.named("coco")
RATE = Fraction(30_000, 1001)


def people_at(number):
    """Who is in frame ``number``: one person always, another from frame 4 on."""
    return [(0, 0, 200), *([(1, 1, 190)] if number >= 4 else [])]


def write_people(path, frames=12, size=64):
    """A clip that shows people whom the stand-in finds."""
    with VideoWriter(path, time_base=1 / RATE, frame_rate=RATE) as writer:
        for number in range(frames):
            writer.write(crowd(people_at(number), size, size), float(number / RATE))
    return path


@pytest.fixture
def clip(tmp_path):
    return write_people(tmp_path / "clips" / "clip.mp4")


def frames_of(path):
    with open_video(path) as video:
        return list(video)


def test_a_clip_gives_a_video_a_list_and_a_table(predict, clip, tmp_path):
    done = predict(clip)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"20 people in 12 frames of {clip}, ")
    for line in done.out.splitlines()[1:]:
        assert Path(line.split()[-1]).exists()
    rows = results(tmp_path)
    assert [row["image_id"] for row in rows] == [*range(1, 5), *np.repeat(range(5, 13), 2)]
    assert [row["frame"] for row in rows] == [*range(4), *np.repeat(range(4, 12), 2)]
    assert {row["file_name"] for row in rows} == {"clip.mp4"}
    np.testing.assert_allclose([row["time"] for row in rows], [float(row["frame"] / RATE) for row in rows], atol=1e-9)
    read = list(read_results(tmp_path / "out" / "results.csv"))
    assert [len(result.people) for result in read] == [1] * 4 + [2] * 8
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "results.csv",
        "results.json",
        "run.json",
        "videos",
    ]
    drawn, original = frames_of(tmp_path / "out" / "videos" / "clip.mp4"), frames_of(clip)
    assert [frame.time for frame in drawn] == [frame.time for frame in original]
    assert drawn[0].image.shape == (64, 64, 3)
    assert np.abs(drawn[0].image.astype(int) - original[0].image).max() > 80


def test_photos_and_clips_in_one_run(predict, photos, clip, tmp_path):
    done = predict(photos, clip, clip.parent, "--json", "--save", "json,csv")
    summary = json.loads(done.out)
    assert (done.code, summary["images"], summary["people"]) == (0, 2, 3)
    assert [(video["video"], video["frames"], video["people"]) for video in summary["videos"]] == [(str(clip), 12, 20)]
    assert summary["videos"][0]["complete"]
    rows = results(tmp_path)
    assert [row["image_id"] for row in rows][:4] == [7, 8, 8, 9]
    assert len({row["image_id"] for row in rows}) == 2 + 12
    table = pandas.read_csv(tmp_path / "out" / "results.csv")
    assert table.frame.isna().sum() == 3 * 17
    assert table.file.nunique() == 3


def test_tracks(predict, clip, tmp_path):
    done = predict(clip, "--track", "--save", "csv,parquet,trc,deeplabcut,openpose,ultralytics,crops", "--json")
    assert done.code == 0
    assert json.loads(done.out)["videos"][0]["tracks"] == 2
    out = tmp_path / "out"
    rows = [row for row in results(tmp_path) if "track_id" in row]
    assert {row["track_id"] for row in rows} == {1, 2}
    tracked = list(read_results(out / "results.parquet"))
    assert tracked[-1].people.ids.tolist() == [1, 2]
    assert sorted(path.name for path in (out / "trc").iterdir()) == ["clip_person1.trc", "clip_person2.trc"]
    assert (out / "deeplabcut" / "clip.csv").exists()
    assert (out / "openpose" / "clip" / "clip_000000000011_keypoints.json").exists()
    assert (out / "ultralytics" / "clip" / "clip_12.txt").read_text().endswith(" 2\n")
    assert (out / "crops" / "clip" / "clip_000011_person2.jpg").exists()
    assert not (out / "videos").exists()


def test_smoothed_poses_in_addition_to_the_raw_ones(predict, clip, tmp_path):
    done = predict(clip, "--track", "--smooth", "--save", "csv")
    assert done.code == 0
    assert f"table          {tmp_path / 'out' / 'smoothed.csv'}\n" in done.out
    raw, smooth = (list(read_results(tmp_path / "out" / f"{name}.csv")) for name in ("results", "smoothed"))
    for one, other in zip(raw, smooth, strict=True):
        assert (one.frame, one.people.ids.tolist()) == (other.frame, other.people.ids.tolist())
    assert len(json.loads((tmp_path / "out" / "smoothed.json").read_text())) == len(results(tmp_path))
    assert "add --track" in predict(clip, "--smooth").err


def test_tracks_are_labeled_and_followed(predict, clip, tmp_path):
    assert predict(clip, "--track", "--style", "none").code == 0
    labeled = frames_of(tmp_path / "out" / "videos" / "clip.mp4")[-1].image.astype(int)
    assert predict(clip, "--track", "--style", "none", "--labels", "", "--trails", "0").code == 0
    bare = frames_of(tmp_path / "out" / "videos" / "clip.mp4")[-1].image
    assert np.abs(labeled - bare).max() > 80


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        (["--every", "5"], [0, 5, 10]),
        (["--fps", "10"], [0, 3, 6, 9]),
        (["--start", "0.1", "--end", "0:0.2"], [3, 4, 5]),
        (["--start", "0:0:0.35"], [11]),
    ],
)
def test_a_selection_of_frames(predict, clip, tmp_path, options, frames):
    assert predict(clip, *options).code == 0
    assert sorted({row["frame"] for row in results(tmp_path)}) == frames
    times = [frame.time for frame in frames_of(tmp_path / "out" / "videos" / "clip.mp4")]
    start = frames[0] / RATE if "--start" in options else 0
    np.testing.assert_allclose(times, [float(frame / RATE - start) for frame in frames], atol=4e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--every", "2", "--fps", "3"], "--every and --fps"),
        (["--start", "x"], "--start x: give a time"),
        (["--start", "3", "--end", "2"], "--end 2.0 must be later"),
        (["--save", "trc"], "add --track"),
        (["--save", "gif"], "--save gif is unknown"),
        (["--labels", "name"], "--labels name is unknown"),
        (["--boxes", "boxes.json"], "not of videos"),
    ],
)
def test_wrong_options_are_one_line(predict, clip, options, message):
    done = predict(clip, *options)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_movement_formats_are_not_for_photos(predict, photos):
    done = predict(photos, "--save", "deeplabcut")
    assert done.code == 2
    assert "for images use csv" in done.err


def test_numbered_frames_as_one_video(predict, tmp_path):
    folder = tmp_path / "walk"
    folder.mkdir()
    for number in range(3, 9):
        cv2.imwrite(str(folder / f"f{number:03d}.png"), crowd(people_at(number))[..., ::-1])
    done = predict(folder, "--as-video", "--frame-rate", "10", "--save", "csv,pictures")
    assert (done.code, done.err) == (0, "")
    assert sorted({(row["frame"], row["time"]) for row in results(tmp_path)}) == [(n, n / 10) for n in range(6)]
    assert len(frames_of(tmp_path / "out" / "videos" / "walk.mp4")) == 6
    assert predict(folder / "f003.png", folder / "f005.png", "--as-video").code == 0
    assert sorted({row["frame"] for row in results(tmp_path)}) == [0, 2]


def test_rotated_odd_and_many_other_clips(predict, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "turned.mp4", 3, rotation=90)
    write_clip(folder / "odd.webm", 3, size=(95, 63), codec="libvpx-vp9")
    write_clip(folder / "sound.mkv", 3, audio=1)
    write_clip(folder / "moving.gif", 3, codec="gif", pixels="rgb8", rate=10)
    done = predict(folder)
    assert (done.code, done.err) == (0, "")
    shapes = {path.stem: frames_of(path)[0].image.shape[:2] for path in (tmp_path / "out" / "videos").iterdir()}
    assert shapes == {"turned": (96, 64), "odd": (64, 96), "sound": (64, 96), "moving": (64, 96)}


def test_every_kind_of_clip_keeps_its_frames_times_and_audio(predict, tmp_path):
    """Frame rates, containers, codecs, sizes, audio tracks and subtitles, from the file to the annotated video."""
    folder = tmp_path / "clips"
    for number, (name, (how, _)) in enumerate(CLIPS.items()):
        (folder / str(number)).mkdir(parents=True)
        write_clip(folder / str(number) / f"{number}_{name}", **how)
    first, second = write_clip(tmp_path / "a.ts", 5), write_clip(tmp_path / "b.ts", 5, size=(128, 96), offset=1)
    (folder / "resized.ts").write_bytes(first.read_bytes() + second.read_bytes())
    with av.open(str(folder / "no_frames.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        output.start_encoding()
    done = predict(folder, "--track", "--save", "pictures,csv")
    assert done.code == 1
    assert done.err.splitlines()[0] == f"everypose: 1 of {len(CLIPS) + 2} inputs failed:"
    assert "no_frames.mp4" in done.err.splitlines()[1]
    for number, (name, (how, times)) in enumerate(CLIPS.items()):
        drawn = tmp_path / "out" / "videos" / f"{Path(f'{number}_{name}').stem}.mp4"
        np.testing.assert_allclose([frame.time for frame in frames_of(drawn)], np.array(times, float), atol=1e-3)
        with av.open(str(drawn)) as container:
            assert len(container.streams.audio) == how.get("audio", 0)  # type: ignore[attr-defined]
    assert {frame.image.shape for frame in frames_of(tmp_path / "out" / "videos" / "resized.mp4")} == {(64, 96, 3)}


def test_a_broken_clip_is_named_and_the_others_are_done(predict, clip, tmp_path):
    (clip.parent / "broken.mp4").write_bytes(clip.read_bytes()[:500])
    done = predict(clip.parent)
    assert done.code == 1
    assert done.err.splitlines()[0] == "everypose: 1 of 2 inputs failed:"
    assert "broken.mp4" in done.err.splitlines()[1]
    assert len(results(tmp_path)) == 20
    assert [path.name for path in (tmp_path / "out" / "videos").iterdir()] == ["clip.mp4"]


def test_a_clip_that_ends_early_is_kept_as_far_as_it_goes(predict, tmp_path):
    path = write_clip(tmp_path / "c.ts", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = predict(path, "--json")
    assert done.code == 0
    assert 10 < json.loads(done.out)["videos"][0]["frames"] < 40


def test_the_source_is_not_overwritten(everypose, model, tmp_path):
    source = write_people(tmp_path / "videos" / "clip.mp4")
    before = source.read_bytes()
    done = everypose("predict", source, "-m", model, "-o", tmp_path)
    assert done.code == 2
    assert "would overwrite" in done.err
    assert source.read_bytes() == before


def test_no_source_of_the_run_is_overwritten_by_the_video_of_another(everypose, model, clip, tmp_path):
    other = write_people(tmp_path / "out" / "videos" / "clip.mp4", 3)
    before = other.read_bytes()
    done = everypose("predict", "-m", model, "-o", tmp_path / "out", clip, other)
    assert done.code == 2
    assert "would overwrite" in done.err
    assert other.read_bytes() == before


def test_tables_of_an_earlier_run_do_not_stay(predict, clip, photos, tmp_path):
    assert predict(clip, photos, "--save", "csv,pictures,crops").code == 0
    out = tmp_path / "out"
    assert (out / "results.csv").exists()
    assert (out / "contact_sheet.jpg").exists()
    (out / "crops" / "b8_person2.jpg").write_bytes(b"")
    (out / "mine.csv").write_text("")
    assert predict(clip, photos, "--save", "crops").code == 0
    names = {path.name for path in out.iterdir()}
    assert {"results.json", "run.json", "mine.csv"} <= names
    assert not {"results.csv", "contact_sheet.jpg"} & names
    assert not (out / "crops" / "b8_person2.jpg").exists()


def test_ctrl_c_keeps_everything_up_to_there(predict, clip, tmp_path, monkeypatch):
    count = []

    def interrupted(self, prepared):
        count.append(1)
        if len(count) == 8:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.5)
        return original(self, prepared)

    original = SingleStageEstimator.predict
    monkeypatch.setattr(SingleStageEstimator, "predict", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs without it
    try:
        done = predict(clip, "--save", "pictures,csv,parquet")
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.code == 130
    assert "Traceback" not in done.err
    assert "frames of" in done.out
    frames = frames_of(tmp_path / "out" / "videos" / "clip.mp4")
    assert 1 <= len(frames) <= 9
    written = {row["frame"] for row in results(tmp_path)}
    assert written == set(range(len(frames)))
    for name in ("results.csv", "results.parquet"):
        assert {result.frame for result in read_results(tmp_path / "out" / name)} == written


def test_a_camera(predict, tmp_path, monkeypatch):
    class Camera(FakeCamera):
        def read(self):
            time.sleep(0.01)
            return True, np.ascontiguousarray(crowd(people_at(5))[..., ::-1])

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.chdir(tmp_path)
    done = predict("0", "--end", "0.5", "--track", "--json")
    summary = json.loads(done.out)["videos"][0]
    assert (done.code, summary["video"]) == (0, "camera 0")
    assert summary["frames"] >= 3
    assert len(frames_of(tmp_path / "out" / "videos" / "camera_0.mp4")) == summary["frames"]
    done = predict("1")
    assert done.code == 1
    assert "cannot open camera 1" in done.err


def test_images_on_the_web(predict, photos, tmp_path):
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: handler(*arguments, directory=str(photos))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    done = predict(f"{address}/b8.png", f"{address}/gone.png")
    server.shutdown()
    server.server_close()
    assert done.code == 1
    assert f"cannot download {address}/gone.png: File not found" in done.err
    assert [row["file_name"] for row in results(tmp_path)] == ["b8.png", "b8.png"]
    assert (tmp_path / "out" / "pictures" / "b8.jpg").exists()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_killed_run_leaves_a_video_and_rows(model, tmp_path):
    long = write_people(tmp_path / "long.mp4", 4000)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "everypose", "predict", str(long), "-m", str(model), "-o", str(out), "--quiet"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    run = subprocess.Popen(command, env=environment)
    table = out / "results.csv"
    deadline = time.monotonic() + 60
    while (not table.exists() or table.stat().st_size < 300_000) and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.02)
    assert run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.wait()
    content = table.read_text()
    rows = list(csv.DictReader(content[: content.rindex("\n") + 1].splitlines()))
    assert all(None not in row.values() for row in rows)
    last = int(rows[-1]["frame"])
    frames = frames_of(out / "videos" / "long.mp4")
    assert last > 30
    assert len(frames) >= last - 2  # an instant before the kill
    assert [result.frame for result in read_results(table)][-1] >= last - 1
