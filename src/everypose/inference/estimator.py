"""The estimator: an image in, its people out."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast, overload

from typing_extensions import TypeVar

from everypose.core.arrays import Image
from everypose.core.ordered_work import generator_threads, in_order
from everypose.inference.image_like import ImageLike, image_pixels, is_single_image
from everypose.models.config import ModelConfig
from everypose.people import People

if TYPE_CHECKING:
    from everypose.video.stream import FrameStream, PeopleFilter


class Prepared(Protocol):
    """An image that an estimator has prepared; subclasses of the estimator add to it.

    >>> import numpy as np
    >>> from everypose.inference.boxes import Photo
    >>> prepared: Prepared = Photo(np.zeros((48, 64, 3), np.uint8))
    >>> prepared.image.shape
    (48, 64, 3)
    """

    @property
    def image(self) -> Image:
        """(H, W, 3) uint8 RGB."""
        ...


PreparedT = TypeVar("PreparedT", bound=Prepared, default=Any)
Item = TypeVar("Item")
MOST_NETWORK_PIXELS = 1_500_000
"""The most pixels of network inputs in work at the same time; an input that has more goes alone."""


class Estimator(ABC, Generic[PreparedT]):
    """Finds the people in images: the base of single-stage and top-down estimators.

    Attributes:
        skeleton: the keypoints that it finds.
        config: the model's configuration.
        min_score: people with lower scores are left out.
        batch_size: the most images per batch.
        runs_at_once: batches that go through the network at the same time, in threads of their own, where many images
            are processed.

    >>> import numpy as np
    >>> from everypose import load
    >>> pose = load("boir-lite")
    >>> prepared = pose.prepare(np.zeros((96, 128, 3), np.uint8))
    >>> [len(people) for people in pose.predict([prepared])]
    [0]
    """

    def __init__(self, config: ModelConfig, min_score: float | None, batch_size: int, *, runs_at_once: int = 1) -> None:
        """Store the configuration; ``min_score`` None is the configuration's."""
        self.config = config
        self.skeleton = config.skeleton
        self.min_score = config.min_score if min_score is None else min_score
        self.batch_size = batch_size
        self.runs_at_once = runs_at_once

    @overload
    def __call__(self, images: ImageLike) -> People: ...  # type: ignore[overload-overlap]  # a str is a Sequence of str
    @overload
    def __call__(self, images: Sequence[ImageLike]) -> list[People]: ...
    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> People | list[People]:
        """Find the people in one image or in several.

        Args:
            images: a path, a (H, W, 3) uint8 RGB array, a PIL image, the bytes of an image file, an open file, or a
                list of these.

        Returns:
            People in image pixels, by falling score, with the image attached; a list of them for a sequence.

        Raises:
            EveryposeError: if an image cannot be read or is no image.
        """
        if is_single_image(images):
            return self.predict([self.prepare(cast(ImageLike, images))])[0]
        if not isinstance(images, Iterable):
            image_pixels(images)  # raises an error that lists the accepted types
        return self.predict([self.prepare(image) for image in cast(Sequence[ImageLike], images)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config.name!r}, {len(self.skeleton)} keypoints of {self.skeleton.name!r})"

    def stream(
        self,
        source: int | str | PathLike[str] | Sequence[Path],
        *,
        track: "bool | PeopleFilter" = False,
        smooth: "bool | PeopleFilter" = False,
        every: int = 1,
        fps: float | None = None,
        start: float = 0.0,
        end: float | None = None,
        frame_rate: float = 30.0,
    ) -> "FrameStream":
        """Find the people in the frames of a video, in order.

        Only a few frames are held at a time. Live sources give the newest frame each time.

            for frame in pose.stream("clip.mp4", track=True):
                print(frame.index, frame.time, frame.people.ids)

        Args:
            source: a video file; the number of a camera; an ``rtsp://`` or ``http(s)://`` address; a folder, glob or
                list of numbered images.
            track: give people identities; or a tracker, an object with ``update(people, time, *, image) -> People``.
            smooth: smooth the keypoints of tracked people by a One-Euro filter; or a smoother of the same form.
            every: process one of this many frames.
            fps: process at most this many frames a second of the video.
            start: skip what lies before this time, in seconds.
            end: stop at this time, in seconds.
            frame_rate: frames a second of numbered images.

        Returns:
            An iterator of frames: ``index``, ``time`` in seconds, ``image``, ``people``, and ``raw``, the people before
            smoothing.

        Raises:
            EveryposeError: if the source cannot be opened or contains no video.
            UsageError: if there is no such source, or an option is out of range.
            MissingDependencyError: if PyAV is not installed.
        """
        from everypose.video import Selection, open_video, stream_video

        selection = Selection(every=every, rate=fps, start=start, end=end)
        return stream_video(
            self, open_video(source, selection=selection, frame_rate=frame_rate), track=track, smooth=smooth
        )

    @abstractmethod
    def prepare(self, image: ImageLike) -> PreparedT:
        """Read an image if it is a path, and resize or convert it: what threads can do ahead of the network."""

    def input_pixels(self, prepared: PreparedT) -> int:  # noqa: ARG002  # for subclasses
        """Return the pixels of the network's input, which determine the memory of a run; 0 if all inputs are equal."""
        return 0

    @abstractmethod
    def predict(self, prepared: Sequence[PreparedT]) -> list[People]:
        """Find the people in images that this estimator has prepared."""

    def predict_batches(self, batches: Iterable[Sequence[tuple[Item, PreparedT]]]) -> Generator[tuple[Item, People]]:
        """Yield each item with its people, in order; the network runs ahead, in threads of its own.

        Takes one batch more from ``batches`` than run at the same time, so that no run waits for its input.

        Args:
            batches: items and their prepared images.

        >>> import numpy as np
        >>> from everypose import load
        >>> pose = load("boir-lite")
        >>> batch = [(name, pose.prepare(np.zeros((96, 128, 3), np.uint8))) for name in ("a", "b")]
        >>> [(name, len(people)) for name, people in pose.predict_batches([batch])]
        [('a', 0), ('b', 0)]
        """

        def run(batch: Sequence[tuple[Item, PreparedT]]) -> Iterator[tuple[Item, People]]:
            people = self.predict([prepared for _, prepared in batch])
            return zip([item for item, _ in batch], people, strict=True)

        def pixels(batch: Sequence[tuple[Item, PreparedT]]) -> int:
            return sum(self.input_pixels(prepared) for _, prepared in batch)

        runs = self.runs_at_once
        with generator_threads(runs, "everypose network") as pool:
            for found in in_order(pool, run, batches, runs + 1, pixels, most=MOST_NETWORK_PIXELS):
                yield from found
