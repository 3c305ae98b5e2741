"""Skeletons: which keypoints a pose has, what they are called and how they belong together.

The known ones are files, ``skeletons/<name>.toml``; :mod:`everypose.skeleton.formats` reads those of others.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everypose.errors import EveryposeError, UsageError

# Different names of one anatomical point, each with the name that stands for all of them. The neck is where the head
# meets it, not MPII's thorax (the point between the shoulders); JHMDB's "head" is the face, not the top of the head.
SYNONYMS = {"top_head": "head_top", "upper_neck": "neck", "head_bottom": "neck"}


@dataclass(frozen=True)
class Skeleton:
    """K named keypoints and what is known of them. Pairs, links and halves are keypoint indices.

    Attributes:
        name: the skeleton's own name, such as ``coco``.
        keypoints: K names, in the order of the arrays.
        flip_pairs: left and right twins, which swap in a mirrored image.
        links: the limbs that are drawn.
        sigmas: K standard deviations of labelling for OKS, relative to a person's size; None when unknown.
        upper_body: keypoints of the upper half of the body; empty when unknown.
        lower_body: keypoints of the lower half of the body; empty when unknown.
        joint_weights: K weights of the keypoints in heatmap losses; None when unknown.

    Raises:
        EveryposeError: when names repeat, an index is out of range or a length is not K.
    """

    name: str
    keypoints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    links: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...] | None
    upper_body: tuple[int, ...] = ()
    lower_body: tuple[int, ...] = ()
    joint_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.keypoints:
            raise EveryposeError(f"skeleton {self.name!r} has no keypoints")
        repeated = sorted({name for name in self.keypoints if self.keypoints.count(name) > 1})
        if repeated:
            raise EveryposeError(f"skeleton {self.name!r} names {repeated[0]!r} twice; keypoint names must differ")
        self._check_indices()
        self._check_lengths()

    def _check_indices(self) -> None:
        paired = [index for pair in self.flip_pairs for index in pair]
        linked = [index for link in self.links for index in link]
        for index in (*paired, *linked, *self.upper_body, *self.lower_body):
            if not 0 <= index < len(self):
                raise EveryposeError(
                    f"skeleton {self.name!r} speaks of keypoint {index}, but it has {len(self)}, from 0"
                )
        if len(set(paired)) < len(paired):
            twice = next(index for index in paired if paired.count(index) > 1)
            raise EveryposeError(f"skeleton {self.name!r}: {self.keypoints[twice]!r} is in more than one flip pair")

    def _check_lengths(self) -> None:
        for what, values in (("sigmas", self.sigmas), ("joint weights", self.joint_weights)):
            if values is not None and len(values) != len(self):
                raise EveryposeError(f"skeleton {self.name!r} has {len(self)} keypoints, but {len(values)} {what}")
        if self.sigmas is not None and not all(0 < sigma < float("inf") for sigma in self.sigmas):
            raise EveryposeError(f"skeleton {self.name!r} has a sigma that is not a positive number")

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, name: str) -> int:
        """The index of the keypoint called ``name``.

        Raises:
            UsageError: when there is none; the message names the nearest.
        """
        if name in self.keypoints:
            return self.keypoints.index(name)
        raise UsageError(f"skeleton {self.name!r} has no keypoint {name!r}; {_nearest(name, self.keypoints)}")

    @property
    def flip_index(self) -> npt.NDArray[np.int64]:
        """(K,): ``keypoints[:, flip_index]`` swaps left and right."""
        index = np.arange(len(self), dtype=np.int64)
        for left, right in self.flip_pairs:
            index[left], index[right] = right, left
        return index

    @property
    def sides(self) -> tuple[str, ...]:
        """``left``, ``right`` or nothing for each keypoint, as its name says."""
        return tuple(split_side(name)[0] for name in self.keypoints)

    def require_sigmas(self) -> npt.NDArray[np.float64]:
        """(K,) sigmas, for what cannot do without.

        Raises:
            EveryposeError: when they are unknown.
        """
        if self.sigmas is None:
            raise EveryposeError(
                f"the sigmas of the skeleton {self.name!r}, on which OKS depends, are unknown: 'everypose data sigmas' "
                "estimates them from people whom two annotators labelled, or takes yours, and writes a TOML file; give "
                "it as the skeleton (train: --set data.skeleton=FILE.toml, evaluate: --skeleton FILE.toml or --sigmas)"
            )
        return np.array(self.sigmas, dtype=np.float64)

    @staticmethod
    def names() -> list[str]:
        """The names of the known skeletons, sorted."""
        folder = resources.files("everypose.skeleton") / "known"
        return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))

    @classmethod
    def named(cls, name: str) -> "Skeleton":
        """A known skeleton.

        Raises:
            UsageError: when there is none of that name; the message lists the near ones.
        """
        if name not in cls.names():
            raise UsageError(f"no skeleton is called {name!r}; {_nearest(name, cls.names())}")
        return _known(name)[0]

    @classmethod
    def read(cls, path: Path | str) -> "Skeleton":
        """A skeleton of your own, from a TOML file like those in ``everypose/skeleton/known``; its name is the file's stem.

        Raises:
            EveryposeError: when the file cannot be read or is not a skeleton.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EveryposeError(f"cannot read the skeleton {path}: {error}") from error
        return _parse(text, Path(path).stem, str(path))[0]

    @classmethod
    def find(cls, source: str) -> "Skeleton":
        """A known skeleton by its name, or one of your own by the path of its TOML file (``.toml``)."""
        return cls.read(source) if source.endswith(".toml") else cls.named(source)

    @classmethod
    def from_coco_category(cls, category: Mapping[str, Any], name: str | None = None) -> "Skeleton":
        """The skeleton of a COCO category; see :func:`everypose.skeleton.formats.from_coco_category`."""
        from everypose.skeleton import formats as skeleton_formats

        return skeleton_formats.from_coco_category(category, name)

    @classmethod
    def from_mmpose(cls, dataset_info: Mapping[str, Any]) -> "Skeleton":
        """The skeleton of an MMPose ``dataset_info``; see :func:`everypose.skeleton.formats.from_mmpose`."""
        from everypose.skeleton import formats as skeleton_formats

        return skeleton_formats.from_mmpose(dataset_info)

    @classmethod
    def from_ultralytics(cls, source: Path | str | Mapping[str, Any]) -> "Skeleton":
        """The skeleton of an Ultralytics pose YAML; see :func:`everypose.skeleton.formats.from_ultralytics`."""
        from everypose.skeleton import formats as skeleton_formats

        return skeleton_formats.from_ultralytics(source)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types, for a model's configuration."""
        return {key: _as_list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Skeleton":
        """The inverse of :meth:`to_dict`.

        Raises:
            EveryposeError: when a field is missing, unknown or of the wrong type.
        """
        try:
            return cls(**{key: _as_tuple(value) for key, value in values.items()})
        except (TypeError, ValueError, AttributeError) as error:
            raise EveryposeError(f"not a skeleton: {error}") from error


@dataclass(frozen=True)
class Conversion:
    """How poses of one skeleton become poses of another, by keypoint name.

    Attributes:
        index: (K_target,) source keypoint of each target keypoint; -1 where there is none.
        missing: target keypoints without a counterpart in the source.
        lost: source keypoints without a counterpart in the target.
    """

    index: npt.NDArray[np.int64]
    missing: tuple[str, ...]
    lost: tuple[str, ...]

    def apply(self, keypoints: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Keypoints (N, K_source, 3) -> (N, K_target, 3); x, y and score are zero where nothing corresponds."""
        found = (self.index >= 0)[None, :, None]
        return np.where(found, keypoints[:, self.index], np.zeros((), dtype=keypoints.dtype))


def conversion(source: Skeleton, target: Skeleton) -> Conversion:
    """Match two skeletons by keypoint name, in any spelling (``L_Eye``, ``left eye``), and by :data:`SYNONYMS`."""
    places = {_anatomy(name): index for index, name in reversed(list(enumerate(source.keypoints)))}
    index = np.array([places.get(_anatomy(name), -1) for name in target.keypoints], dtype=np.int64)
    missing = tuple(name for name, place in zip(target.keypoints, index, strict=True) if place < 0)
    lost = tuple(name for place, name in enumerate(source.keypoints) if place not in index)
    return Conversion(index, missing, lost)


def recognise(names: Sequence[str]) -> Skeleton | None:
    """The known skeleton with these keypoints in this order, whatever the spelling; None when there is none."""
    wanted = [split_side(name) for name in names]
    for known_name in Skeleton.names():
        known, also_called = _known(known_name)
        called = {split_side(other): split_side(name) for other, name in also_called.items()}
        if [called.get(name, name) for name in wanted] == [split_side(name) for name in known.keypoints]:
            return known
    return None


def require_same_places(names: Sequence[str], skeleton: Skeleton, where: str) -> None:
    """See that keypoints which a file and a skeleton both name stand at the same places.

    Raises:
        EveryposeError: when one does not; ``where`` is the file.
    """
    places = {_anatomy(name): index for index, name in enumerate(skeleton.keypoints)}
    for index, name in enumerate(names):
        place = places.get(_anatomy(name), index)
        if place != index:
            raise EveryposeError(
                f"{where} has {name!r} as keypoint {index + 1}, the skeleton {skeleton.name} as keypoint {place + 1}: "
                "give the skeleton that the annotations follow"
            )


@cache
def split_side(name: str) -> tuple[str, str]:
    """The side (``left``, ``right`` or nothing) in a keypoint's name and the rest: ``L_Eye``, ``eyeL`` -> left, eye."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+", name)]
    side = ""
    rest = []
    for word in words:
        match = None if side else re.fullmatch(r"(l|r|left|right)|(left|right)(.+)", word)
        if match is None:
            rest.append(word)
            continue
        side = "left" if word.startswith("l") else "right"
        if match[3]:
            rest.append(match[3])
    return side, "_".join(rest)


def _anatomy(name: str) -> tuple[str, str]:
    side, rest = split_side(name)
    return side, SYNONYMS.get(rest, rest)


@cache
def _known(name: str) -> tuple[Skeleton, dict[str, str]]:
    file = resources.files("everypose.skeleton") / "known" / f"{name}.toml"
    return _parse(file.read_text(encoding="utf-8"), name, f"{name}.toml")


def _parse(text: str, name: str, where: str) -> tuple[Skeleton, dict[str, str]]:
    """A skeleton and other names of its keypoints, from TOML, where everything is said by keypoint name."""
    try:
        values = tomllib.loads(text)
        rows = values["keypoints"]
        place = {row["name"]: index for index, row in enumerate(rows)}
        skeleton = Skeleton(
            name=name,
            keypoints=tuple(row["name"] for row in rows),
            flip_pairs=tuple((place[left], place[right]) for left, right in values.get("flip_pairs", [])),
            links=tuple((place[start], place[end]) for start, end in values.get("links", [])),
            sigmas=_column(rows, "sigma"),
            upper_body=tuple(place[row["name"]] for row in rows if row.get("half") == "upper"),
            lower_body=tuple(place[row["name"]] for row in rows if row.get("half") == "lower"),
            joint_weights=_column(rows, "weight"),
        )
        return skeleton, dict(values.get("also_called", {}))
    except tomllib.TOMLDecodeError as error:
        raise EveryposeError(f"{where} is not valid TOML: {error}") from error
    except KeyError as error:
        raise EveryposeError(f"{where} is not a skeleton: {error} is not there") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise EveryposeError(f"{where} is not a skeleton: {error}") from error


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[float, ...] | None:
    """One number a keypoint, when any keypoint has it."""
    if not any(key in row for row in rows):
        return None
    return tuple(float(row[key]) for row in rows)


def _nearest(name: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(choices)}"


def _as_list(value: Any) -> Any:
    return [_as_list(item) for item in value] if isinstance(value, tuple) else value


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list | tuple) else value
