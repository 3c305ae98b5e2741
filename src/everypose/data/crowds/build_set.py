"""A whole composed set: cut-outs from annotated photos, crowds from the cut-outs, images and annotations on disk."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from hashlib import sha256 as digest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

import everypose
from everypose.core.files import sha256, write_bytes, write_json
from everypose.core.progress import track
from everypose.data.crowds.annotations import ComposedAnnotations
from everypose.data.crowds.compose import Settings, compose
from everypose.data.crowds.cutouts import CutOut, cut_out, may_be_cut_out
from everypose.data.crowds.tally import THRESHOLDS, Tally
from everypose.data.discovery.image_sets import find_image_set
from everypose.data.images import read_header, read_image, swap_channels
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.skeleton import Skeleton

JPEG_QUALITY = 92
_UNFINISHED = ".unfinished"
_COMPOSED_NAME = re.compile(r"\d{6,}\.jpg|\..*", re.DOTALL)
"""Composed photos, and what a killed run left of one."""


def collect_cutouts(scenes: SceneSet, problems: list[str], *, quiet: bool = False) -> list[CutOut]:
    """Cut out every person of the set that can be cut out well.

    Args:
        scenes: annotated photos.
        problems: receives one line for each photo that cannot be read; it is left out.
        quiet: no progress bar.

    Raises:
        EveryposeError: if no photo can be read, the set has no labeled people, or no cut-out is good enough.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> collect_cutouts(SceneSet([], Skeleton.named("coco"), "train"), problems=[])
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: train has no person with labeled keypoints
    """
    if not any(scene.is_labeled_person.any() for scene in scenes):
        raise EveryposeError(f"{scenes.label} has no person with labeled keypoints")
    found: list[CutOut] = []
    for scene in track(scenes.scenes, "cutting people out", quiet=quiet):
        people = [person for person in range(len(scene)) if may_be_cut_out(scene, person, scenes.skeleton)]
        if people:
            found += _cut_out_all(scene, people, scenes.skeleton, problems)
    if not found and problems:
        raise EveryposeError(problems[0])
    if not found:
        raise EveryposeError(
            f"no person in {scenes.label} can be cut out well: people of 64 pixels or more "
            "with most keypoints visible are needed"
        )
    return found


def _cut_out_all(scene: Scene, people: Sequence[int], skeleton: Skeleton, problems: list[str]) -> list[CutOut]:
    """The clean cut-outs of some people of a photo; its pixels are released before the next photo is read."""
    try:
        image = _photo(scene)
    except EveryposeError as error:
        problems.append(str(error))
        return []
    cuts = (cut_out(image, scene, person, skeleton) for person in people)
    return [cut for cut in cuts if cut is not None]


def background_scenes(folder: Path, skeleton_size: int, problems: list[str]) -> list[Scene]:
    """The photos of a folder and its subfolders, as scenes without people.

    Args:
        folder: the folder.
        skeleton_size: number of keypoints of the people to be pasted.
        problems: receives one line for each photo or folder that cannot be read; it is left out.

    Raises:
        EveryposeError: if the folder does not exist, or no photo in it can be read.

    >>> Path("backgrounds").mkdir()
    >>> write_bytes(Path("backgrounds/a.jpg"), cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    >>> [(scene.width, scene.height, len(scene)) for scene in background_scenes(Path("backgrounds"), 17, [])]
    [(64, 48, 0)]
    """
    images = find_image_set(folder)
    problems += images.problems
    scenes = []
    for index, path in enumerate(images.files):
        try:
            scenes.append(_empty_scene(index, path, skeleton_size))
        except EveryposeError as error:
            problems.append(str(error))
    if not scenes:
        raise EveryposeError(problems[0])
    return scenes


def compose_set(
    scenes: SceneSet,
    backgrounds: Sequence[Scene],
    out: Path,
    *,
    count: int,
    settings: Settings,
    seed: int,
    problems: list[str],
    quiet: bool = False,
) -> Tally:
    """Compose ``count`` photos and write OUT/images/*.jpg, then OUT/annotations.json.

    The annotation file is written last, so that it exists only if the set is complete. The same arguments give the same
    files.

    Args:
        scenes: where the people come from; also names skeleton and annotation file.
        backgrounds: the photos that people are pasted on, each used once in random order before any is used again.
        out: folder, made if needed.
        count: photos to make.
        settings: of one photo; ``overlap`` is kept over the whole set.
        seed: of all random numbers.
        problems: receives one line for each photo that cannot be read; it is left out.
        quiet: no progress bar.

    Returns:
        What the set holds.

    Raises:
        UsageError: if OUT holds an annotation file already.
        EveryposeError: if OUT cannot be written, a photo cannot be read, or no person fits on any photo.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> people = SceneSet([], Skeleton.named("coco"), "train")
    >>> compose_set(people, [], Path("crowds"), count=100, settings=Settings(), seed=0, problems=[])
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: train has no person with labeled keypoints
    """
    out = Path(out)
    unfinished = _prepare(out)
    cutouts = collect_cutouts(scenes, problems, quiet=quiet)
    tally = Tally()
    annotations = ComposedAnnotations(scenes)
    photos = _composed(
        backgrounds,
        cutouts,
        count=count,
        settings=settings,
        seed=seed,
        tally=tally,
        skeleton=scenes.skeleton,
        problems=problems,
    )
    for number, (jpeg, scene) in enumerate(track(photos, "composing", count, quiet), start=1):
        name = f"{number:06d}.jpg"
        write_bytes(out / "images" / name, jpeg)
        annotations.add(scene, name)
    info = _info(scenes, backgrounds, cutouts=len(cutouts), count=count, settings=settings, seed=seed, tally=tally)
    write_json(out / "annotations.json", annotations.content(info), null_for_nan=True)
    unfinished.unlink(missing_ok=True)
    return tally


def _composed(
    backgrounds: Sequence[Scene],
    cutouts: Sequence[CutOut],
    *,
    count: int,
    settings: Settings,
    seed: int,
    tally: Tally,
    skeleton: Skeleton,
    problems: list[str],
) -> Iterator[tuple[bytes, Scene]]:
    """Composed photos, as JPEG files, until there are ``count``; unreadable or too small ones are skipped."""
    order = np.random.default_rng([seed, 0])
    turn: list[int] = []
    since_last = 0
    while tally.photos < count:
        if not turn:
            turn = order.permutation(len(backgrounds)).tolist()
        scene = backgrounds[turn.pop()]
        rng = np.random.default_rng([seed, 1, tally.photos, since_last])
        aimed = replace(settings, overlap=tally.aim(settings.overlap))
        try:
            photo = _photo(scene)
        except EveryposeError as error:
            if str(error) not in problems:
                problems.append(str(error))
            if since_last >= 3 * len(backgrounds):
                raise
            since_last += 1
            continue
        image, composed = compose(rng, scene, photo, cutouts, aimed, skeleton, in_place=True)
        content = _jpeg(image) if composed.extra["pasted"] else b""
        del photo, image  # before the next one is read
        if content:
            since_last = 0
            tally.add(composed)
            yield content, composed
        elif since_last >= 3 * len(backgrounds):
            raise EveryposeError("no person fits on any of the backgrounds: give more or larger photos")
        else:
            since_last += 1


def _prepare(out: Path) -> Path:
    """Make the folders before the long work begins; refuse one with other content.

    Returns:
        The file that marks the set as unfinished, by which a later run knows that it may replace the images.
    """
    if (out / "annotations.json").exists():
        raise UsageError(f"{out} holds a set already: choose another folder, or remove it first")
    unfinished, images = out / _UNFINISHED, out / "images"
    try:
        present = list(images.iterdir()) if images.is_dir() else []
        composed = unfinished.exists() and all(_COMPOSED_NAME.fullmatch(path.name) for path in present)
        if present and not composed:
            raise UsageError(f"{images} holds other files: choose another folder")
        for path in present:
            path.unlink()
    except OSError as error:
        raise EveryposeError(f"cannot write {images}: {error.strerror or error}") from error
    write_bytes(unfinished, b"")
    write_bytes(images / ".writable", b"")
    (images / ".writable").unlink()
    return unfinished


def _photo(scene: Scene) -> npt.NDArray[np.uint8]:
    """The scene's image, which must have the size that the labels are for."""
    image = read_image(scene.path)
    if image.shape[:2] != (scene.height, scene.width):
        raise EveryposeError(
            f"{scene.path} has {image.shape[1]} x {image.shape[0]} pixels, its annotations {scene.width} x "
            f"{scene.height}: give the photos that were annotated"
        )
    return image


def _empty_scene(index: int, path: Path, skeleton_size: int) -> Scene:
    width, height = read_header(path).upright
    return Scene(
        image_id=index,
        path=path,
        file_name=path.name,
        width=width,
        height=height,
        annotation_ids=np.zeros(0, np.int64),
        keypoints=np.zeros((0, skeleton_size, 3)),
        boxes=np.zeros((0, 4)),
        areas=np.zeros(0),
        is_crowd=np.zeros(0, bool),
        segmentations=[],
    )


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    """The photo as a JPEG file; its pixels are overwritten."""
    swap_channels(image)
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise EveryposeError(f"a composed photo of {image.shape[1]} x {image.shape[0]} pixels cannot be a JPEG file")
    return bytes(content)


def _info(
    scenes: SceneSet,
    backgrounds: Sequence[Scene],
    *,
    cutouts: int,
    count: int,
    settings: Settings,
    seed: int,
    tally: Tally,
) -> dict[str, Any]:
    """The settings that reproduce the set, and its statistics."""
    file = scenes.annotation_file
    used = sorted({scene.path for scene in [*scenes.scenes, *backgrounds] if scene.path.exists()})
    hashes = digest("".join(f"{path.name} {sha256(path)}\n" for path in used).encode()).hexdigest()
    return {
        "description": "crowds composed of people cut out of annotated photos",
        "generator": f"everypose {everypose.__version__} data crowd",
        "seed": seed,
        "count": count,
        "settings": asdict(settings),
        "annotations": None if file is None else {"file": file.name, "sha256": sha256(file)},
        "photos": {"files": len(used), "sha256_of_names_and_sha256": hashes},
        "cutouts": cutouts,
        "people": tally.people,
        "pasted": tally.pasted,
        "share_of_people_with_box_iou_above": dict(
            zip(map(str, THRESHOLDS), (round(share, 4) for share in tally.shares()), strict=True)
        ),
    }
