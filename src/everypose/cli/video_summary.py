"""The summary of processed videos, printed by ``predict`` and ``track``."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everypose.inference.video.run import VideoSummary


def print_clips(clips: "Iterable[VideoSummary]") -> None:
    """Print the counts, the speed and the output of each video.

    >>> from everypose.inference.video.run import VideoSummary
    >>> print_clips([VideoSummary("clip.mp4", frames=30, people=60, seconds=1.5, tracks=2)])
    60 people in 30 frames of clip.mp4, 2 tracks, 1.5 s (20.0 frames a second)
    """
    for clip in clips:
        speed = f", {clip.seconds:.1f} s ({clip.frames / clip.seconds:.1f} frames a second)" if clip.seconds else ""
        tracks = "" if clip.tracks is None else f", {clip.tracks} tracks"
        print(f"{clip.people} people in {clip.frames} frames of {clip.label}{tracks}{speed}")
        for note in clip.notes:
            print(f"  note           {note}")
        if clip.video:
            print(f"  video          {clip.video}")


def clip_as_dict(clip: "VideoSummary") -> dict[str, object]:
    """Return the summary of one video for a program that reads it.

    >>> from everypose.inference.video.run import VideoSummary
    >>> clip_as_dict(VideoSummary("clip.mp4", frames=30, people=60))["people"]
    60
    """
    return {
        "video": clip.label,
        "frames": clip.frames,
        "people": clip.people,
        "tracks": clip.tracks,
        "seconds": round(clip.seconds, 3),
        "complete": clip.complete,
        "drawn": str(clip.video) if clip.video else None,
        "notes": clip.notes,
    }
