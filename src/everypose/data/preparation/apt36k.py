"""APT-36K: the split by videos of the released PoseBH code."""

from pathlib import Path, PureWindowsPath
from typing import Any

from everypose.core.files import read_json
from everypose.data.formats.coco import coco_category_fields
from everypose.data.preparation.prepared import Entry, Prepared, required_file
from everypose.errors import as_user_error
from everypose.skeleton.skeleton import Skeleton

SHARES = (0.7, 0.8)
"""Ends of train and of val among the images of a species."""
SPLITS = ("train", "val", "test")
RELEASED = "the released split has 24,937, 3,603 and 6,943 images with 36,957, 5,443 and 10,734 animals"


def split_videos(images: list[Entry]) -> dict[int, str]:
    """Assign videos to splits as the released code does.

    The video ids of a species, one for each image and in file order, are cut at 70 % and 80 %. A video that a cut
    divides belongs to the first split that has one of its images.

    Args:
        images: COCO's image entries with ``video_id`` and ``file_name``, whose last folder but one is the species.

    Returns:
        Video id to ``train``, ``val`` or ``test``.

    >>> images = [{"video_id": video, "file_name": f"AP/dog/clip{video}/{video}.png"} for video in range(10)]
    >>> list(split_videos(images).values())
    ['test', 'test', 'val', 'train', 'train', 'train', 'train', 'train', 'train', 'train']
    """
    of_species: dict[str, list[int]] = {}
    for image in images:
        of_species.setdefault(_parts(image["file_name"])[-3], []).append(image["video_id"])
    members: dict[str, set[int]] = {split: set() for split in SPLITS}
    for videos in of_species.values():
        first, second = (int((len(videos) + 1) * share) for share in SHARES)
        for split, chosen in zip(SPLITS, (videos[:first], videos[first:second], videos[second:]), strict=True):
            members[split].update(chosen)
    # In reverse order, so that train replaces val and val replaces test.
    return {video: split for split in reversed(SPLITS) for video in members[split]}


def prepare_apt36k(folder: Path, *, quiet: bool = False) -> list[Prepared]:  # noqa: ARG001  # nothing takes long here
    """Split ``apt36k_annotations.json``.

    Args:
        folder: of the extracted download, with the folders of the species anywhere below.
        quiet: not used.

    Raises:
        EveryposeError: if the annotations are not there or damaged.

    >>> prepare_apt36k(Path("downloads"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: downloads does not hold apt36k_annotations.json
    """
    path = required_file(folder, "**/apt36k_annotations.json", "apt36k_annotations.json")
    with as_user_error(f"{path} is not APT-36K's annotation file"):
        content = read_json(path)
        split_of = split_videos(content["images"])
        root = _image_root(folder, content["images"])
        repaired = _repair_names(content["images"], root)
        annotations = [
            {("iscrowd" if key == "is_crowd" else key): value for key, value in entry.items()}
            for entry in content["annotations"]
        ]
        keypoints = coco_category_fields(Skeleton.named("apt36k"))
        categories = [{**each, **keypoints} for each in sorted(content["categories"], key=lambda each: each["id"])]
        split_of_image = {image["id"]: split_of[image["video_id"]] for image in content["images"]}
        return [
            Prepared(
                f"apt36k_{split}.json",
                [image for image in content["images"] if split_of_image[image["id"]] == split],
                [each for each in annotations if split_of_image.get(each["image_id"]) == split],
                categories,
                links={"data": root} if root else {},
                notes=[RELEASED, *([f"{repaired} images are in folders whose names were repaired"] if repaired else [])]
                if split == "train"
                else (),
            )
            for split in SPLITS
        ]


def _parts(file_name: str) -> tuple[str, ...]:
    """The folders and the name of a Windows path: at least species, video and image."""
    parts = PureWindowsPath(file_name).parts
    if len(parts) < 3:
        raise ValueError(f"the image name {file_name!r} has no folders of species and video")
    return parts


def _image_root(folder: Path, images: list[dict[str, Any]]) -> Path | None:
    """The folder that holds the folders of the species."""
    for image in images[:50]:
        for species in sorted(folder.glob(f"**/{_parts(image['file_name'])[-3]}")):
            if species.is_dir():
                return species.parent
    return None


def _repair_names(images: list[Entry], root: Path | None) -> int:
    """Shorten each name to species, video and image, with the video's folder as on disk; return how many differ.

    Some folder names have letters that extraction programs decode differently: the part before the first of them
    identifies the folder.
    """
    repaired = 0
    found: dict[tuple[str, str], str] = {}
    for image in images:
        species, video, name = _parts(image["file_name"])[-3:]
        if (species, video) not in found:
            found[species, video] = _on_disk(root / species, video) if root and not video.isascii() else video
        actual = found[species, video]
        repaired += actual != video
        image["file_name"] = f"{species}/{actual}/{name}"
    return repaired


def _on_disk(folder: Path, name: str) -> str:
    """The one folder with the same ASCII beginning as ``name``; ``name`` itself if there are none or several."""
    start = _ascii_start(name)
    if (folder / name).is_dir() or not folder.is_dir():
        return name
    similar = [each.name for each in folder.iterdir() if not each.name.isascii() and _ascii_start(each.name) == start]
    return similar[0] if len(similar) == 1 else name


def _ascii_start(name: str) -> str:
    return next((name[:place] for place, letter in enumerate(name) if not letter.isascii()), name)
