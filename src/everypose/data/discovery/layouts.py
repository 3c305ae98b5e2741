"""Finding a data set's annotations and images on disk in any of the common layouts."""

import json
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from everypose.data.discovery.annotation_files import contained, last_part
from everypose.data.discovery.tool_files import read_annotations, refuse_tool_files
from everypose.data.discovery.walk import is_file, is_folder
from everypose.data.formats.coco import read_coco
from everypose.data.formats.mpii import read_mpii
from everypose.data.scenes import SceneSet, joined
from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.skeleton import Skeleton

# (data set or None for custom ones, annotation file of a split, description), the most specific first.
_LAYOUTS: tuple[tuple[str | None, str, str], ...] = (
    ("coco", "annotations/person_keypoints_{split}2017.json", "COCO as published"),
    ("coco", "annotations/coco_{split}.json", "COCO as CID and BoIR lay it out"),
    ("crowdpose", "annotations/crowdpose_{split}.json", "CrowdPose as CID and BoIR lay it out"),
    ("crowdpose", "annotations/mmpose_crowdpose_{split}.json", "CrowdPose as MMPose lays it out"),
    ("crowdpose", "json/crowdpose_{split}.json", "CrowdPose as DEKR lays it out"),
    ("crowdpose", "crowdpose_{split}.json", "CrowdPose as published"),
    ("ochuman", "annotations/ochuman_{split}.json", "OCHuman as CID and BoIR lay it out"),
    ("ochuman", "ochuman_coco_format_{split}_range_0.00_1.00.json", "OCHuman as published, every overlap"),
    ("ochuman", "annotations/ochuman_coco_format_{split}_range_0.00_1.00.json", "OCHuman as MMPose lays it out"),
    ("mpii", "annotations/mpii_{split}.json", "MPII as MMPose lays it out"),
    (None, "{split}/_annotations.coco.json", "a Roboflow export"),
    (None, "annotations/person_keypoints_{split}.json", "a CVAT export"),
    (None, "annotations/{split}.json", "annotations/ and images"),
    (None, "{split}.json", "one annotation file for each split"),
    (None, "{split}/result.json", "Label Studio exports"),
    (None, "result.json", "a Label Studio export without splits"),
)
_IMAGE_FOLDERS = (
    "{split}2017",
    "images/{split}2017",
    "images/{split}",
    "{split}/images",
    "{split}",
    "images",
    "data",
    ".",
)
_SPLIT_NAMES = {"val": ("val", "valid", "validation")}
_DATASETS = tuple(dict.fromkeys(dataset for dataset, _, _ in _LAYOUTS if dataset))
_IMAGE_NAME = re.compile(rb'"(?:file_name|image)"\s*:\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Layout:
    """The files of one split of a data set.

    Attributes:
        annotation_files: one, or those whose union is the split (CrowdPose's trainval from train and val).
        image_root: what the images' file names are relative to.
        dataset: its name; None for a custom set.
        skeleton_name: of the data set; None if the annotations' category defines it.
        description: the layout that was found.

    >>> Layout((Path("gt.json"),), Path("images"), None, "val", "the given file").annotation_files[0].name
    'gt.json'
    """

    annotation_files: tuple[Path, ...]
    image_root: Path
    dataset: str | None
    skeleton_name: str | None
    description: str

    @property
    def annotation_file(self) -> Path:
        """The only annotation file, or the first of several."""
        return self.annotation_files[0]

    def read(self, skeleton: Skeleton | None = None) -> SceneSet:
        """Read the split, joined where it lies in several files; ``skeleton`` replaces what the files say."""
        if skeleton is None and self.skeleton_name is not None:
            skeleton = Skeleton.named(self.skeleton_name)
        if self.dataset == "mpii":
            sets = [read_mpii(path, self.image_root) for path in self.annotation_files]
        else:
            sets = [read_coco(path, self.image_root, skeleton) for path in self.annotation_files]
        return sets[0] if len(sets) == 1 else joined(sets, " + ".join(each.name for each in sets))


def find_data(root: Path | str, split: str, dataset: str | None = None) -> Layout:
    """Find a split's annotations and images under ``root``, the data set's folder or the one that holds it.

    Args:
        root: a folder.
        split: ``train``, ``val``, ``test``, ``trainval``, or a subset's own name.
        dataset: which one, if the folder has several; custom sets are found in any case.

    Raises:
        EveryposeError: if nothing is found; the message lists the names that were tried. If a split is joined from
            several whose images are in different folders.
        UsageError: if several data sets lie there and none was named.

    >>> Path("coco/annotations").mkdir(parents=True)
    >>> Path("coco/val2017").mkdir()
    >>> Path("coco/val2017/a.jpg").touch()
    >>> content = '{"images": [{"id": 1, "file_name": "a.jpg"}]}'
    >>> _ = Path("coco/annotations/person_keypoints_val2017.json").write_text(content)
    >>> layout = find_data("coco", "val")
    >>> layout.dataset, layout.image_root.name, layout.description
    ('coco', 'val2017', 'COCO as published')
    """
    root = Path(root)
    if not root.is_dir():
        raise EveryposeError(f"{root} is not a folder; give the folder that holds the data set")
    splits: tuple[str, ...] = (split,)
    found = list(_found(root, splits, dataset))
    if not found and split == "trainval":
        splits = ("train", "val")
        found = list(_found(root, splits, dataset))
    if not found:
        refuse_tool_files(root)
        raise EveryposeError(f"no {split!r} annotations under {root}; looked for {_looked_for(split, dataset)}")
    datasets = list(dict.fromkeys(each.dataset for each in found if each.dataset))
    if len(datasets) > 1:
        raise UsageError(f"{root} holds {' and '.join(datasets)}; say which is meant")
    best = found[0]
    parts = zip(best.annotation_files, splits, strict=True)
    roots = list(dict.fromkeys(_image_root(best.base, file, part) for file, part in parts))
    if len(roots) > 1:
        raise EveryposeError(
            f"the images of {' and '.join(splits)} are in different folders, {' and '.join(map(str, roots))}: read the "
            "splits one by one, or give each as a source of its own"
        )
    return Layout(best.annotation_files, roots[0], best.dataset, best.dataset, best.description)


@dataclass(frozen=True)
class _Match:
    """A layout all of whose annotation files exist."""

    base: Path
    annotation_files: tuple[Path, ...]
    dataset: str | None
    description: str


def _found(root: Path, splits: tuple[str, ...], dataset: str | None) -> Iterator[_Match]:
    """Matches of the data set's own layouts, then of the general ones."""
    known = dataset if dataset in _DATASETS else None
    for name, pattern, description in _LAYOUTS:
        if name is not None and dataset not in (None, name):
            continue
        for base in _bases(root, name or known):
            files = [_annotation_file(base, pattern, split) for split in splits]
            present = tuple(path for path in files if path is not None)
            # A file without a split in its name must not be joined with itself.
            if len(present) == len(splits) == len(set(present)):
                yield _Match(base, present, name, description)


def _bases(root: Path, dataset: str | None) -> list[Path]:
    """The folder itself, and one in it that bears the data set's name (``coco``, ``CrowdPose``, ``coco2017``)."""
    if dataset is None:
        return [root]
    named = re.compile(rf"(ms)?{dataset}[-_ ]?(20\d\d)?", re.IGNORECASE)
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise EveryposeError(f"cannot read the folder {root}: {error.strerror or error}") from error
    return [root, *(entry for entry in entries if named.fullmatch(entry.name) and is_folder(entry))]


def _annotation_file(base: Path, pattern: str, split: str) -> Path | None:
    for name in _SPLIT_NAMES.get(split, (split,)):
        path = base / pattern.format(split=name)
        if is_file(path):
            return path
    return None


def _image_root(base: Path, annotation_file: Path, split: str) -> Path:
    """The folder in which the first image of the annotation file lies, with or without the folders of its name."""
    name = _first_image(annotation_file)
    names = [name, last_part(name)]
    folders = [annotation_file.parent]
    for each in _SPLIT_NAMES.get(split, (split,)):
        folders += [base / folder.format(split=each) for folder in _IMAGE_FOLDERS]
    for candidate in names:
        for folder in folders:
            path = contained(folder, candidate)
            if path is not None and is_file(path):
                return folder
    read_annotations(annotation_file)
    tried = ", ".join(dict.fromkeys(str(folder.relative_to(base)) for folder in folders))
    raise EveryposeError(f"{annotation_file} is there, but its image {name} is not; looked in these of {base}: {tried}")


def _first_image(annotation_file: Path) -> str:
    """The first image name in the file, found without parsing hundreds of megabytes of JSON."""
    try:
        with annotation_file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            match = _IMAGE_NAME.search(content)
            if match is not None:
                return str(json.loads(b'"' + match[1] + b'"'))
    except (OSError, ValueError) as error:
        raise EveryposeError(f"cannot read {annotation_file}: {error}") from error
    read_annotations(annotation_file)
    raise EveryposeError(f"{annotation_file} names no image; it is not a COCO annotation file or it is empty")


def _looked_for(split: str, dataset: str | None) -> str:
    patterns = [pattern for name, pattern, _ in _LAYOUTS if name is None or dataset in (None, name)]
    return ", ".join(pattern.format(split=split) for pattern in patterns)
