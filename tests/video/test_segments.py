from fractions import Fraction

import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.video.file import VideoFile
from everypose.video.segments import Segment, VideoSegment, find_segments
from video.clips import write_clip

CODECS = {
    "h264.mp4": {"options": {"bf": "3"}},
    "open.mp4": {"options": {"bf": "2", "x264-params": "open-gop=1"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2", "flags": "+cgop", "sc_threshold": "1000000000"}},
    "open.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "h264.ts": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "open.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none:open-gop=0"}},
    "offset.mp4": {"offset": 5},
    "varying.mp4": {
        "times": [Fraction(n, 30 if n < 40 else 10) + (0 if n < 40 else Fraction(-8, 3)) for n in range(60)]
    },
}


def frames_of(source):
    with source as video:
        return list(video)


@pytest.mark.parametrize("name", CODECS)
def test_segments_have_the_frames_of_the_video(tmp_path, name):
    path = tmp_path / name
    write_clip(path, 60, **CODECS[name])
    segments = find_segments(path, 0.5)
    whole = frames_of(VideoFile(path))
    assert len(whole) == 60
    assert segments[-1].end is None
    assert [one.first for one in segments] == [0, *(one.end for one in segments[:-1])]
    if not name.startswith("open"):
        assert len(segments) > 2
    joined = [frame for segment in segments for frame in frames_of(VideoSegment(path, segment))]
    assert [(frame.index, frame.time) for frame in joined] == [(frame.index, frame.time) for frame in whole]
    for one, other in zip(joined, whole, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_length_of_segments(tmp_path):
    write_clip(tmp_path / "clip.mp4", 60, options={"sc_threshold": "0"})  # a key frame every 12 frames, 0.4 s
    assert [one.first for one in find_segments(tmp_path / "clip.mp4", 0.1)] == [0, 12, 24, 36, 48]
    assert [one.first for one in find_segments(tmp_path / "clip.mp4", 0.7)] == [0, 24, 48]
    assert [one.packets for one in find_segments(tmp_path / "clip.mp4", 0.7)] == [24, 24, 12]
    assert find_segments(tmp_path / "clip.mp4", 60) == [Segment(packets=60)]
    with pytest.raises(UsageError):
        find_segments(tmp_path / "clip.mp4", 0)


def test_every_nth_frame_and_what_follows(tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, 60, options={"sc_threshold": "0"})
    first, second, *_ = find_segments(path, 0.4)
    indices = [frame.index for frame in frames_of(VideoSegment(path, second, every=5))]
    assert indices == [15, 20]
    after = frames_of(VideoSegment(path, first, seconds_after=0.2))
    assert [frame.index for frame in after] == list(range(12 + 6))


def test_videos_without_usable_times_are_one_segment(tmp_path):
    write_clip(tmp_path / "raw.h264", 40, format="h264")
    assert find_segments(tmp_path / "raw.h264", 0.1) == [Segment(packets=40)]


def test_files_that_are_no_videos(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for path in (tmp_path / "a.mp4", tmp_path / "b.mp4"):
        with pytest.raises(EveryposeError):
            find_segments(path, 1)


def test_a_truncated_video_keeps_the_frames_that_it_has(tmp_path):
    path = tmp_path / "clip.mkv"
    write_clip(path, 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    whole = [frame.index for frame in frames_of(VideoFile(path))]
    joined = [each.index for one in find_segments(path, 0.4) for each in frames_of(VideoSegment(path, one))]
    assert joined == whole
    assert 20 < len(whole) < 60
