"""What all result formats have in common: the result of one photo or video frame, and the writer's interface."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from everypose.core.arrays import Image
from everypose.models.identity import ModelIdentity
from everypose.people import People


@dataclass(frozen=True)
class FrameResult:
    """The people of one photo or video frame.

    Attributes:
        file: the photo or video, as the user named it.
        people: its people.
        width: width of the image in pixels; 0 if unknown, as in results read from a table.
        height: height of the image in pixels; 0 if unknown.
        frame: number of the frame in its video, from 0; None for a photo.
        time: when the frame is shown, in seconds from the start of the video; None for a photo.
        image_id: COCO's number of the image; None if the format has none.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> FrameResult("clip.mp4", People.empty(Skeleton.named("coco")), frame=3, time=0.1).frame
    3
    """

    file: str
    people: People
    width: int = 0
    height: int = 0
    frame: int | None = None
    time: float | None = None
    image_id: int | None = None

    def with_image(self, image: Image | None) -> "FrameResult":
        """Return the result with this image attached to its people; None detaches it.

        >>> import numpy as np
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> result = FrameResult("a.jpg", People.empty(Skeleton.named("coco")))
        >>> result.with_image(np.zeros((48, 64, 3), np.uint8)).people.image.shape
        (48, 64, 3)
        """
        old = self.people
        people = People(old.keypoints, old.scores, old.skeleton, boxes=old.boxes, image=image, ids=old.ids)
        return replace(self, people=people)


class ResultsWriter(ABC):
    """Writes the results of photos or frames in sequence, in one format.

    Attributes:
        path: the file or folder that is written.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> class Counter(ResultsWriter):
    ...     path, people = Path("count.txt"), 0
    ...     def add(self, result):
    ...         self.people += len(result.people)
    ...     def close(self):
    ...         pass
    >>> with Counter() as writer:
    ...     writer.add(FrameResult("a.jpg", People.empty(Skeleton.named("coco"))))
    >>> writer.people
    0
    """

    path: Path

    @abstractmethod
    def add(self, result: FrameResult) -> None:
        """Write the next result.

        Raises:
            EveryposeError: if the format cannot hold it, or the disk is full.
        """

    def state_model(self, model: ModelIdentity) -> None:  # noqa: B027  # most formats have no place for it
        """Write which weights found the people, if the format has a place for it; called before the first result."""

    @abstractmethod
    def close(self) -> None:
        """Finish the files.

        Raises:
            EveryposeError: if the disk is full.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
