from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.errors import EveryposeError, UsageError
from everypose.video import Selection, open_video
from everypose.video.decoding import Timeline
from everypose.video.numbered import NumberedFrames
from video.clips import number_of, picture, write_clip

NTSC = Fraction(30_000, 1001)
UNEVEN = [*(Fraction(n, 30) for n in range(6)), *(Fraction(6, 30) + Fraction(n, 7) for n in range(6))]

# name -> (how the clip is made, the times of its frames)
CLIPS = {
    "plain.mp4": ({}, [Fraction(n, 30) for n in range(12)]),
    "ntsc.mp4": ({"rate": NTSC}, [n / NTSC for n in range(12)]),
    "fast.mp4": ({"rate": 240}, [Fraction(n, 240) for n in range(12)]),
    "uneven.mp4": ({"times": UNEVEN}, UNEVEN),
    "uneven.mkv": ({"times": UNEVEN}, UNEVEN),
    "odd.webm": ({"size": (95, 63), "codec": "libvpx-vp9"}, [Fraction(n, 30) for n in range(12)]),
    "deep.mp4": (
        {"codec": "libx265", "pixels": "yuv420p10le", "options": {"x265-params": "log-level=0"}},
        [Fraction(n, 30) for n in range(12)],
    ),
    "moving.gif": ({"codec": "gif", "pixels": "rgb8", "rate": 10}, [Fraction(n, 10) for n in range(12)]),
    "motion.avi": ({"codec": "mjpeg", "pixels": "yuvj420p"}, [Fraction(n, 30) for n in range(12)]),
    "late.ts": ({"offset": 5}, [Fraction(n, 30) for n in range(12)]),
    "one.mp4": ({"frames": 1}, [Fraction(0)]),
    "sound.mp4": ({"audio": 2, "subtitles": True}, [Fraction(n, 30) for n in range(12)]),
    "sound.mkv": ({"audio": 2, "subtitles": True}, [Fraction(n, 30) for n in range(12)]),
}


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", 60)


def frames_of(source, **keywords):
    with open_video(source, **keywords) as video:
        return list(video)


@pytest.mark.parametrize("name", CLIPS)
def test_frames_and_their_times(tmp_path, name):
    how, times = CLIPS[name]
    frames = frames_of(write_clip(tmp_path / name, **how))
    assert [frame.index for frame in frames] == list(range(len(times)))
    np.testing.assert_allclose([frame.time for frame in frames], np.array(times, float), atol=1e-3)
    width, height = how.get("size", (96, 64))  # type: ignore[attr-defined]
    for number, frame in enumerate(frames):
        assert frame.image.shape == (height, width, 3)
        assert number_of(frame.image) == number_of(picture(number, width, height))
        # A GIF has few colors, mixed from pixel to pixel.
        assert np.abs(frame.image.astype(int) - picture(number, width, height)).mean() < (25 if "gif" in name else 12)


def test_exact_times_in_mp4(tmp_path):
    with open_video(write_clip(tmp_path / "ntsc.mp4", rate=NTSC)) as video:
        assert video.frame_rate == NTSC
        assert [round(frame.time / video.time_base) * video.time_base for frame in video] == [
            n / NTSC for n in range(12)
        ]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90])
