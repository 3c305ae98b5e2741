"""OpenPose JSON, a file for each frame: ``NAME_000000000012_keypoints.json``, of a photo ``NAME_keypoints.json``.

Each person has ``pose_keypoints_2d``, a flat list of x, y in pixels and a score for each keypoint, in the order of
BODY_25 or COCO-18; keypoints that the model does not know are 0, 0, 0. Neck and mid-hip, where the model lacks them,
are the middle of the shoulders and of the hips, with the lower of the two scores. ``person_id`` is the identity of a
tracked person, else -1. Models of the whole body also fill ``face_keypoints_2d``, ``hand_left_keypoints_2d`` and
``hand_right_keypoints_2d``.

Format: https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float32
from everypose.core.files import read_json, write_json
from everypose.errors import EveryposeError, as_user_error
from everypose.inference.results.record import FrameResult, ResultsWriter
from everypose.people import People
from everypose.skeleton.matching import conversion
from everypose.skeleton.skeleton import Skeleton

_ARMS = ("shoulder", "elbow", "wrist")
_LEGS = ("hip", "knee", "ankle")
_HEAD = ("right_eye", "left_eye", "right_ear", "left_ear")
_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
FACE_POINTS = 70
"""OpenPose's face: the 68 points of the face outline, brows, nose, eyes and mouth, and the two pupils."""
MIDDLES = {"thorax": ("left_shoulder", "right_shoulder"), "pelvis": ("left_hip", "right_hip")}
"""Keypoints that are, where the model lacks them, in the middle of two others."""


