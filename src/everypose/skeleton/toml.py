"""Reading and writing a skeleton as a TOML file."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from everypose.core.toml_values import toml_value
from everypose.errors import EveryposeError, first_line, plain_reason
from everypose.skeleton.formats import SkeletonFields

if TYPE_CHECKING:
    from everypose.skeleton.skeleton import Skeleton


def to_toml(skeleton: "Skeleton") -> str:
    """Return the text of a skeleton's TOML file, which gives pairs and links by keypoint names.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> print(to_toml(Skeleton.named("coco")).splitlines()[0])
    keypoints = [
    """
    rows = [f"    {{ {_row(skeleton, index)} }}," for index in range(len(skeleton))]
    pairs = [[skeleton.keypoints[left], skeleton.keypoints[right]] for left, right in skeleton.flip_pairs]
    links = [[skeleton.keypoints[start], skeleton.keypoints[end]] for start, end in skeleton.links]
    return "\n".join(
        ["keypoints = [", *rows, "]", "", f"flip_pairs = {toml_value(pairs)}", "", f"links = {toml_value(links)}", ""]
    )


def parse_toml(text: str, where: str) -> tuple[SkeletonFields, dict[str, str]]:
    r"""Parse a skeleton's TOML, in which pairs and links are given by keypoint names.

    Args:
        text: the file's content.
        where: the file's name, for messages.

    Returns:
        The skeleton's fields except its name, and other names of its keypoints with the names they stand for.

    Raises:
        EveryposeError: if it is not valid TOML, or not a skeleton.

    Example:
        >>> text = 'keypoints = [{ name = "a" }, { name = "b" }]\nlinks = [["a", "b"]]'
        >>> fields, other_names = parse_toml(text, "x.toml")
        >>> fields["keypoints"], fields["links"]
        (('a', 'b'), ((0, 1),))
    """
    try:
        values = tomllib.loads(text)
        rows = values["keypoints"]
        place = {row["name"]: index for index, row in enumerate(rows)}
        fields = SkeletonFields(
            keypoints=tuple(row["name"] for row in rows),
            flip_pairs=tuple((place[left], place[right]) for left, right in values.get("flip_pairs", [])),
            links=tuple((place[start], place[end]) for start, end in values.get("links", [])),
            sigmas=_column(rows, "sigma"),
            upper_body=tuple(place[row["name"]] for row in rows if row.get("half") == "upper"),
            lower_body=tuple(place[row["name"]] for row in rows if row.get("half") == "lower"),
            joint_weights=_column(rows, "weight"),
        )
        return fields, dict(values.get("also_called", {}))
    except tomllib.TOMLDecodeError as error:
        raise EveryposeError(f"{where} is not valid TOML: {first_line(error)}") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, RecursionError) as error:
        raise EveryposeError(f"{where} is not a skeleton: {plain_reason(error)}") from error


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[float, ...] | None:
    """One number for each keypoint; None if no keypoint has it."""
    if not any(key in row for row in rows):
        return None
    return tuple(float(row[key]) for row in rows)


def _row(skeleton: "Skeleton", index: int) -> str:
    """The fields of one keypoint."""
    fields = [f"name = {toml_value(skeleton.keypoints[index])}"]
    if skeleton.sigmas is not None:
        fields.append(f"sigma = {skeleton.sigmas[index]!r}")
    if skeleton.joint_weights is not None:
        fields.append(f"weight = {skeleton.joint_weights[index]!r}")
    for half, members in (("upper", skeleton.upper_body), ("lower", skeleton.lower_body)):
        if index in members:
            fields.append(f'half = "{half}"')
    return ", ".join(fields)