def test_rotation_as_opencv_applies_it(tmp_path, rotation):
    path = write_clip(tmp_path / "r.mp4", rotation=rotation)
    capture = cv2.VideoCapture(str(path))
    frames = frames_of(path)
    for frame in frames:
        upright = capture.read()[1][..., ::-1].astype(int)
        assert frame.image.shape == upright.shape
        assert np.abs(frame.image - upright).max() <= 8  # two converters round differently
    assert len(frames) == 12
    turned = np.rot90(picture(3), round(rotation / 90))
    assert np.abs(frames[3].image.astype(int) - turned).mean() < 12


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi", "h264"])
@pytest.mark.parametrize("start", [0.0, 0.1, 1.0, 1.99, 2.5])
def test_a_span_is_the_same_as_without_seeking(tmp_path, suffix, start):
    keywords = {"avi": {"codec": "mpeg4", "options": {"bf": "2"}}, "h264": {"format": "h264"}}.get(suffix, {})
    path = write_clip(tmp_path / f"c.{suffix}", 80, key_every=20, **keywords)
    chosen = [frame for frame in frames_of(path) if start - 1e-6 <= frame.time < start + 0.4]
    span = frames_of(path, selection=Selection(start=start, end=start + 0.4))
    assert [(frame.index, frame.time) for frame in span] == [(frame.index, frame.time) for frame in chosen]
    assert len(span) >= 5
    for one, other in zip(span, chosen, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_every_and_rate(clip):
    assert [frame.index for frame in frames_of(clip, selection=Selection(every=7))] == list(range(0, 60, 7))
    assert [frame.index for frame in frames_of(clip, selection=Selection(rate=10))] == list(range(0, 60, 3))
    assert [frame.index for frame in frames_of(clip, selection=Selection(rate=100))] == list(range(60))
    assert [frame.index for frame in frames_of(clip, selection=Selection(every=2, start=0.5))][:3] == [15, 17, 19]
    assert frames_of(clip, selection=Selection(start=100)) == []


@given(st.lists(st.floats(0.001, 0.2), min_size=1, max_size=60), st.floats(0.5, 60))
def test_a_rate_is_kept_within_one_frame(steps, rate):
    times = np.cumsum([0.0, *steps])
    picker = Selection(rate=rate).picker()
    taken = [time for time in times if picker.takes(time)]
    assert taken[0] == 0
    for start in taken:  # no more than the rate in any span, but for the rounding of times
        within = [time for time in taken if start <= time <= start + 1]
        assert len(within) <= rate + 2
    if max(steps) < 0.5 / rate:
        assert len(taken) >= times[-1] * rate - 1


@pytest.mark.parametrize(
    "values",
    [
        {"every": 0},
        {"rate": 0},
        {"rate": -1},
        {"rate": float("nan")},
        {"every": 2, "rate": 5},
        {"start": -1},
        {"start": 3, "end": 2},
    ],
)
def test_selections_that_cannot_be(values):
    with pytest.raises(UsageError, match=r"--(every|fps|start|end)"):
        Selection(**values)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_truncated_at_each_tenth(tmp_path, suffix):
    how = {"avi": {"codec": "mjpeg", "pixels": "yuvj420p"}, "mp4": {"container_options": {"movflags": "faststart"}}}
    path = write_clip(tmp_path / f"whole.{suffix}", 40, **how.get(suffix, {}))
    content = path.read_bytes()
    whole = frames_of(path)
    counts, messages = [], []
    for tenth in range(1, 10):
        part = tmp_path / f"part.{suffix}"
        part.write_bytes(content[: len(content) * tenth // 10])
        try:
            frames = frames_of(part)
        except EveryposeError as error:
            frames = []
            messages.append(str(error))
        counts.append(len(frames))
        assert [frame.index for frame in frames] == list(range(len(frames)))
        # Where the file breaks off, a frame may be there whose neighbors are not.
        complete = [frame for frame in frames if frame.time == whole[frame.index].time]
        assert len(complete) >= len(frames) - 2
        for frame in complete[:-1]:
            np.testing.assert_array_equal(frame.image, whole[frame.index].image)
    assert counts == sorted(counts)
    assert len(messages) == counts.count(0)
    assert all("part." in message and "\n" not in message for message in messages)
    assert counts[8] >= 28


def test_a_truncated_ordinary_mp4_is_one_line(tmp_path):
    path = write_clip(tmp_path / "whole.mp4", 40)
    path.write_bytes(path.read_bytes()[:-200])  # its index is at the end
    with pytest.raises(EveryposeError, match=r"cannot read the video .*whole\.mp4"):
        open_video(path)


def test_damaged_packets_are_counted_and_skipped(tmp_path):
    path = write_clip(tmp_path / "c.ts", 90, key_every=15, options={"bf": "0"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 600] = bytes(600)
    path.write_bytes(content)
    with open_video(path) as video:
        frames = list(video)
    assert video.corrupt > 0
    assert 60 <= len(frames) < 90
    assert np.all(np.diff([frame.time for frame in frames]) > 0)
    assert number_of(frames[-1].image) == number_of(picture(89))


def test_a_change_of_resolution(tmp_path):
    first = write_clip(tmp_path / "a.ts", 10, size=(96, 64))
    second = write_clip(tmp_path / "b.ts", 10, size=(128, 96), offset=1)
    joined = tmp_path / "c.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    frames = frames_of(joined)
    assert [frame.image.shape[:2] for frame in frames] == [(64, 96)] * 10 + [(96, 128)] * 10
    assert np.all(np.diff([frame.time for frame in frames]) > 0)
    assert number_of(frames[15].image) == number_of(picture(5, 128, 96))


def test_times_that_go_back_go_on(tmp_path):
    one = write_clip(tmp_path / "a.ts", 10)
    twice = tmp_path / "c.ts"
    twice.write_bytes(one.read_bytes() * 2)
    times = [frame.time for frame in frames_of(twice)]
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-3)
    assert len(times) == 20


@given(st.lists(st.one_of(st.none(), st.fractions(0, 100)), max_size=30))
def test_times_always_rise(stamps):
    timeline = Timeline(Fraction(0), Fraction(1, 30))
    times = [timeline.place(stamp) for stamp in stamps]
    assert all(later > earlier for earlier, later in pairwise(times))


def no_frames(path):
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        output.start_encoding()


def only_sound(path):
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())


@pytest.mark.parametrize(
    "make",
    [
        no_frames,
        only_sound,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("text" * 100),
        lambda path: path.mkdir(),
    ],
    ids=["no frames", "only sound", "empty", "text", "folder"],
)
def test_files_without_a_video_are_one_line(tmp_path, make):
    make(tmp_path / "x.mp4")
    with pytest.raises(EveryposeError, match=r"x\.mp4") as raised:
        frames_of(tmp_path / "x.mp4")
    assert "\n" not in str(raised.value)


def test_a_missing_file():
    with pytest.raises(UsageError, match=r"none\.mp4"):
        open_video("none.mp4")


def test_a_play_list_reaches_no_network_address(tmp_path):
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(EveryposeError, match=r"list\.mp4"):
        frames_of(tmp_path / "list.mp4")


def test_only_a_few_frames_are_held(tmp_path):
    """Iterating holds no frame; a frame that the user keeps is not overwritten by the next."""
    with open_video(write_clip(tmp_path / "c.mp4", 20)) as video:
        kept = [frame.image for frame in video]
    for number, image in enumerate(kept):
        assert number_of(image) == number_of(picture(number))


def test_numbered_images_are_frames(tmp_path):
    for number in (7, 8, 9, 10, 14):
        cv2.imwrite(str(tmp_path / f"shot_{number:d}.png"), picture(number)[..., ::-1])
    frames = frames_of(tmp_path, frame_rate=10)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 7]
    np.testing.assert_allclose([frame.time for frame in frames], [0, 0.1, 0.2, 0.3, 0.7])
    assert [number_of(frame.image) for frame in frames] == [7, 8, 9, 10, 14]
    assert len(frames_of(str(tmp_path / "*_1?.png"))) == 2
    assert [frame.index for frame in frames_of(sorted(tmp_path.iterdir()), frame_rate=NTSC)] == [0, 1, 2, 3, 7]
    assert [f.index for f in frames_of(tmp_path, frame_rate=10, selection=Selection(start=0.2, end=0.7))] == [2, 3]


@pytest.mark.parametrize(
    ("rate", "exact"), [(1 / 3600, Fraction(1, 3600)), (0.3, Fraction(3, 10)), (30_000 / 1001, NTSC)]
)
def test_rates_of_numbered_images_are_simple_fractions(rate, exact):
    video = NumberedFrames([Path("hour_1.png"), Path("hour_2.png")], "hours", rate=rate)
    assert (video.frame_rate, video.time_base, video.duration) == (exact, 1 / exact, float(2 / exact))


def test_numbered_images_that_are_damaged(tmp_path):
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture(0))
    (tmp_path / "b.png").write_bytes(b"")
    with open_video(tmp_path) as video:
        assert [frame.index for frame in video] == [0, 2]
        assert video.corrupt == 1
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(EveryposeError, match=r"contains no frame that can be read: .*a\.png"):
        frames_of(tmp_path)
    for rate in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="frame-rate"):
            open_video(tmp_path, frame_rate=rate)
    with pytest.raises(UsageError, match="contains no images"):
        open_video([])


def test_stop_ends_the_iteration(clip):
    with open_video(clip) as video:
        seen = []
        for frame in video:
            seen.append(frame.index)
            if frame.index == 4:
                video.stop()
    assert seen == [0, 1, 2, 3, 4]
