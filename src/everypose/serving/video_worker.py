"""A process that finds the people in one video and ends: frames out as they are done, the whole result at the end.

The service starts it as ``python -m everypose.serving.video_worker``, sends one message with the options and the video,
and reads messages (:mod:`everypose.serving.messages`): ``{"frames": n, "total": m}`` while it works, and at the end the
result or ``{"error": "one line"}``. The video stays in memory.
"""

import json
import os
import re
import signal
import time
from collections.abc import Sequence
from typing import Any, BinaryIO

from everypose.core.process_setup import hide_native_messages
from everypose.errors import EveryposeError, MissingDependencyError
from everypose.inference.results.coco import coco_entries
from everypose.inference.results.csv_table import to_csv
from everypose.inference.results.record import FrameResult
from everypose.serving.messages import Header, pack, read_message
from everypose.serving.rendering import in_skeleton
from everypose.serving.worker import take_standard_streams, weights_of

CONTAINERS = re.compile(
    rb"....(?:ftyp|moov|mdat|wide|free|skip)"  # MP4, MOV
    rb"|\x1a\x45\xdf\xa3"  # Matroska, WebM
    rb"|RIFF....AVI |OggS|FLV\x01|\x00\x00\x01\xba"  # AVI, Ogg, FLV, MPEG program stream
    rb"|\x47.{187}\x47",  # MPEG transport stream
    re.DOTALL,
)
"""First bytes of video files. Play lists are not accepted, because they name other files and addresses."""
REPORT_SECONDS = 0.5
VIDEO = "the video of the request"
"""What messages call it."""


def is_video(content: bytes) -> bool:
    """Whether the content is a video file of a kind that names no other files.

    >>> is_video(b"#EXTM3U file:///etc/passwd")
    False
    """
    return CONTAINERS.match(content[:200]) is not None


def main() -> None:
    """Answer one message."""
    with take_standard_streams() as (source, target):
        hide_native_messages()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        message = read_message(source)
        if message is None:
            return
        try:
            header, content = _process(*message, target)
        except EveryposeError as error:
            header, content = {"error": str(error)}, b""
        target.write(pack(header, content))
        target.flush()


def _process(options: Header, content: bytes, target: BinaryIO) -> tuple[Header, bytes]:
    """Find the people in all frames; return the header and content of the last message."""
    from everypose.inference.loading import load

    try:
        from everypose.video.file import VideoFile
        from everypose.video.stream import FrameStream
    except ImportError as error:
        raise MissingDependencyError("reading videos", "video") from error
    estimator = load(options["model"], **options["options"])
    path = _in_memory(content)
    tracker = None
    if options["track"]:
        from everypose.tracking.tracker import Tracker

        tracker = Tracker(estimator.skeleton)
    results: list[FrameResult] = []
    reported = time.monotonic()
    try:
        video = VideoFile(path)
    except EveryposeError as error:
        reason = str(error).replace(f"the video {path}", VIDEO).replace(path, VIDEO)
        raise EveryposeError(reason) from error
    video.name = VIDEO
    total = round(float(video.duration * (video.frame_rate or 0))) if video.duration else None
    with FrameStream(estimator, video, tracker=tracker) as frames:
        for frame in frames:
            people = frame.people[frame.people.scores >= (options["min_score"] or 0)]
            people.image = None  # frames are not kept
            if options["skeleton"] is not None:
                people = in_skeleton(people, options["skeleton"])
            height, width = frame.image.shape[:2]
            results.append(
                FrameResult("video", people, width, height, frame=frame.index, time=frame.time, image_id=frame.index)
            )
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                target.write(pack({"frames": len(results), "total": total}))
                target.flush()
    weights = weights_of(options["model"])
    media_type, body = _render(results, options["format"], estimator.config.name, weights)
    return {"frames": len(results), "total": len(results), "media_type": media_type, "weights": weights}, body


def _in_memory(content: bytes) -> str:
    """Write a file that exists in memory only; return its path."""
    if not hasattr(os, "memfd_create"):
        raise EveryposeError("videos are kept in memory, which needs Linux: use 'everypose predict' here")
    descriptor = os.memfd_create("video")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    return f"/proc/self/fd/{descriptor}"


def _render(results: Sequence[FrameResult], output: str, model: str, weights: Header) -> tuple[str, bytes]:
    """Encode all results; return their media type and content."""
    if output == "csv":
        return "text/csv; charset=utf-8", to_csv(results)
    if output == "coco":
        entries = [entry for result in results for entry in coco_entries(result)]
        return "application/json", json.dumps(entries, allow_nan=False).encode()
    frames: list[dict[str, Any]] = []
    skeleton: dict[str, Any] = {}
    for result in results:
        content = json.loads(result.people.to_json())
        skeleton = content["skeleton"]
        frames.append({"frame": result.frame, "time": result.time, "people": content["people"]})
    size = {"width": results[0].width, "height": results[0].height} if results else {"width": 0, "height": 0}
    content = {"model": model, "weights": weights, "image": size, "skeleton": skeleton, "frames": frames}
    return "application/json", json.dumps(content, allow_nan=False).encode()


if __name__ == "__main__":
    main()
