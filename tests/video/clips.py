"""Clips made for tests: each frame says its number by the position of a bright square."""

from fractions import Fraction

import av
import numpy as np

SQUARE = 16


def picture(number, width=96, height=64):
    """A dark picture with a gray gradient, a red top left corner and a bright square that moves one cell a frame."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = np.linspace(20, 60, width, dtype=np.uint8)[None, :, None]
    columns = max(1, width // SQUARE)
    row, column = divmod(number % (columns * max(1, height // SQUARE - 1)), columns)
    top, left = (row + 1) * SQUARE, column * SQUARE
    image[top : top + SQUARE, left : left + SQUARE] = (40, 250, 40)
    image[: SQUARE // 2, : SQUARE // 2] = (250, 30, 30)
    return image


def number_of(image):
    """The number that `picture` painted, modulo the number of cells."""
    height, width = image.shape[:2]
    columns = max(1, width // SQUARE)
    green = image[..., 1].astype(int) - image[..., 0]
    cells = green[SQUARE : height // SQUARE * SQUARE, : columns * SQUARE]
    means = cells.reshape(-1, SQUARE, columns, SQUARE).mean(axis=(1, 3))
    return int(means.argmax())


def write_clip(
    path, frames=12, *, rate=30, times=None, size=(96, 64), codec="libx264", pixels="yuv420p", rotation=None, audio=0,
    subtitles=False, options=None, container_options=None, format=None, offset=0, key_every=12, pixel_aspect=None,
):  # fmt: skip
    """Write a clip.

    Args:
        path: the file.
        frames: how many pictures.
        rate: frames a second.
        times: their times as fractions of a second, in place of even ones.
        size: width and height.
        codec: FFmpeg's name of the encoder.
        pixels: FFmpeg's name of the pixel format.
        rotation: degrees in the metadata.
        audio: number of AAC tracks.
        subtitles: whether there is a subtitle track.
        options: of the encoder.
        container_options: of the container.
        format: FFmpeg's name of the container; by default that of the suffix.
        offset: seconds at which the first frame is.
        key_every: frames from key frame to key frame.
        pixel_aspect: width by height of a pixel.
    """
    rate = Fraction(rate)
    with av.open(str(path), "w", format=format, options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.codec_context.gop_size = key_every
        unit = 1 / rate if times is None else Fraction(1, 90_000)
        stream.codec_context.time_base = unit
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        tracks = [output.add_stream("aac", rate=8000, layout="mono") for _ in range(audio)]
        text = output.add_mux_stream("mov_text" if str(path).endswith("mp4") else "subrip") if subtitles else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size))
            frame.pts = number if times is None else round((Fraction(times[number]) + offset) / unit)
            frame.pts += round(offset / unit) if times is None else 0
            frame.time_base = unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if text is not None:
            packet = av.Packet(b"\x00\x05hello" if str(path).endswith("mp4") else b"hello")
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = 0
            packet.duration = 200
            output.mux(packet)
        for pitch, track in enumerate(tracks):
            write_tone(output, track, float(frames / rate), 440 * (pitch + 1))
    return path


def write_tone(output, track, seconds, pitch):
    """Write a sine as audio."""
    samples = np.arange(int(seconds * 8000))
    tone = (np.sin(samples / 8000 * 2 * np.pi * pitch) * 8000).astype(np.int16)[None]
    for start in range(0, tone.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone[:, start : start + 1024]), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
        output.mux(track.encode(frame))
    output.mux(track.encode())
