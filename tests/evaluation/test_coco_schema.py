import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.made import with_people
from everypose.errors import EveryposeError
from everypose.evaluation.coco_schema import flag_array, number_array
from everypose.evaluation.metrics.average_precision import evaluate_oks
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def attempt(read):
    """The array, or None and the entry that the error names."""
    try:
        return read(), ""
    except EveryposeError as error:
        return None, str(error).split(":")[0]


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 4]))
def test_numbers_are_finite_arrays_or_one_error_that_names_the_entry(values, width):
    names = [f"entry {row}" for row in range(len(values))]
    array, named = attempt(lambda: number_array(values, names, "bbox", width))
    if array is None:
        assert named in names
    else:
        assert array.shape == ((len(values),) if width is None else (len(values), width))
        assert np.isfinite(array).all()


@given(st.lists(JSON, max_size=5))
def test_flags_are_zero_and_one_in_any_writing(values):
    names = [f"entry {row}" for row in range(len(values))]
    flags, named = attempt(lambda: flag_array(values, names, "iscrowd"))
    if flags is None:
        assert named in names
    else:
        assert flags.tolist() == [value in (1, "1", "true") for value in values]


@pytest.mark.parametrize("value", ["0", "false", 0, 0.0, False, None])
def test_people_whose_iscrowd_is_a_zero_in_any_writing_count(value):
    truth, results = with_people(4, crowds=False)
    other = copy.deepcopy(truth)
    for annotation in other["annotations"]:
        annotation["iscrowd"] = value
    assert evaluate_oks(other, results, COCO).numbers() == evaluate_oks(truth, results, COCO).numbers()


def test_a_null_num_keypoints_is_a_missing_one():
    truth, results = with_people(4)
    other = copy.deepcopy(truth)
    for annotation in other["annotations"]:
        annotation["num_keypoints"] = None
    assert evaluate_oks(other, results, COCO).numbers() == evaluate_oks(truth, results, COCO).numbers()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iscrowd": "yes"}, "annotation 1: iscrowd must be 0 or 1, not yes"),
        ({"iscrowd": 2}, "annotation 1: iscrowd must be 0 or 1, not 2"),
        ({"bbox": [1, 2, 3]}, "annotation 1: bbox must be 4 finite numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "annotation 1: bbox must be 4 finite numbers"),
        ({"num_keypoints": [3]}, "annotation 1: num_keypoints must be a finite number"),
        ({"area": 10**400}, "annotation 1: area must be a finite number"),
        ({"bbox": [1, 2, 3, 1e60]}, r"annotation 1: bbox must be 4 finite numbers below 2\^53, not"),
        ({"image_id": [1]}, "image_id must be a number or a text"),
        ({"image_id": True}, "image_id must be a number or a text"),
        ({"id": float("nan")}, "id must be a number or a text"),
    ],
)
def test_bad_values_name_the_annotation(change, words):
    truth, results = with_people(4)
    truth["annotations"][0] |= change
    with pytest.raises(EveryposeError, match=words) as caught:
        evaluate_oks(truth, results, COCO)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [7, ["a.jpg"]])
def test_file_names_are_text(name):
    truth, results = with_people(4)
    truth["images"][0]["file_name"] = name
    with pytest.raises(EveryposeError, match="file_name must be a text"):
        evaluate_oks(truth, results, COCO)
