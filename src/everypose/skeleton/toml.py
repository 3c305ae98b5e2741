"""Writing a skeleton as the TOML file that :meth:`everypose.skeleton.skeleton.Skeleton.read` reads."""

import json

from everypose.skeleton.skeleton import Skeleton


def to_toml(skeleton: Skeleton) -> str:
    """The text of a skeleton's TOML file, where pairs and links are said by keypoint name."""
    rows = [f"    {{ {_row(skeleton, index)} }}," for index in range(len(skeleton))]
    pairs = [[skeleton.keypoints[left], skeleton.keypoints[right]] for left, right in skeleton.flip_pairs]
    links = [[skeleton.keypoints[start], skeleton.keypoints[end]] for start, end in skeleton.links]
    # JSON's strings and lists of strings are TOML's.
    return "\n".join(
        ["keypoints = [", *rows, "]", "", f"flip_pairs = {json.dumps(pairs)}", "", f"links = {json.dumps(links)}", ""]
    )


def _row(skeleton: Skeleton, index: int) -> str:
    """One keypoint: its name and what is known of it."""
    fields = [f"name = {json.dumps(skeleton.keypoints[index])}"]
    if skeleton.sigmas is not None:
        fields.append(f"sigma = {skeleton.sigmas[index]!r}")
    if skeleton.joint_weights is not None:
        fields.append(f"weight = {skeleton.joint_weights[index]!r}")
    for half, members in (("upper", skeleton.upper_body), ("lower", skeleton.lower_body)):
        if index in members:
            fields.append(f'half = "{half}"')
    return ", ".join(fields)
