"""A CVAT auto-annotation function: pre-labels with skeletons.

``cvat-cli`` and :func:`cvat_sdk.auto_annotation.annotate_task` take this module:

    cvat-cli task auto-annotate 137 --function-module everypose.integrations.cvat -p model=str:mipnet-lite

Labels and keypoints of the task are matched by name. Coordinates are everypose's own, as in COCO files.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from everypose.core.arrays import Float32
from everypose.errors import UsageError
from everypose.inference.estimator import Estimator
from everypose.inference.loading import load
from everypose.models.default_names import DEFAULT_MODEL

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
        UsageError: if the shares are not in order, or there is no such model.
    """

    def __init__(
        self,
        model: str | Estimator = DEFAULT_MODEL,
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
