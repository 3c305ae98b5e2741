"""The options of ``predict``: boxes, videos, drawing, outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from everypose.errors import UsageError

if TYPE_CHECKING:
    from everypose.drawing import DrawingStyle
    from everypose.inference.box_sources import DetectionsFile, WholeImage
    from everypose.inference.estimator import Estimator
    from everypose.video import Selection

WHOLE_IMAGE = "image"
ANY_CATEGORY = "any"
TRAIL_SECONDS = 2.0
"""Length of the trails of tracked people in seconds, if nothing else is given."""
_FEW_IMAGES = ("pictures", "json")
_WITH_VIDEOS = ("pictures", "json", "csv")

TilesOption = Annotated[
    int | None,
    typer.Option(
        "--tiles",
        help="Run the detector on this many overlapping tiles along the longer side, too: finds smaller people in "
        "more time.",
        min=2,
        max=8,
    ),
]


@dataclass(frozen=True)
class PersonBoxOptions:
    """Where a top-down model's boxes come from.

    >>> type(PersonBoxOptions(boxes="image").given({}, videos=False)).__name__
    'WholeImage'
    """

    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            help="For a top-down model: picodet-s, a single-stage model, or a YOLOX, RT-DETR or PicoDet (.onnx). "
            "[default: picodet-s]",
        ),
    ] = None
    boxes: Annotated[
        str | None,
        typer.Option(
            "--boxes",
            metavar="image|FILE",
            help="Instead of a detector: image for one box around each whole image, or a COCO results list with boxes "
            "(bbox, score).",
        ),
    ] = None
    box_threshold: Annotated[
        float | None,
        typer.Option("--box-threshold", help="Lowest score of a box. [default: the detector's]", min=0, max=1),
    ] = None
    box_category: Annotated[
        str | None,
        typer.Option(
            "--box-category", metavar="N|any", help="Category of the boxes of a file, such as a species. [default: 1]"
        ),
    ] = None
    tiles: TilesOption = None

    def given(self, image_ids: Mapping[Path, int], *, videos: bool) -> "DetectionsFile | WholeImage | None":
        """Return the boxes of ``--boxes``; None if a detector finds them.

        Args:
            image_ids: the images of the run and their numbers, for a file.
            videos: whether there are videos, of which a file cannot say anything.

        Raises:
            UsageError: if the options contradict each other.
        """
        from everypose.inference.box_sources import PERSON_CATEGORY, DetectionsFile, WholeImage

        if self.tiles is not None and self.boxes is not None:
            raise UsageError("--tiles is for a detector, not for --boxes: give one of them")
        if self.detector is not None and self.boxes is not None:
            raise UsageError("--detector and --boxes both say where the people are: give one of them")
        is_file = self.boxes not in (None, WHOLE_IMAGE)
        category = self.box_category
        if category is not None and not is_file:
            raise UsageError("--box-category chooses from the boxes of a file: give --boxes FILE")
        if category not in (None, ANY_CATEGORY) and not category.isdecimal():
            raise UsageError(f"--box-category {category}: give a category's number, or {ANY_CATEGORY}")
        if self.boxes is None:
            return None
        if not is_file:
            if self.box_threshold is not None:
                raise UsageError("--boxes image gives one box for each image, which has no score to be compared")
            return WholeImage()
        if videos:
            raise UsageError("--boxes FILE gives the boxes of images, not of videos: use a detector")
        counted = PERSON_CATEGORY if category is None else None if category == ANY_CATEGORY else int(category)
        return DetectionsFile(Path(self.boxes), dict(image_ids), self.box_threshold or 0.0, counted)

    def describe(self, estimator: "Estimator", given: "DetectionsFile | WholeImage | None", images: int) -> str | None:
        """Return where a top-down model got its boxes from; None for a model that needs none."""
        from everypose.inference.box_sources import DetectionsFile, WholeImage
        from everypose.inference.top_down import as_top_down
        from everypose.models.default_names import DEFAULT_DETECTOR

        top_down = as_top_down(estimator)
        if top_down is None:
            return None
        if isinstance(given, WholeImage):
            source = "one around each whole image"
        elif isinstance(given, DetectionsFile):
            source = f"from {given.path}, for {given.count_images()} of {images} images"
            if given.other_categories:
                source += f"; {given.other_categories} of other categories do not count (see --box-category)"
        elif self.detector:
            source = f"by {self.detector}"
        else:
            source = f"by {DEFAULT_DETECTOR}, the default (see --detector and --boxes)"
        if not top_down.dropped:
            return source
        return f"{source}; {top_down.dropped} left out, which have no area, lie outside or are too small"


@dataclass(frozen=True)
class VideoOptions:
    """Which frames of videos are processed, and how.

    >>> VideoOptions(every=5, start="1:30").selection().start
    90.0
    """

    track: Annotated[
        bool, typer.Option("--track", help="Videos: give each person an identity from frame to frame.")
    ] = False
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Videos: smooth the keypoints of tracked people (One-Euro filter).")
    ] = False
    every: Annotated[int, typer.Option("--every", metavar="N", help="Videos: process one of N frames.", min=1)] = 1
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="F", help="Videos: process at most F frames a second.")
    ] = None
    start: Annotated[
        str, typer.Option("--start", metavar="TIME", help="Videos: start at this time, seconds or [h:]m:s.")
    ] = "0"
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Videos: stop at this time, seconds or [h:]m:s.")
    ] = None
    as_video: Annotated[
        bool, typer.Option("--as-video", help="The images of each source are the numbered frames of one video.")
    ] = False
    frame_rate: Annotated[
        float, typer.Option("--frame-rate", metavar="F", help="Frames a second of numbered images.")
    ] = 30.0

    def selection(self) -> "Selection":
        """Return the frames that are processed.

        Raises:
            UsageError: if an option is out of range.
            MissingDependencyError: if PyAV is not installed.
        """
        from everypose.video import Selection

        end = None if self.end is None else parse_time(self.end, "--end")
        return Selection(every=self.every, rate=self.fps, start=parse_time(self.start, "--start"), end=end)


@dataclass(frozen=True)
class DrawingOptions:
    """How people are drawn.

    >>> DrawingOptions(style="points", labels="id,score").drawing_style(tracked=True).labels
    ('id', 'score')
    """

    style: Annotated[
        Literal["limbs", "lines", "points", "none"],
        typer.Option("--style", help="Drawing: thick limbs with an outline, thin lines, keypoints only, or none."),
    ] = "limbs"
    palette: Annotated[
        Literal["vivid", "colorblind"], typer.Option("--palette", help="Drawing: the colors of people.")
    ] = "vivid"
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="LIST",
            help="Drawing: id, score, both, or empty. [default: id of tracked people]",
        ),
    ] = None
    draw_boxes: Annotated[bool, typer.Option("--draw-boxes", help="Drawing: also each person's box.")] = False
    line_width: Annotated[
        float | None,
        typer.Option(
            "--line-width", metavar="PIXELS", help="Drawing: width of limbs. [default: by size]", min=0.1, max=200
        ),
    ] = None
    draw_score: Annotated[
        float, typer.Option("--draw-score", metavar="S", help="Drawing: lowest score of a person.", min=0, max=1)
    ] = 0.0
    keypoint_share: Annotated[
        float,
        typer.Option(
            "--keypoint-share",
            metavar="S",
            help="Drawing: lowest score of a keypoint, as a share of the person's best.",
            min=0,
            max=1,
        ),
    ] = 0.3
    trails: Annotated[
        float | None,
        typer.Option(
            "--trails",
            metavar="SECONDS",
            help="Drawing: length of the trails of tracked people. [default: 2]",
            min=0,
        ),
    ] = None
    blur_faces: Annotated[
        bool, typer.Option("--blur-faces", help="Make faces unrecognizable in pictures, videos and crops.")
    ] = False

    def drawing_style(self, *, tracked: bool) -> "DrawingStyle":
        """Return the settings of drawing.

        Args:
            tracked: whether people have identities, which are then drawn.

        Raises:
            UsageError: if a label is unknown.
        """
        from everypose.drawing import DrawingStyle
        from everypose.drawing.style import LABELS

        text = ("id" if tracked else "") if self.labels is None else self.labels
        names = [part.strip() for part in text.split(",") if part.strip()]
        labels = tuple(label for label in LABELS if label in names)
        if unknown := sorted(set(names) - set(LABELS)):
            raise UsageError(f"--labels {unknown[0]} is unknown: choose from {', '.join(LABELS)}")
        return DrawingStyle(
            skeleton=self.style,
            palette=self.palette,
            boxes=self.draw_boxes,
            labels=labels,
            line_width=self.line_width,
            min_score=self.draw_score,
            keypoint_share=self.keypoint_share,
            blur_faces=self.blur_faces,
            trail_seconds=(TRAIL_SECONDS if tracked else 0.0) if self.trails is None else self.trails,
        )


@dataclass(frozen=True)
class SaveOptions:
    """Which files are written.

    >>> SaveOptions(save="csv,json").formats(images=True, videos=False, tracked=False)
    ('csv', 'json')
    """

    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")] = Path("everypose-out")
    save: Annotated[
        str | None,
        typer.Option(
            "--save",
            metavar="LIST",
            help="Besides results.json: pictures, json, crops, csv, parquet, openpose, openpose-coco18, ultralytics, "
            "trc, deeplabcut, rerun. [default: pictures,json, with videos also csv]",
        ),
    ] = None
    wide: Annotated[
        bool, typer.Option("--wide", help="Tables have a row for each person instead of one for each keypoint.")
    ] = False
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run into OUT, with the same options.")
    ] = False

    def formats(self, *, images: bool, videos: bool, tracked: bool) -> tuple[str, ...]:
        """Return what is written.

        Args:
            images: whether the run has images.
            videos: whether it has videos.
            tracked: whether people in videos are tracked.

        Raises:
            UsageError: if a format is unknown, lacks its package, or one of movement is wanted of what is not a
                tracked video.
        """
        from everypose.inference.results.rerun import require_rerun
        from everypose.inference.results.writing import Scope, format_names, parse_formats
        from everypose.inference.run_files import SAVES

        if self.save is None:
            return _WITH_VIDEOS if videos else _FEW_IMAGES
        chosen = parse_formats(self.save, SAVES)
        for name in (name for name in chosen if name in format_names(Scope.VIDEO)):
            if images and not videos:
                raise UsageError(f"--save {name} describes movement in videos: for images use csv")
            if not tracked:
                raise UsageError(f"--save {name} describes the movement of each person: add --track")
        if "rerun" in chosen:
            require_rerun()
        return chosen


def parse_time(text: str, option: str) -> float:
    """Return a time in seconds.

    >>> parse_time("90.5", "--start"), parse_time("1:30.5", "--start"), parse_time("1:00:00", "--start")
    (90.5, 90.5, 3600.0)

    Raises:
        UsageError: if it is not seconds, m:s or h:m:s.
    """
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(part < 0 for part in parts):
        raise UsageError(f"{option} {text}: give a time in seconds, or as m:s or h:m:s")
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + part
    return seconds
