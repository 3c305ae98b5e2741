import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.made import with_people
from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.image_matching import match_images
from everypose.evaluation.metrics.average_precision import evaluate_oks
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


def match(names, *results):
    """The image id of each result, given as (image_id, file_name)."""
    rows = [{"image_id": image_id} | ({} if name is None else {"file_name": name}) for image_id, name in results]
    return match_images(rows, names).image_ids


def test_the_file_name_decides_where_both_sides_have_one():
    names = {1: "000000.jpg", 2: "000001.jpg", 3: "000002.jpg"}
    assert match(names, (1, "000001.jpg"), (2, "000002.jpg"), (9, "000000.jpg")) == [2, 3, 1]


@pytest.mark.parametrize(
    ("names", "result", "expected"),
    [
        ({1: "val2017/a.jpg", 2: "val2017/b.jpg"}, (1, "b.jpg"), 2),
        ({1: "a.jpg", 2: "b.jpg"}, (1, "val2017/b.jpg"), 2),
        ({1: "a.jpg", 2: "sub/b.jpg"}, (1, r"photos\sub\b.jpg"), 2),
        ({1: "upload/a.jpg", 2: "upload/b.jpg"}, (1, "images/b.jpg"), 2),
        ({1: "one/a.jpg", 2: "two/a.jpg"}, (1, "two/a.jpg"), 2),
        ({1: "one/a.jpg", 2: "two/a.jpg"}, (2, "a.jpg"), 2),  # the id chooses among names that fit
        ({1: "a.jpg", 2: "a.jpg"}, (2, "a.jpg"), 2),
        ({1: "a.jpg"}, (1, None), 1),
        ({1: None, 2: "b.jpg"}, (1, "c.jpg"), 1),  # the image has no name to contradict
    ],
)
def test_names_with_and_without_folders(names, result, expected):
    assert match(names, result) == [expected]


@pytest.mark.parametrize(
    ("names", "results", "words"),
    [
        ({1: "a.jpg", 2: "b.jpg"}, [(1, "c.jpg")], r"image_id 1 is a\.jpg in the annotation file and c\.jpg"),
        ({1: "one/a.jpg", 2: "two/a.jpg", 3: "b.jpg"}, [(3, "a.jpg")], "could be 2 images of the annotation file"),
        ({1: "one/a.jpg", 2: "b.jpg"}, [(2, "x/a.jpg"), (2, "y/a.jpg")], "image_id 2 is b.jpg in the annotation file"),
        ({1: "a.jpg", 2: "b.jpg"}, [(1, "b.jpg"), (1, None)], "1 predictions have no file_name"),
    ],
)
def test_contradictions_are_refused(names, results, words):
    with pytest.raises(EveryposeError, match=words) as caught:
        match(names, *results)
    assert "\n" not in str(caught.value)


@given(st.permutations(range(8)))
def test_any_numbering_of_the_same_images_gives_the_same_scores(order):
    truth, results = with_people(3, images=8)
    named = [{**row, "file_name": f"{row['image_id']}.jpg"} for row in results]
    renumbered = [{**row, "image_id": order[row["image_id"] - 1]} for row in named]
    assert evaluate_oks(truth, renumbered, COCO).numbers() == evaluate_oks(truth, results, COCO).numbers()


def test_the_scores_say_that_ids_were_corrected():
    truth, results = with_people(3, images=8)
    wrong = [{**row, "file_name": f"{row['image_id']}.jpg", "image_id": 9 - row["image_id"]} for row in results]
    people = read_ground_truth(truth, 17)
    assert f"the image_id of {len(wrong)} predictions is another image" in read_results(wrong, people).notes[0]


def test_results_of_predict_are_scored_on_a_file_that_counts_from_one(everypose, tmp_path):
    """``predict`` takes image ids from file names; here frame_000000.jpg is image 1 of the annotations."""
    truth, _ = with_people(3, images=6, crowds=False)
    truth["categories"][0]["keypoints"] = list(COCO.keypoints)
    for image in truth["images"]:
        image["file_name"] = f"frame_{image['id'] - 1:06}.jpg"
    exact = [
        {"image_id": a["image_id"] - 1, "file_name": f"frame_{a['image_id'] - 1:06}.jpg", "category_id": 1}
        | {"keypoints": a["keypoints"], "score": 0.9}
        for a in truth["annotations"]
    ]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(exact))
    given = ("--predictions", tmp_path / "results.json", "--annotations", tmp_path / "truth.json")
    done = everypose("evaluate", *given, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["numbers"][""]["AP"] > 0.8
    for row in exact:
        row["file_name"] = "other" + row["file_name"]
    (tmp_path / "results.json").write_text(json.dumps(exact))
    refused = everypose("evaluate", *given)
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert "in the annotation file and otherframe_" in refused.err