def _limbs(side: str, joints: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{side}_{joint}" for joint in joints)


def _skeleton(name: str, keypoints: tuple[str, ...]) -> Skeleton:
    """Return a skeleton with OpenPose's links: chains from the neck, and feet from the ankles."""
    chains = [("nose", "thorax"), *(("nose", f"{side}_eye", f"{side}_ear") for side in ("right", "left"))]
    for side in ("right", "left"):
        trunk = ("thorax", "pelvis") if "pelvis" in keypoints else ("thorax",)
        chains += [("thorax", *_limbs(side, _ARMS)), (*trunk, *_limbs(side, _LEGS))]
        chains += [(f"{side}_ankle", f"{side}_big_toe", f"{side}_small_toe"), (f"{side}_ankle", f"{side}_heel")]
    pairs = {pair for chain in chains for pair in pairwise(chain)}
    index = {keypoint: place for place, keypoint in enumerate(keypoints)}
    links = sorted((index[start], index[end]) for start, end in pairs if start in index and end in index)
    twins = [keypoint.removeprefix("left_") for keypoint in keypoints if keypoint.startswith("left_")]
    flips = tuple((index[f"left_{twin}"], index[f"right_{twin}"]) for twin in twins)
    return Skeleton(name, keypoints, flips, tuple(links), None)


BODY_25 = _skeleton(
    "openpose_body_25",
    ("nose", "thorax", *_limbs("right", _ARMS), *_limbs("left", _ARMS), "pelvis", *_limbs("right", _LEGS),
     *_limbs("left", _LEGS), *_HEAD, *_FEET),
)  # fmt: skip
COCO_18 = _skeleton(
    "openpose_coco_18",
    ("nose", "thorax", *_limbs("right", _ARMS), *_limbs("left", _ARMS), *_limbs("right", _LEGS), *_limbs("left", _LEGS),
     *_HEAD),
)  # fmt: skip


class OpenPoseWriter(ResultsWriter):
    """Writes a folder with one OpenPose JSON file for each frame.

    >>> people = People(np.ones((1, 17, 3)), [0.9], Skeleton.named("coco"))
    >>> with OpenPoseWriter(Path("openpose"), "clip") as writer:
    ...     writer.add(FrameResult("clip.mp4", people, frame=3, time=0.1))
    >>> [path.name for path in Path("openpose").iterdir()]
    ['clip_000000000003_keypoints.json']
    """

    def __init__(self, path: Path, name: str, *, layout: Skeleton = BODY_25) -> None:
        """Choose the folder; it is made with the first file.

        Args:
            path: the folder.
            name: what the files' names begin with.
            layout: `BODY_25` or `COCO_18`.
        """
        self.path = path
        self._name = name
        self._layout = layout

    def add(self, result: FrameResult) -> None:
        """Write the file of one photo or frame.

        Raises:
            EveryposeError: if it cannot be written.
        """
        number = "" if result.frame is None else f"_{result.frame:012d}"
        write_json(self.path / f"{self._name}{number}_keypoints.json", openpose_json(result.people, self._layout))

    def close(self) -> None:
        """Do nothing: every file is finished."""


def openpose_json(people: People, layout: Skeleton = BODY_25) -> dict[str, object]:
    """Return people as the content of an OpenPose file.

    >>> openpose_json(People.empty(Skeleton.named("coco")))
    {'version': 1.3, 'people': []}
    """
    body = _to_layout(people, layout)
    face = _named(people, [f"face-{number}" for number in range(FACE_POINTS - 2)], FACE_POINTS)
    hands = [_named(people, _hand(side), len(_hand(side))) for side in ("left", "right")]
    ids = [-1] * len(people) if people.ids is None else people.ids.tolist()
    entries = [
        {
            "person_id": [identity],
            "pose_keypoints_2d": _flat(body[index]),
            "face_keypoints_2d": _flat(face[index]),
            "hand_left_keypoints_2d": _flat(hands[0][index]),
            "hand_right_keypoints_2d": _flat(hands[1][index]),
            "pose_keypoints_3d": [],
            "face_keypoints_3d": [],
            "hand_left_keypoints_3d": [],
            "hand_right_keypoints_3d": [],
        }
        for index, identity in enumerate(ids)
    ]
    return {"version": 1.3, "people": entries}


def _to_layout(people: People, layout: Skeleton) -> Float32:
    """Convert keypoints to the order of BODY_25 or COCO-18, by name.

    Returns:
        (N, K, 3) x, y, score; zeros where the people's skeleton has no such keypoint.
    """
    matched = conversion(people.skeleton, layout)
    keypoints: Float32 = matched.apply(people.keypoints)
    for name, ends in MIDDLES.items():
        if name not in matched.missing or name not in layout.keypoints:
            continue
        left, right = (keypoints[:, layout.keypoints.index(end)] for end in ends)
        middle = np.concatenate([(left[:, :2] + right[:, :2]) / 2, np.minimum(left[:, 2:], right[:, 2:])], axis=1)
        known = not set(ends) & set(matched.missing)
        keypoints[:, layout.keypoints.index(name)] = middle if known else 0
    return keypoints


def _hand(side: str) -> list[str]:
    """Return the names of a hand's 21 keypoints in OpenPose's order: the wrist, then from thumb to little finger."""
    return [f"{side}_hand_root", *(f"{side}_{finger}{joint}" for finger in _FINGERS for joint in range(1, 5))]


def _named(people: People, names: Sequence[str], count: int) -> Float32:
    """Return the keypoints of these names, padded with zeros to ``count``; (N, 0, 3) if the skeleton lacks them."""
    known = people.skeleton.keypoints
    if not set(names) <= set(known):
        return np.zeros((len(people), 0, 3), np.float32)
    chosen = people.keypoints[:, [known.index(name) for name in names]]
    return np.pad(chosen, ((0, 0), (0, count - len(names)), (0, 0)))


def _flat(keypoints: Float32) -> list[float]:
    """Flatten to x, y, score triplets, as the shortest decimals that read back as the same 32-bit floats."""
    return [float(text) for text in keypoints.ravel().astype(str)]


def read_openpose(source: Path) -> Iterator[FrameResult]:
    """Yield the people of an OpenPose file, or of all files of a folder in the order of their names.

    A person's score is the mean of the positive scores of their keypoints; boxes are around the keypoints that were
    found. Files of frames differ from those of photos by a number before ``_keypoints.json``.

    Raises:
        EveryposeError: if there is no such file, or one is not OpenPose's in BODY_25 or COCO-18.

    >>> people = People(np.ones((1, 17, 3)), [0.9], Skeleton.named("coco"))
    >>> with OpenPoseWriter(Path("frames"), "clip") as writer:
    ...     writer.add(FrameResult("clip.mp4", people, frame=3, time=0.1))
    >>> [(result.frame, result.people.skeleton.name) for result in read_openpose(Path("frames"))]
    [(3, 'openpose_body_25')]
    """
    files = sorted(source.glob("*_keypoints.json")) if source.is_dir() else [source]
    if not files:
        raise EveryposeError(f"{source} contains no file called NAME_keypoints.json")
    for file in files:
        name = re.fullmatch(r"(.*?)(?:_(\d{12}))?_keypoints", file.stem)
        frame = int(name[2]) if name and name[2] else None
        yield FrameResult(name[1] if name else file.stem, _read_file(file), frame=frame)


def _read_file(path: Path) -> People:
    """Read one file.

    Raises:
        EveryposeError: if it is not OpenPose's.
    """
    content = read_json(path)
    with as_user_error(f"{path} is not an OpenPose file of BODY_25 or COCO-18"):
        flat = [np.array(person["pose_keypoints_2d"], dtype=np.float32) for person in content["people"]]
        layout = COCO_18 if flat and flat[0].size == 3 * len(COCO_18) else BODY_25
        keypoints = np.reshape(flat, (len(flat), len(layout), 3))
        ids = [_identity(person) for person in content["people"]]
    found = keypoints[..., 2] > 0
    scores = np.where(found, keypoints[..., 2], 0).sum(axis=1) / found.sum(axis=1).clip(min=1)
    known = bool(ids) and all(identity >= 0 for identity in ids)
    return People(keypoints, scores, layout, ids=ids if known else None)


def _identity(person: Mapping[str, Any]) -> int:
    return int(next(iter(person.get("person_id") or [-1])))
