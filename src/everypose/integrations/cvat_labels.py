"""The skeleton label of a CVAT project."""

from xml.sax.saxutils import quoteattr

from everypose.skeleton.skeleton import Skeleton


def label_definition(skeleton: Skeleton, label: str = "person") -> list[dict[str, object]]:
    """The label to paste into CVAT's raw label editor, with the skeleton drawn as a standing figure.

    Args:
        skeleton: its keypoints and links.
        label: name of the label.

    Example:
        >>> label_definition(Skeleton.named("coco"))[0]["name"]
        'person'
    """
    places = _places(skeleton)
    edges = [
        f'<line x1="{places[start][0]}" y1="{places[start][1]}" x2="{places[end][0]}" y2="{places[end][1]}" '
        f'data-type="edge" data-node-from="{start + 1}" data-node-to="{end + 1}"></line>'
        for start, end in skeleton.links
    ]
    nodes = [
        f'<circle r="1.5" cx="{x}" cy="{y}" data-type="element node" data-element-id="{index + 1}" '
        f'data-node-id="{index + 1}" data-label-name={quoteattr(name)}></circle>'
        for index, (name, (x, y)) in enumerate(zip(skeleton.keypoints, places, strict=True))
    ]
    sublabels = [{"name": name, "type": "points", "attributes": []} for name in skeleton.keypoints]
    return [
        {"name": label, "type": "skeleton", "attributes": [], "sublabels": sublabels, "svg": "".join([*edges, *nodes])}
    ]


def _places(skeleton: Skeleton) -> list[tuple[float, float]]:
    """Where each keypoint is drawn in a square of 100: left ones on the right, as on a person who faces the viewer."""
    sides = {"left": 65.0, "right": 35.0}
    step = 90 / max(1, len(skeleton) - 1)
    return [(sides.get(side, 50.0), round(5 + step * index, 1)) for index, side in enumerate(skeleton.sides)]
