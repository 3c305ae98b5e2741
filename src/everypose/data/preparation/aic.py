"""AI Challenger's keypoint annotations: from its JSON lists to COCO's format."""

from pathlib import Path
from typing import Any

from everypose.core.files import read_json
from everypose.core.progress import track
from everypose.data.images import read_header
from everypose.data.preparation.prepared import Entry, Prepared, annotation, category, find_file, require_any
from everypose.errors import as_user_error
from everypose.skeleton.skeleton import Skeleton

SPLITS = {"train": "train", "val": "validation"}
VISIBILITY = {1: 2, 2: 1, 3: 0}
"""AI Challenger's flags (1 visible, 2 hidden, 3 not in the image or unsure) to COCO's."""


def prepare_aic(folder: Path, *, quiet: bool = False) -> list[Prepared]:
    """Convert ``keypoint_{train,validation}_annotations_*.json``, wherever they are below the folder.

    Args:
        folder: of the extracted downloads.
        quiet: show no progress bar.

    Raises:
        EveryposeError: if no annotations or images are there, or a file is damaged.

    >>> prepare_aic(Path("downloads"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: downloads does not hold keypoint_train_annotations_*.json or ...
    """
    prepared = []
    for split, word in SPLITS.items():
        path = find_file(folder, [f"**/keypoint_{word}_annotations_*.json"])
        if path is not None:
            prepared.append(_split(folder, path, split, word, quiet=quiet))
    require_any(prepared, folder, "keypoint_train_annotations_*.json or keypoint_validation_annotations_*.json")
    return prepared


def _split(folder: Path, path: Path, split: str, word: str, *, quiet: bool) -> Prepared:
    roots = [each for each in sorted(folder.glob(f"**/keypoint_{word}_images_*")) if each.is_dir()]
    require_any(roots, folder, f"a folder keypoint_{word}_images_* with the images of {path.name}")
    images: list[Entry] = []
    annotations: list[Entry] = []
    missing = 0
    with as_user_error(f"{path} is not an annotation list of AI Challenger"):
        for entry in track(read_json(path), f"AIC {split}", quiet=quiet):
            file = roots[0] / f"{str(entry['image_id']).rsplit('/', 1)[-1]}.jpg"
            if not file.is_file():
                missing += 1
                continue
            size = read_header(file).upright
            image_id = len(images) + 1
            images.append({"id": image_id, "file_name": file.name, "width": size[0], "height": size[1]})
            annotations += _people(entry, image_id, len(annotations) + 1)
    notes = [f"{missing} images are listed but not in {roots[0]}: they are left out"] if missing else []
    return Prepared(
        f"aic_{split}.json",
        images,
        annotations,
        category(Skeleton.named("aic")),
        links={f"images/{split}": roots[0]},
        notes=notes,
    )


def _people(entry: dict[str, Any], image_id: int, first: int) -> list[Entry]:
    """The annotations of one image, numbered from ``first``."""
    people: list[Entry] = []
    for name, values in entry["keypoint_annotations"].items():
        x1, y1, x2, y2 = (float(side) for side in entry["human_annotations"][name])
        keypoints: list[float] = []
        for x, y, flag in zip(values[0::3], values[1::3], values[2::3], strict=True):
            visibility = VISIBILITY[int(flag)]
            keypoints += [float(x), float(y), visibility] if visibility else [0.0, 0.0, 0]
        people.append(annotation(first + len(people), image_id, keypoints, [x1, y1, x2 - x1, y2 - y1]))
    return people
