"""Skeletons: the keypoints of a pose, their names, left-right pairs and links.

Known skeletons are files, ``known/<name>.toml``; :mod:`everypose.skeleton.formats` reads those of other tools.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.errors import EveryposeError, UsageError, as_user_error
from everypose.skeleton import formats
from everypose.skeleton.matching import split_side, split_sides
from everypose.skeleton.toml import parse_toml


@dataclass(frozen=True)
class Skeleton:
    """K named keypoints and their relations; pairs, links and halves are keypoint indices.

    Attributes:
        name: of the skeleton, such as ``coco``.
        keypoints: K names, in the order of the arrays.
        flip_pairs: (left, right) keypoints that swap in a mirrored image.
        links: (start, end) keypoints that are connected when a pose is drawn.
        sigmas: K standard deviations of annotators for OKS, relative to a person's scale; None if unknown.
        upper_body: keypoints of the upper half of the body; empty if unknown.
        lower_body: keypoints of the lower half of the body; empty if unknown.
        joint_weights: K weights of the keypoints in heatmap losses; None if unknown.

    Raises:
        EveryposeError: if names repeat, an index is out of range or a length is not K.

    >>> mouse = Skeleton("mouse", ("nose", "left_ear", "right_ear"), ((1, 2),), ((0, 1), (0, 2)), None)
    >>> len(mouse), mouse.index("left_ear"), mouse.flip_index.tolist()
    (3, 1, [0, 2, 1])
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
        self._check_types()
        if not self.keypoints:
            raise EveryposeError(f"skeleton {self.name!r} has no keypoints")
        repeated = sorted({name for name in self.keypoints if self.keypoints.count(name) > 1})
        if repeated:
            raise EveryposeError(f"skeleton {self.name!r} names {repeated[0]!r} twice; keypoint names must differ")
        self._check_indices()
        self._check_lengths()

    def _check_types(self) -> None:
        """Refuse what a damaged file may hold: names that are no texts, pairs of one, text among the numbers."""
        if not isinstance(self.name, str) or not all(isinstance(name, str) and name for name in self.keypoints):
            raise EveryposeError("not a skeleton: its name or a keypoint's name is not a text")
        for what, pairs in (("flip pairs", self.flip_pairs), ("links", self.links)):
            if not all(isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_index, pair)) for pair in pairs):
                raise EveryposeError(f"skeleton {self.name!r}: its {what} are not pairs of keypoint numbers")
        if not all(map(_is_index, (*self.upper_body, *self.lower_body))):
            raise EveryposeError(f"skeleton {self.name!r}: a half of its body is not a list of keypoint numbers")
        for what, values in (("sigmas", self.sigmas), ("joint weights", self.joint_weights)):
            if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values or ()):
                raise EveryposeError(f"skeleton {self.name!r}: its {what} are not numbers")

    def _check_indices(self) -> None:
        paired = [index for pair in self.flip_pairs for index in pair]
        linked = [index for link in self.links for index in link]
        for index in (*paired, *linked, *self.upper_body, *self.lower_body):
            if not 0 <= index < len(self):
                raise EveryposeError(
                    f"skeleton {self.name!r} refers to keypoint {index}, but it has {len(self)}, counted from 0"
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
            UsageError: if there is none; the message names similar ones.
        """
        if name in self.keypoints:
            return self.keypoints.index(name)
        raise UsageError(f"skeleton {self.name!r} has no keypoint {name!r}; {_nearest(name, self.keypoints)}")

    @property
    def flip_index(self) -> Int64:
        """(K,) int64: ``keypoints[:, flip_index]`` swaps left and right."""
        index = np.arange(len(self), dtype=np.int64)
        for left, right in self.flip_pairs:
            index[left], index[right] = right, left
        return index

    @property
    def sides(self) -> tuple[str, ...]:
        """``left``, ``right`` or "" for each keypoint, according to its name."""
        return tuple(side for side, _ in split_sides(self.keypoints))

    def require_sigmas(self) -> Float64:
        """The sigmas (K,) float64, for computations that need them.

        Raises:
            EveryposeError: if they are unknown.
        """
        if self.sigmas is None:
            raise EveryposeError(
                f"the sigmas of the skeleton {self.name!r}, on which OKS depends, are unknown: 'everypose data sigmas' "
                "estimates them from people labeled by two annotators, or takes given ones, and writes a TOML file; "
                "give it as skeleton (train: --set data.skeleton=FILE.toml, evaluate: --skeleton FILE.toml or --sigmas)"
            )
        return np.array(self.sigmas, dtype=np.float64)

    @staticmethod
    def names() -> list[str]:
        """The names of the known skeletons, sorted."""
        folder = resources.files("everypose.skeleton") / "known"
        return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))

    @classmethod
    def named(cls, name: str) -> "Skeleton":
        """The known skeleton of that name.

        Raises:
            UsageError: if there is none; the message lists similar names.

        >>> Skeleton.named("coco").keypoints[:2]
        ('nose', 'left_eye')
        """
        if name not in cls.names():
            raise UsageError(f"no skeleton is called {name!r}; {_nearest(name, cls.names())}")
        return _known(name)[0]

    @classmethod
    def read(cls, path: Path | str) -> "Skeleton":
        """Read a skeleton from a TOML file like those in ``everypose/skeleton/known``; its name is the file's stem.

        Raises:
            EveryposeError: if the file cannot be read or is not a skeleton.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EveryposeError(f"cannot read the skeleton {path}: {error}") from error
        return cls(name=Path(path).stem, **parse_toml(text, str(path))[0])

    @classmethod
    def find(cls, source: str) -> "Skeleton":
        """A known skeleton by name, or a custom one by the path of its TOML file (``.toml``)."""
        return cls.read(source) if source.endswith(".toml") else cls.named(source)

    @classmethod
    def from_coco_category(cls, category: Mapping[str, Any], name: str | None = None) -> "Skeleton":
        """Make the skeleton of a COCO category: its ``keypoints`` and ``skeleton`` links, which count from 1.

        If a known skeleton has these keypoints in this order it is returned, with its sigmas, pairs and correct links
        (CrowdPose's files list wrong ones). Otherwise pairs come from left and right in the names, and sigmas are None.

        Args:
            category: an entry of ``categories``.
            name: the name of an unknown skeleton; the category's name by default.

        Raises:
            EveryposeError: if there are no keypoint names, links are not pairs, or left and right cannot be determined.
        """
        title = name or str(category.get("name", "category"))
        keypoints = formats.coco_keypoints(category, title)
        known = recognize(keypoints)
        if known is not None and category.get("flip_idx") in (None, known.flip_index.tolist()):
            return known
        return cls(name=title, **formats.coco_fields(category, keypoints, title))

    @classmethod
    def from_mmpose(cls, dataset_info: Mapping[str, Any]) -> "Skeleton":
        """Make the skeleton of an MMPose ``dataset_info``.

        Raises:
            EveryposeError: if an entry is missing or names an unknown keypoint.
        """
        title = str(dataset_info.get("dataset_name", "mmpose"))
        return cls(name=title, **formats.mmpose_fields(dataset_info, title))

    @classmethod
    def from_ultralytics(cls, source: Path | str | Mapping[str, Any]) -> "Skeleton":
        """Make the skeleton of an Ultralytics pose data set: ``kpt_shape``, ``flip_idx`` and, if given, ``kpt_names``.

        Without names the keypoints are called ``keypoint_0`` and so on. A known skeleton is recognized by its names.

        Args:
            source: the YAML file, or its content as a dict.

        Raises:
            EveryposeError: if the file cannot be read, a key is missing, or the flips are not pairs.
        """
        title = Path(source).stem if isinstance(source, Path | str) else "ultralytics"
        keys = formats.ultralytics_keys(source)
        known = recognize(keys.keypoints)
        if known is not None and (not keys.flips or list(keys.flips) == known.flip_index.tolist()):
            return known
        return cls(name=title, **formats.ultralytics_fields(keys, title))

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types, for a model's configuration."""
        return {key: _as_list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Skeleton":
        """The inverse of :meth:`to_dict`.

        Raises:
            EveryposeError: if a field is missing, unknown or of the wrong type.

        >>> Skeleton.from_dict(Skeleton.named("coco").to_dict()) == Skeleton.named("coco")
        True
        """
        _require_fields(values)
        with as_user_error("not a skeleton"):
            return cls(**{key: _as_tuple(value) for key, value in values.items()})


def recognize(names: Sequence[str]) -> Skeleton | None:
    """The known skeleton with these keypoints in this order, in any spelling; None if there is none.

    >>> recognize(["Nose", "L_Eye"]) is None
    True
    """
    wanted = split_sides(names)
    for known_name in Skeleton.names():
        known, also_called = _known(known_name)
        called = {split_side(other): split_side(name) for other, name in also_called.items()}
        if [called.get(name, name) for name in wanted] == split_sides(known.keypoints):
            return known
    return None


def _require_fields(values: object) -> None:
    """Check that a skeleton's fields are there, and lists.

    Raises:
        EveryposeError: if one is missing, unknown or no list.
    """
    if not isinstance(values, Mapping):
        raise EveryposeError("not a skeleton: it must be a table of named fields")
    known = {field.name: field for field in fields(Skeleton)}
    if unknown := [str(name)[:60] for name in values if name not in known]:
        raise EveryposeError(f"not a skeleton: there is no field {unknown[0]}; {_nearest(unknown[0], tuple(known))}")
    for name, field in known.items():
        if name not in values and field.default is MISSING:
            raise EveryposeError(f"not a skeleton: {name} is missing")
        can_be_unknown = name in ("sigmas", "joint_weights")
        value = values.get(name, [])
        if name != "name" and not isinstance(value, list | tuple) and not (can_be_unknown and value is None):
            raise EveryposeError(f"not a skeleton: {name} must be a list")


@cache
def _known(name: str) -> tuple[Skeleton, dict[str, str]]:
    file = resources.files("everypose.skeleton") / "known" / f"{name}.toml"
    known, also_called = parse_toml(file.read_text(encoding="utf-8"), f"{name}.toml")
    return Skeleton(name=name, **known), also_called


def _nearest(name: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(choices)}"


def _is_index(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _as_list(value: Any) -> Any:
    return [_as_list(item) for item in value] if isinstance(value, tuple) else value


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list | tuple) else value
