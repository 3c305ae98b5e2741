import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import av
import numpy as np
import pytest

from everypose.errors import EveryposeError
from everypose.video import Selection, VideoWriter, open_video
from everypose.video.audio import AudioTracks
from everypose.video.file import VideoFile
from video.clips import number_of, picture, write_clip


def copy(source, target, *, selection=None, rest=True):
    """Write the frames of a clip, with its audio."""
    video = VideoFile(source, selection)
    start = 0.0 if selection is None else selection.start
    with video:
        audio = AudioTracks(video)
        writer = VideoWriter.like(target, video, audio=audio)
        for frame in video:
            writer.write(frame.image, frame.time - start)
        writer.close(rest_of_audio=rest)
    return audio


def audio_packets(path):
    """Time and content of the packets of each audio track."""
    with av.open(str(path)) as container:
        tracks = {stream.index: [] for stream in container.streams.audio}
        for packet in container.demux(*container.streams.audio):
            if packet.size:
                tracks[packet.stream_index].append((round(float(packet.pts * packet.time_base), 4), bytes(packet)))
        return list(tracks.values())


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mp4", {}),
        ("ntsc.mp4", {"rate": Fraction(30_000, 1001)}),
        ("fast.mp4", {"rate": 240}),
        (
            "uneven.mp4",
            {"times": [0, Fraction(1, 30), Fraction(1, 10), Fraction(7, 9), 1, Fraction(3, 2)], "frames": 6},
        ),
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("one.mp4", {"frames": 1}),
    ],
)
def test_times_and_size_are_those_of_the_source(tmp_path, name, how):
    source = write_clip(tmp_path / name, **how)
    copy(source, tmp_path / "out" / "copy.mp4")
    with open_video(source) as one, open_video(tmp_path / "out" / "copy.mp4") as other:
        expected, written = list(one), list(other)
    assert [frame.time for frame in written] == [frame.time for frame in expected]
    for frame, original in zip(written, expected, strict=True):
        assert frame.image.shape == original.image.shape
        assert number_of(frame.image) == number_of(original.image)
        assert np.abs(frame.image.astype(int) - original.image).mean() < 4  # colors, too


def test_what_players_need(tmp_path):
    copy(write_clip(tmp_path / "a.mp4", 90), tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.frames) == ("h264", "yuv420p", 90)
        assert container.duration == pytest.approx(3e6, abs=1e5)
        keys = [packet.pts * packet.time_base for packet in container.demux(stream) if packet.is_keyframe]
    assert max(np.diff([float(key) for key in keys])) <= 2.1
    assert b"moof" not in (tmp_path / "copy.mp4").read_bytes()[:64]


@pytest.mark.parametrize("size", [(95, 64), (96, 63), (95, 63)])
def test_odd_sizes_get_one_more_row_or_column(tmp_path, size):
    width, height = size
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(picture(2, width, height), 0.0)
    with open_video(tmp_path / "a.mp4") as video:
        (frame,) = video
    assert frame.image.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(frame.image[:height, :width].astype(int) - picture(2, width, height)).mean() < 4


def test_frames_of_another_size_are_fitted(tmp_path):
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(picture(2), 0.0)
        writer.write(np.full((128, 96, 3), 200, np.uint8), 0.1)
    with open_video(tmp_path / "a.mp4") as video:
        _, tall = video
    assert tall.image.shape == (64, 96, 3)
    assert tall.image[:, 40:56].min() > 180
    assert tall.image[:, :20].max() < 20
    assert tall.image[:, -20:].max() < 20


def test_audio_is_copied_packet_by_packet(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 60, audio=2, subtitles=True)
    assert copy(source, tmp_path / "copy.mp4").left_out == []
    original, copied = audio_packets(source), audio_packets(tmp_path / "copy.mp4")
    assert len(original) == 2
    # What lies before time zero is not copied: the encoder's run-up.
    assert [[packet for packet in track if packet[0] >= 0] for track in original] == copied
    with open_video(tmp_path / "copy.mp4") as video:
        assert len(list(video)) == 60


def test_audio_of_a_span(tmp_path):
    source = write_clip(tmp_path / "a.mkv", 90, audio=1)
    copy(source, tmp_path / "copy.mp4", selection=Selection(start=1, end=2))
    (original,), (copied,) = audio_packets(source), audio_packets(tmp_path / "copy.mp4")
    span = [(time - 1, content) for time, content in original if 1 <= time < 2]
    assert [content for _, content in copied] == [content for _, content in span]
    np.testing.assert_allclose([time for time, _ in copied], [time for time, _ in span], atol=2e-3)
    with open_video(tmp_path / "copy.mp4") as video:
        assert [round(frame.time, 3) for frame in video][:2] == [0, 0.033]


def test_audio_that_an_mp4_cannot_hold_is_named(tmp_path):
    with av.open(str(tmp_path / "a.avi"), "w") as output:
        stream = output.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        sound = output.add_stream("adpcm_ms", rate=22050, layout="mono")
        frame = av.VideoFrame.from_ndarray(picture(0))
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), "s16", "mono")
        tone.sample_rate = 22050
        output.mux(sound.encode(tone))
        output.mux(sound.encode())
    assert copy(tmp_path / "a.avi", tmp_path / "copy.mp4").left_out == ["adpcm_ms"]
    with open_video(tmp_path / "copy.mp4") as video:
        assert len(list(video)) == 1


def test_the_shape_of_pixels_is_kept(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 3, pixel_aspect=Fraction(16, 11))
    copy(source, tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)


def test_an_interrupted_file_is_closed_without_the_rest_of_the_audio(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 90, audio=1)
    with VideoFile(source) as video:
        writer = VideoWriter.like(tmp_path / "copy.mp4", video, audio=AudioTracks(video))
        for frame in video:
            writer.write(frame.image, frame.time)
            if frame.index == 29:
                break
        writer.close()
    (copied,) = audio_packets(tmp_path / "copy.mp4")
    assert 0.7 < copied[-1][0] <= 1.0


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EveryposeError, match=r"^cannot write .*a\.mp4: [^\n]+$"):
        VideoWriter(tmp_path / "file" / "a.mp4")


def test_a_writer_without_frames(tmp_path):
    VideoWriter(tmp_path / "a.mp4").close()


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from video.clips import picture
from everypose.video import VideoWriter
from everypose.video.audio import AudioTracks
from everypose.video.file import VideoFile
source = VideoFile({source!r})
writer = VideoWriter.like(Path({target!r}), source, audio=AudioTracks(source) if {audio} else None)
for number in range(100000):
    writer.write(picture(number, 320, 240), number / 30)
    print(number, flush=True)
    time.sleep(1 / 30)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("audio", [False, True], ids=["silent", "sound"])
def test_a_killed_run_leaves_a_video_that_plays(tmp_path, audio):
    source = write_clip(tmp_path / "a.mp4", 300, audio=int(audio))
    target = tmp_path / "copy.mp4"
    paths = [path for path in sys.path if path]
    script = KILLED.format(path=paths, source=str(source), target=str(target), audio=audio)
    written = 0
    start = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout:
            written = int(line) + 1
            if written >= 45:
                break
        assert time.monotonic() - start < 60
        run.send_signal(signal.SIGKILL)
    with open_video(target) as video:
        frames = list(video)
        assert video.corrupt <= 1
    # Within two seconds of the kill; without audio to wait for within two frames.
    assert len(frames) >= written - (30 if audio else 2)
    assert [number_of(frame.image) for frame in frames] == [number_of(picture(n, 320, 240)) for n in range(len(frames))]
    if audio:
        (copied,) = audio_packets(target)
        assert copied[-1][0] > 0.5
