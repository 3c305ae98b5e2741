"""The kinds of flaws of annotation files, what each means, and how reading treats it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Severity = Literal["broken", "fixable", "repaired", "informs"]

EXAMPLES = 8


@dataclass(frozen=True)
class Kind:
    """One kind of flaw.

    Attributes:
        name: its name in the JSON report.
        severity: "broken": cannot be corrected; the copy of ``--fix`` leaves it out at best. "fixable": ``--fix``
            corrects it, reading does not. "repaired": reading corrects it and reports it. "informs": common in good
            sets, worth knowing.
        what: the flaw, in a few words.
        reading: what reading does about it, or what to do where it cannot.

    >>> CROWD.name, CROWD.severity
    ('crowd_region', 'informs')
    """

    name: str
    severity: Severity
    what: str
    reading: str


@dataclass(frozen=True)
class Flaw:
    """One kind of flaw as met in a file: how often, and the first few names of where.

    Attributes:
        subject: what is counted: "images", "annotations" or "categories".
        examples: ids, file names or short descriptions of the first ones.

    >>> Flaw(CROWD, "annotations", count=12, examples=("7", "9")).kind.severity
    'informs'
    """

    kind: Kind
    subject: str
    count: int
    examples: tuple[str, ...]


@dataclass
class Diagnosis:
    """Everything that was found in one annotation file.

    Attributes:
        persons: annotations with at least one labeled keypoint, crowd regions left out.
        skeleton: name of the shipped skeleton with the same keypoints, or None for one of the user's own.
        image_root: folder of the images; None if none of them was found.
        notes: what could not be checked, and why.

    >>> found = Diagnosis(Path("gt.json"), 10, 30, 28, keypoints=17, skeleton="coco", image_root=None)
    >>> found.flaws += flaw(NO_AREA, "annotations", [4, 5])
    >>> found.readable, found.to_dict()["flaws"][0]["count"]
    (True, 2)
    """

    annotation_file: Path
    images: int
    annotations: int
    persons: int
    keypoints: int
    skeleton: str | None
    image_root: Path | None
    notes: list[str] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)

    @property
    def readable(self) -> bool:
        """Whether reading can repair everything that needs it."""
        return all(flaw.kind.severity in ("repaired", "informs") for flaw in self.flaws)

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as JSON-able data."""
        return {
            "annotation_file": str(self.annotation_file),
            "image_root": None if self.image_root is None else str(self.image_root),
            "images": self.images,
            "annotations": self.annotations,
            "persons": self.persons,
            "keypoints": self.keypoints,
            "skeleton": self.skeleton,
            "readable": self.readable,
            "notes": self.notes,
            "flaws": [
                {
                    "kind": flaw.kind.name,
                    "severity": flaw.kind.severity,
                    "count": flaw.count,
                    "of": flaw.subject,
                    "what": flaw.kind.what,
                    "reading": flaw.kind.reading,
                    "examples": list(flaw.examples),
                }
                for flaw in self.flaws
            ],
        }


def flaw(kind: Kind, subject: str, where: Sequence[Any]) -> list[Flaw]:
    """One flaw for all places ``where`` it was met; none when there are none.

    >>> flaw(CROWD, "annotations", ["7", "9"])[0].count, flaw(CROWD, "annotations", [])
    (2, [])
    """
    return [Flaw(kind, subject, len(where), tuple(str(place) for place in where[:EXAMPLES]))] if len(where) else []


# Categories
NO_CATEGORY = Kind(
    "no_keypoint_category",
    "broken",
    "no category lists its keypoints",
    "give the category the list 'keypoints' with the names, in the order of the annotations",
)
CATEGORY_ENTRY = Kind(
    "category_entry",
    "broken",
    "categories without a usable id, or with another's",
    "give every category an id of its own",
)
CATEGORY_NAME = Kind(
    "category_name",
    "informs",
    "a category whose name does not match its keypoints",
    "reading goes by the keypoints' names and ignores the category's",
)
KEYPOINT_NAMES = Kind(
    "keypoint_names",
    "broken",
    "keypoint names that are misspelt, empty, used twice, or leave left and right open",
    "correct the names in the category: flips, sigmas and conversions are found by them",
)
LINKS = Kind(
    "skeleton_links",
    "repaired",
    "links of the skeleton that name no keypoint when counted from 1",
    "a known skeleton's own links are used; others lose the wrong ones, or count from 0 where they hold a 0",
)
LINKS_UNUSABLE = Kind(
    "skeleton_links_unusable",
    "fixable",
    "links of the skeleton that are no pairs of keypoint numbers",
    "correct the category's 'skeleton'; --fix drops the wrong ones",
)
MIXED_SKELETONS = Kind(
    "mixed_skeletons",
    "broken",
    "categories with different keypoints in one file",
    "split the file by category: a data set has one skeleton",
)

