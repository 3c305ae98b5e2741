"""Writing Ultralytics YOLO-pose data sets: data.yaml, images/ and labels/; the format is that of `yolo`."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from everypose.core.files import write_text
from everypose.data.discovery.walk import walk
from everypose.data.formats import flat_yaml
from everypose.data.formats.split import Split, checked_images, inside_name, place_images
from everypose.data.images import read_header
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton


def write_yolo(splits: list[Split], out: Path, copy: bool) -> list[str]:
    """Write splits as a YOLO-pose data set; images are linked, or copied.

    What the format cannot hold is left out and reported: crowd regions, areas, ids, keypoints outside the image.

    Returns:
        One sentence for each kind of thing that was left out.

    Raises:
        EveryposeError: if the splits' categories differ or lack keypoints, or an image is missing or not unique.

    >>> category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}
    >>> empty = Split("train", {"images": [], "annotations": [], "categories": [category]}, Path("photos"))
    >>> notes = write_yolo([empty], Path("yolo"), copy=False)
    >>> "kpt_shape: [2, 3]" in Path("yolo/data.yaml").read_text()
    True
    """
    categories = _common_categories(splits)
    skeleton = Skeleton.from_coco_category(categories[0])
    left_out: Counter[str] = Counter()
    category_ids = [category["id"] for category in categories]
    targets = []
    for split in splits:
        _require_own_labels(split, out / "labels" / split.name)
        targets.append(checked_images(split, out / "images" / split.name))
    # Images first and data.yaml last, so that what is interrupted is not taken for a data set.
    for split, each in zip(splits, targets, strict=True):
        place_images(each, copy=copy)
        _write_labels(split, each, category_ids, out, left_out)
    write_text(out / "data.yaml", flat_yaml.dump(_description(splits, categories, skeleton)))
    notes = [f"{count:,} {what}" for what, count in left_out.items() if count]
    if len(skeleton) > 1 and not skeleton.flip_pairs:
        notes.append(
            "flip_idx swaps no keypoints, because their names do not say left or right: if some are pairs, give "
            "--skeleton FILE.toml with flip_pairs"
        )
    if all(split.name != "val" for split in splits):
        notes.append("no split is called val; Ultralytics wants one to train")
    return notes


def _common_categories(splits: list[Split]) -> list[dict[str, Any]]:
    """The categories with keypoints, which all splits must share, and their keypoints all categories."""
    categories, *others = ([c for c in split.content["categories"] if c.get("keypoints")] for split in splits)
    first = splits[0].name
    if not categories:
        raise EveryposeError(f"{first}: no category lists its keypoints; 'everypose data doctor' says more")
    for split, own in zip(splits[1:], others, strict=True):
        if own != categories:
            raise EveryposeError(f"{first} and {split.name} have different categories: convert them apart")
    if any(category["keypoints"] != categories[0]["keypoints"] for category in categories):
        raise EveryposeError(f"{first} holds categories with different keypoints; split it by category")
    return categories


def _description(splits: list[Split], categories: list[dict[str, Any]], skeleton: Skeleton) -> dict[str, Any]:
    """The content of data.yaml.

    Without 'path' Ultralytics takes the YAML file's own folder; a relative one it takes from where it was started.
    """
    return {
        **{split.name: f"images/{split.name}" for split in splits},
        "kpt_shape": [len(skeleton), 3],
        "flip_idx": skeleton.flip_index.tolist(),
        "names": {index: str(category.get("name", index)) for index, category in enumerate(categories)},
        "kpt_names": {index: list(category["keypoints"]) for index, category in enumerate(categories)},
    }


def _write_labels(
    split: Split, targets: Mapping[Path, Path], category_ids: list[int], out: Path, left_out: Counter[str]
) -> None:
    """Write ``labels/<split>``, one text file for each image."""
    people: dict[int, list[dict[str, Any]]] = {}
    for entry in split.content["annotations"]:
        people.setdefault(entry["image_id"], []).append(entry)
    for image, source in zip(split.content["images"], targets.values(), strict=True):
        size = read_header(source).upright
        lines = [_line(entry, category_ids, size, left_out) for entry in people.get(image["id"], [])]
        text = "".join(f"{line}\n" for line in lines if line)
        write_text(out / "labels" / split.name / f"{_label_name(image['file_name'])}", text)


def _label_name(file_name: str) -> str:
    return PurePosixPath(inside_name(file_name)).with_suffix(".txt").as_posix()


def _require_own_labels(split: Split, folder: Path) -> None:
    """Require that no two images share a label file, as ``a.jpg`` and ``a.png`` do, and that no other labels are there.

    Raises:
        EveryposeError: if two images do, or ``folder`` contains label files of another set.
    """
    labels: dict[str, str] = {}
    for image in split.content["images"]:
        label = _label_name(image["file_name"]).casefold()
        other = labels.setdefault(label, image["file_name"])
        if other != image["file_name"]:
            raise EveryposeError(
                f"{split.name}: the images {other} and {image['file_name']} would share the label file {label}: rename "
                "one of them"
            )
    others = [p for p in walk(folder, (".txt",)).files if p.relative_to(folder).as_posix().casefold() not in labels]
    if others:
        raise EveryposeError(
            f"{folder} holds {len(others):,} labels of another set (such as {others[0].name}): give an empty folder"
        )


def _line(entry: dict[str, Any], category_ids: list[int], size: tuple[int, int], left_out: Counter[str]) -> str | None:
    """The label line of a person; None for what the format has no place for."""
    scale = np.array(size, np.float64)
    box = np.array(entry.get("bbox", [0, 0, 0, 0]), np.float64)
    low, high = box[:2].clip(0, scale), (box[:2] + box[2:]).clip(0, scale)
    reason = None
    if entry.get("category_id") not in category_ids:
        reason = "annotations without keypoints as a category were left out"
    elif entry.get("iscrowd"):
        reason = "crowd regions were left out"
    elif not (high > low).all():
        reason = "persons without a box inside the image were left out"
    if reason is not None:
        left_out[reason] += 1
        return None
    keypoints = np.array(entry["keypoints"], np.float64).reshape(-1, 3)
    outside = (keypoints[:, 2] > 0) & ((keypoints[:, :2] < 0) | (keypoints[:, :2] > scale)).any(axis=1)
    left_out["keypoints outside their image became unlabeled: Ultralytics refuses them"] += int(outside.sum())
    keypoints[outside | (keypoints[:, 2] <= 0)] = 0
    keypoints[:, :2] /= scale
    shares = np.concatenate([(low + high) / 2 / scale, (high - low) / scale])
    fields = [str(category_ids.index(entry["category_id"])), *(_short(value) for value in shares)]
    for x, y, visibility in keypoints:
        fields += [_short(x), _short(y), str(int(visibility))]
    return " ".join(fields)


def _short(value: float) -> str:
    """Ten decimals, without trailing zeros: a hundred-thousandth of a pixel in the largest photo."""
    return f"{value:.10f}".rstrip("0").rstrip(".") or "0"
