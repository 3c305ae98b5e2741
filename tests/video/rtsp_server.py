"""A small RTSP server (RFC 2326): sends `clips.picture` as H.264 over TCP (RFC 6184), and can cut its connections."""

import base64
import contextlib
import socket
import struct
import threading
import time
from fractions import Fraction

import av

from video.clips import picture

LARGEST_PAYLOAD = 1200


def encoder(rate):
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = 96, 64, "yuv420p"
    codec.framerate, codec.time_base, codec.gop_size = Fraction(rate), Fraction(1, rate), 10
    codec.options = {"preset": "ultrafast", "tune": "zerolatency"}
    return codec


def units(packet):
    """The NAL units of an Annex B packet."""
    return [part.rstrip(b"\0") for part in bytes(packet).split(b"\0\0\1") if part.strip(b"\0")]


def payloads(unit):
    """The unit as one RTP payload, or in fragments (FU-A)."""
    if len(unit) <= LARGEST_PAYLOAD:
        return [unit]
    head, body = unit[0], unit[1:]
    parts = [body[start : start + LARGEST_PAYLOAD] for start in range(0, len(body), LARGEST_PAYLOAD)]
    flags = [(0x80 if i == 0 else 0) | (0x40 if i == len(parts) - 1 else 0) for i in range(len(parts))]
    return [bytes([head & 0xE0 | 28, flag | head & 0x1F]) + part for flag, part in zip(flags, parts, strict=True)]


class RtspServer:
    """Serves one endless stream on a port of this machine.

    Attributes:
        address: where it is.
        connections: how many clients have been sent frames.
    """

    def __init__(self, rate=30):
        self.rate = rate
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://user:secret@127.0.0.1:{self._listener.getsockname()[1]}/stream"
        self._open = []
        self._accepting = threading.Event()
        self._accepting.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._accepting.is_set():
                client.close()
                continue
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def cut(self):
        """Close all connections and refuse new ones."""
        self._accepting.clear()
        while self._open:
            client = self._open.pop()
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def restore(self):
        """Take connections again."""
        self._accepting.set()

    def close(self):
        self.cut()
        self._listener.close()

    def _serve(self, client):
        with contextlib.suppress(OSError, ValueError), client, client.makefile("rb") as requests:
            while True:
                lines = []
                while line := requests.readline().strip():
                    lines.append(line.decode())
                if not lines:
                    return
                self._answer(client, lines)

    def _answer(self, client, lines):
        method = lines[0].split()[0]
        number = next(line.split(":")[1].strip() for line in lines if line.lower().startswith("cseq"))
        extra, body = "", ""
        if method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = self._description()
            extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif method == "PLAY":
            extra = "Session: 1\r\nRange: npt=0.000-\r\n"
        client.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{extra}\r\n{body}".encode())
        if method == "PLAY":
            self.connections += 1
            threading.Thread(target=self._send, args=(client,), daemon=True).start()

    def _description(self):
        codec = encoder(self.rate)
        frame = av.VideoFrame.from_ndarray(picture(0))
        found = [unit for packet in codec.encode(frame) for unit in units(packet)]
        sets = ",".join(base64.b64encode(unit).decode() for unit in found if unit[0] & 0x1F in (7, 8))
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets={sets}\r\n"
            "a=control:track\r\n"
        )

    def _send(self, client):
        codec, sequence, start = encoder(self.rate), 0, time.monotonic()
        number = 0
        try:
            while True:
                frame = av.VideoFrame.from_ndarray(picture(number))
                frame.pts = number
                found = [unit for packet in codec.encode(frame) for unit in units(packet)]
                pieces = [piece for unit in found for piece in payloads(unit)]
                for index, piece in enumerate(pieces):
                    marker = 0x80 if index == len(pieces) - 1 else 0
                    stamp = number * 90_000 // self.rate
                    packet = struct.pack(">BBHII", 0x80, marker | 96, sequence & 0xFFFF, stamp, 1) + piece
                    client.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                    sequence += 1
                number += 1
                time.sleep(max(0.0, start + number / self.rate - time.monotonic()))
        except OSError:
            pass
