"""A CVAT auto-annotation function: pre-labels with skeletons.

``cvat-cli`` and :func:`cvat_sdk.auto_annotation.annotate_task` take this module:

    cvat-cli task auto-annotate 137 --function-module everypose.integrations.cvat -p model=str:boir-lite

Labels and keypoints of the task are matched by name. Coordinates are everypose's own, as in COCO files.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from everypose.core.arrays import Float32
from everypose.errors import UsageError
from everypose.inference.estimator import Estimator
from everypose.inference.loading import load
from everypose.skeleton.skeleton import Skeleton

try:
    import cvat_sdk.auto_annotation as cvataa
except ImportError as error:
    raise UsageError("everypose.integrations.cvat needs the package cvat-sdk: pip install cvat-sdk") from error

if TYPE_CHECKING:
    from cvat_sdk.models import LabeledShapeRequest
    from PIL.Image import Image as PillowImage

PERSON = 0
"""Id of the only label."""


class PoseFunction:
    """Finds the people of an image as CVAT skeletons.

    Args:
        model: as in :func:`everypose.load`; or a loaded estimator.
        label: name of the skeleton label in CVAT.
        device: as in :func:`everypose.load`.
        min_score: lowest person score; the model's by default. CVAT's confidence threshold comes before it.
        outside: keypoints whose score is below this share of the person's best are marked as outside (not in view).
        occluded: keypoints below this share, but not below ``outside``, are marked as occluded.

    Raises:
        UsageError: the shares are not in order, or there is no such model.
    """

    def __init__(
        self,
        model: str | Estimator = "boir-lite",
        label: str = "person",
        *,
        device: str = "cpu",
        min_score: float | None = None,
        outside: float = 0.1,
        occluded: float = 0.3,
    ) -> None:
        if not 0 <= outside <= occluded <= 1:
            raise UsageError(f"outside ({outside}) and occluded ({occluded}) are rising shares between 0 and 1")
        self._estimator = model if isinstance(model, Estimator) else load(model, device=device, min_score=min_score)
        self._label = label
        self._outside = outside
        self._occluded = occluded

    @property
    def spec(self) -> "cvataa.DetectionFunctionSpec":
        """The labels that the function gives."""
        keypoints = [cvataa.keypoint_spec(name, index) for index, name in enumerate(self._estimator.skeleton.keypoints)]
        return cvataa.DetectionFunctionSpec(labels=[cvataa.skeleton_label_spec(self._label, PERSON, keypoints)])

    def detect(
        self, context: "cvataa.DetectionFunctionContext", image: "PillowImage"
    ) -> Sequence["LabeledShapeRequest"]:
        """The people of one image as skeletons."""
        people = self._estimator(np.ascontiguousarray(np.asarray(image.convert("RGB"))))
        if context.conf_threshold is not None:
            people = people[people.scores >= context.conf_threshold]
        return [self._skeleton(keypoints, image.size) for keypoints in people.keypoints]

    def _skeleton(self, keypoints: Float32, size: tuple[int, int]) -> "LabeledShapeRequest":
        """One person; keypoints beyond the image are moved to its border and marked as outside."""
        width, height = size
        shares = keypoints[:, 2] / max(float(keypoints[:, 2].max()), 1e-9)
        elements = []
        for index, ((x, y, _), share) in enumerate(zip(keypoints.tolist(), shares.tolist(), strict=True)):
            inside = 0 <= x <= width and 0 <= y <= height
            elements.append(
                cvataa.keypoint(
                    index,
                    [min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))],
                    outside=not inside or share < self._outside,
                    occluded=share < self._occluded,
                )
            )
        return cvataa.skeleton(PERSON, elements=elements)


create = PoseFunction
"""What CVAT calls with the parameters of its command line."""


def label_definition(skeleton: Skeleton, label: str = "person") -> list[dict[str, object]]:
    """The label to paste into CVAT's raw label editor, with the skeleton drawn as a standing figure.

    Args:
        skeleton: its keypoints and links.
        label: name of the label.
    """
    places = _places(skeleton)
    edges = [
        f'<line x1="{places[start][0]}" y1="{places[start][1]}" x2="{places[end][0]}" y2="{places[end][1]}" '
        f'data-type="edge" data-node-from="{start + 1}" data-node-to="{end + 1}"></line>'
        for start, end in skeleton.links
    ]
    nodes = [
        f'<circle r="1.5" cx="{x}" cy="{y}" data-type="element node" data-element-id="{index + 1}" '
        f'data-node-id="{index + 1}" data-label-name="{name}"></circle>'
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