# Images
IMAGE_ENTRY = Kind(
    "image_entry",
    "broken",
    "image entries without a file_name or without a whole number as id",
    "complete or remove these entries",
)
DUPLICATE_IMAGE_ID = Kind(
    "duplicate_image_id",
    "broken",
    "image ids that stand for different files",
    "give every image its own id: which annotations belong to which image is ambiguous",
)
IMAGE_TWICE = Kind(
    "image_listed_twice",
    "repaired",
    "images listed more than once, with the same id and file",
    "they are taken once",
)
DUPLICATE_FILE_NAME = Kind(
    "duplicate_file_name",
    "informs",
    "files that several image entries name",
    "each entry is read as an image of its own",
)
NO_SIZE = Kind(
    "image_size_missing",
    "repaired",
    "image entries without a width and height",
    "the size is read from the image",
)
NO_SIZE_NO_IMAGE = Kind(
    "image_size_unknown",
    "broken",
    "image entries without a width and height, and no image to read them from",
    "give the images with --images",
)
SWAPPED_SIZE = Kind(
    "swapped_size",
    "fixable",
    "width and height swapped against the image",
    "training stops at such an image; --fix writes the image's own size",
)
WRONG_SIZE = Kind(
    "wrong_size",
    "broken",
    "a width or height that is not the image's",
    "the image was resized or replaced after it was annotated: get the original",
)
MISSING_FILE = Kind(
    "missing_file",
    "broken",
    "images that are not there",
    "get the files, or remove their entries with --fix",
)
UNREADABLE_FILE = Kind(
    "unreadable_file",
    "broken",
    "image files that cannot be read",
    "get the files again, or remove their entries with --fix",
)
EXIF_ROTATED = Kind(
    "exif_rotated",
    "informs",
    "images that their EXIF orientation turns or mirrors",
    "reading turns them upright; labels must be those of the upright picture",
)
EXIF_STORED = Kind(
    "exif_labels_not_turned",
    "fixable",
    "images that EXIF turns, labeled as they are stored and not upright",
    "--fix turns the labels upright",
)

# Annotations
ID_TYPE = Kind(
    "id_type",
    "repaired",
    "entries whose ids are written as text or with a decimal point",
    "they are read as whole numbers",
)
FLAG_TEXT = Kind(
    "iscrowd_text",
    "repaired",
    "annotations whose iscrowd is text",
    "'0' and 'false' are read as 0, '1' and 'true' as 1",
)
FLAG_VALUE = Kind(
    "iscrowd_value",
    "broken",
    "annotations whose iscrowd is neither 0 nor 1",
    "reading stops; correct it",
)
NORMALIZED = Kind(
    "normalized_coordinates",
    "broken",
    "coordinates that are all between 0 and 1",
    "reading stops: COCO files hold pixels; multiply by the image's width and height",
)
ANNOTATION_ENTRY = Kind(
    "annotation_entry",
    "broken",
    "annotations that are no JSON object or lack a usable id or image_id",
    "complete or remove them, or let --fix do it",
)
DUPLICATE_ANNOTATION_ID = Kind(
    "duplicate_annotation_id",
    "fixable",
    "annotation ids used more than once",
    "evaluators would silently drop all but one: --fix gives new ids",
)
UNKNOWN_IMAGE = Kind(
    "unknown_image",
    "repaired",
    "annotations of images that the file does not list",
    "they are left out",
)
UNKNOWN_CATEGORY = Kind(
    "unknown_category",
    "broken",
    "annotations of categories that the file does not list",
    "add the category, or remove the annotations with --fix",
)
KEYPOINT_COUNT = Kind(
    "keypoint_count",
    "broken",
    "annotations with another number of keypoints than their category",
    "annotate them again, or remove them with --fix",
)
NOT_A_NUMBER = Kind(
    "not_a_number",
    "fixable",
    "keypoints or boxes that are no numbers (text, lists), or boxes that are not four of them",
    "reading stops; --fix makes the keypoint unlabeled and drops the box",
)
NOT_FINITE = Kind(
    "not_finite",
    "repaired",
    "coordinates that are NaN, infinite, null or 2^53 and more",
    "the keypoint counts as not labeled; instead of the box, the keypoints' extent is used",
)
VISIBILITY = Kind(
    "visibility",
    "broken",
    "visibilities other than 0 (not labeled), 1 (hidden) and 2 (visible)",
    "correct them: their meaning is unknown",
)
NUM_KEYPOINTS = Kind(
    "num_keypoints",
    "repaired",
    "num_keypoints disagrees with the labels",
    "the labels are counted",
)
NO_NUM_KEYPOINTS = Kind(
    "num_keypoints_missing",
    "repaired",
    "annotations without num_keypoints",
    "the labels are counted",
)
NO_KEYPOINTS = Kind(
    "no_keypoints",
    "informs",
    "persons without any labeled keypoint",
    "they are kept as regions to ignore, not as persons",
)
NO_AREA = Kind(
    "no_area",
    "repaired",
    "annotations without a usable area",
    "0.53 × the box's area is used",
)
NO_BOX = Kind(
    "no_box",
    "repaired",
    "annotations without a box",
    "the box around the labeled keypoints is used",
)
BOX_SIZE = Kind(
    "box_size",
    "repaired",
    "boxes of zero or negative width or height",
    "the box around the labeled keypoints is used",
)
BOX_OUTSIDE = Kind(
    "box_outside",
    "informs",
    "boxes that reach outside the image",
    "they are kept as they are; --fix cuts them to the image",
)
KEYPOINT_OUTSIDE = Kind(
    "keypoint_outside",
    "informs",
    "labeled keypoints outside the image",
    "they are kept as they are",
)
KEYPOINT_AT_ORIGIN = Kind(
    "keypoint_at_origin",
    "fixable",
    "labeled keypoints at (0, 0) or (-1, -1)",
    "an unlabeled keypoint with a wrong visibility: --fix makes it unlabeled",
)
CROWD = Kind(
    "crowd_region",
    "informs",
    "crowd regions (iscrowd)",
    "they are regions to ignore, not persons",
)
