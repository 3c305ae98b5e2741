import copy
import warnings
from pathlib import Path

import numpy as np
import pytest

from evaluation.made import with_people
from everypose.data.discovery.layouts import Layout
from everypose.errors import EveryposeError
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.coco_arrays import read_results
from everypose.evaluation.scores import compute_scores
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
VALUES = [None, 1, -1, 0, 3.5, float("nan"), float("inf"), "x", "", [], [1], {}, {"a": 1}, True, 1e300, 10**30]
VALUES += [[None] * 51, ["a"] * 51, [[0, 0, 0]] * 17]


def score(truth, results, metric):
    layout = Layout((Path("truth.json"),), Path(), None, None, "a test's")
    annotated = AnnotatedSet.from_content(truth, layout, metric=metric, skeleton=COCO)
    return compute_scores(annotated, read_results(results, annotated.ground_truth))


def places(content, path=()):
    """Every place in the first entries of a JSON content."""
    if path:
        yield path
    parts = (
        content.items() if isinstance(content, dict) else enumerate(content[:2] if isinstance(content, list) else [])
    )
    for key, value in parts:
        yield from places(value, (*path, key))


@pytest.mark.parametrize("metric", ["coco", "crowdpose", "hand"])
@pytest.mark.parametrize("which", [0, 1])
def test_whatever_is_wrong_in_a_file_gives_one_line(which, metric):
    rng = np.random.default_rng(which)
    good = with_people(4, images=4)
    where = list(places(good[which]))
    messages = []
    for _ in range(100):
        files = copy.deepcopy(good)
        path = where[rng.integers(len(where))]
        parent = files[which]
        for key in path[:-1]:
            parent = parent[key]
        if rng.random() < 0.1:
            del parent[path[-1]]
        else:
            parent[path[-1]] = VALUES[rng.integers(len(VALUES))]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                score(*files, metric)  # type: ignore[call-arg]
            except EveryposeError as error:
                messages.append(str(error))
    assert len(messages) > 40
    assert all("\n" not in message and len(message) < 300 for message in messages)
