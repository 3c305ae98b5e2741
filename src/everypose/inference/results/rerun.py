"""Results as a Rerun recording: images, and people as points with their limbs, over time."""

from pathlib import Path
from types import ModuleType

import numpy as np

from everypose.errors import EveryposeError, UsageError
from everypose.inference.results.record import FrameResult, ResultsWriter
from everypose.skeleton.skeleton import Skeleton

IMAGE, PEOPLE = "image", "image/people"
JPEG_QUALITY = 85
LARGEST_CLASS = 2**16 - 1
"""Rerun's numbers of classes have 16 bits."""


class RerunWriter(ResultsWriter):
    """Writes an .rrd file that the Rerun viewer opens.

    Frames of a video are placed by their time; photos in their order. Images are recorded where the people have
    them attached. A class is an identity, so that each tracked person keeps a color.

    Attributes:
        path: the file.

    >>> from everypose.people import People
    >>> try:
    ...     with RerunWriter(Path("clip.rrd")) as writer:
    ...         writer.add(FrameResult("a.jpg", People.empty(Skeleton.named("coco"))))
    ... except UsageError as error:  # without the package
    ...     assert "pip install rerun-sdk" in str(error)
    """

    def __init__(self, path: Path) -> None:
        """Open the recording.

        Args:
            path: the .rrd file; its folder is made if missing.

        Raises:
            UsageError: if the package ``rerun-sdk`` is not installed.
            EveryposeError: if the file cannot be written.
        """
        self.path = path
        self._rerun = require_rerun()
        self._number = 0
        self._skeleton: Skeleton | None = None
        self._classes = 0
        self._recording = self._rerun.RecordingStream("everypose")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._recording.save(str(path))
        except (OSError, RuntimeError) as error:
            raise EveryposeError(f"cannot write {path}: {error}") from error

    def add(self, result: FrameResult) -> None:
        """Record the next photo or frame.

        Raises:
            EveryposeError: if the people have another skeleton than those before.
        """
        rerun, people = self._rerun, result.people
        if self._skeleton not in (None, people.skeleton):
            raise EveryposeError(f"{self.path}: a recording cannot hold people of different skeletons")
        self._set_time(result)
        ids = (np.arange(len(people)) if people.ids is None else people.ids) % (LARGEST_CLASS + 1)
        self._describe(people.skeleton, int(ids.max(initial=0)) + 1)
        if people.image is not None:
            self._recording.log(IMAGE, rerun.Image(people.image).compress(jpeg_quality=JPEG_QUALITY))
        count = len(people.skeleton)
        self._recording.log(
            PEOPLE,
            rerun.Points2D(
                people.keypoints[..., :2].reshape(-1, 2),
                keypoint_ids=np.tile(np.arange(count, dtype=np.uint16), len(people)),
                class_ids=np.repeat(ids.astype(np.uint16), count),
            ),
        )
        self._number += 1

    def _set_time(self, result: FrameResult) -> None:
        """Place what follows in time."""
        self._recording.set_time("frame", sequence=self._number if result.frame is None else result.frame)
        if result.time is not None:
            self._recording.set_time("time", duration=result.time)

    def _describe(self, skeleton: Skeleton, classes: int) -> None:
        """Describe the keypoints and their links for each identity, for twice as many identities each time."""
        if classes <= self._classes:
            return
        rerun = self._rerun
        classes = 1 << (classes - 1).bit_length()
        keypoints = [rerun.AnnotationInfo(id=index, label=name) for index, name in enumerate(skeleton.keypoints)]
        descriptions = [
            rerun.ClassDescription(
                info=rerun.AnnotationInfo(id=number, label=f"person {number}"),
                keypoint_annotations=keypoints,
                keypoint_connections=list(skeleton.links),
            )
            for number in range(classes)
        ]
        self._recording.log("/", rerun.AnnotationContext(descriptions), static=True)
        self._skeleton, self._classes = skeleton, classes

    def close(self) -> None:
        """Finish the file."""
        self._recording.flush()
        self._recording.disconnect()


def require_rerun() -> ModuleType:
    """Import Rerun.

    Raises:
        UsageError: if it is not installed.

    >>> try:
    ...     assert require_rerun().__name__ == "rerun"
    ... except UsageError as error:  # without the package
    ...     assert "pip install rerun-sdk" in str(error)
    """
    try:
        import rerun
    except ImportError as error:
        raise UsageError("Rerun recordings need a package that is not installed: pip install rerun-sdk") from error
    module: ModuleType = rerun
    return module
