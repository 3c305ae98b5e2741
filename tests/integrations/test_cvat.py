"""The CVAT function with the real SDK: its spec is valid, its shapes go through CVAT's own checks."""

import numpy as np
import pytest

cvat_sdk = pytest.importorskip("cvat_sdk")

import cvat_sdk.auto_annotation as cvataa  # noqa: E402
import cvat_sdk.models as models  # noqa: E402
from PIL import Image  # noqa: E402

from everypose.errors import UsageError  # noqa: E402
from everypose.integrations import cvat  # noqa: E402
from inference.stand_in import SKELETON, crowd  # noqa: E402

PEOPLE = ((0, 0, 100), (2, 1, 200))


class Context(cvataa.DetectionFunctionContext):
    frame_name = "frame.png"
    conv_mask_to_poly = False
    conf_threshold = None


@pytest.fixture
def image():
    return Image.fromarray(crowd(PEOPLE, width=128))


def test_the_spec_names_every_keypoint(pose):
    (label,) = cvat.create(pose).spec.labels
    assert (label.name, label.type) == ("person", "skeleton")
    assert [sublabel.name for sublabel in label.sublabels] == list(SKELETON.keypoints)


def test_people_become_skeletons(pose, image):
    found = cvat.create(pose).detect(Context(), image)
    people = pose(np.asarray(image))
    assert len(found) == len(people) == 2
    for shape, person in zip(found, people, strict=True):
        values = shape.to_dict()
        assert values["type"] == "skeleton"
        points = [element["points"] for element in values["elements"]]
        assert np.allclose(points, person.keypoints[:, :2])
        assert not any(element["outside"] or element["occluded"] for element in values["elements"])


def test_the_confidence_threshold_is_respected(pose, image):
    context = Context()
    context.conf_threshold = 0.5
    assert len(cvat.create(pose).detect(context, image)) == 1
    context.conf_threshold = 1.0
    assert cvat.create(pose).detect(context, image) == []


def test_weak_keypoints_are_occluded_or_outside(pose):
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[:, :2] = 10
    keypoints[:, 2] = 1
    keypoints[1, 2], keypoints[2, 2], keypoints[3, 0] = 0.2, 0.05, -5
    elements = cvat.create(pose)._skeleton(keypoints, (64, 64)).to_dict()["elements"]
    assert [element["outside"] for element in elements[:4]] == [False, False, True, True]
    assert [element["occluded"] for element in elements[:4]] == [False, True, True, False]
    assert elements[3]["points"] == [0.0, 10.0]


def test_shares_out_of_order(pose):
    with pytest.raises(UsageError, match="rising shares"):
        cvat.create(pose, outside=0.5, occluded=0.2)


def test_shapes_go_through_the_mapper_of_the_sdk(pose, image):
    """CVAT's driver replaces ids by those of the task's labels, matched by name, and checks every shape."""
    from cvat_sdk.auto_annotation.driver import _AnnotationMapper

    sublabels = [
        models.Sublabel._from_openapi_data(id=100 + index, name=name, type="points", attributes=[], has_parent=True)
        for index, name in enumerate(reversed(SKELETON.keypoints))
    ]
    label = models.Label._from_openapi_data(
        id=9, name="person", type="skeleton", attributes=[], sublabels=sublabels, has_parent=False
    )
    function = cvat.create(pose)
    mapper = _AnnotationMapper(
        _Silent(), function.spec.labels, [label], allow_unmatched_labels=False, conv_mask_to_poly=False
    )
    shapes = list(function.detect(Context(), image))
    mapper.validate_and_remap(shapes, 3)
    assert {shape.label_id for shape in shapes} == {9}
    assert [element.label_id for element in shapes[0].elements][:2] == [116, 115]
    assert {shape.frame for shape in shapes} == {3}


class _Silent:
    def __getattr__(self, _):
        return lambda *_arguments, **_more: None


def test_the_command_line_of_cvat_loads_the_module(model):
    from cvat_cli._internal.common import FunctionLoader

    loader = FunctionLoader("everypose.integrations.cvat", None, {"model": str(model), "min_score": 0.2})
    assert len(loader.load().spec.labels) == 1
