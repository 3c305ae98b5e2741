"""MOT and PoseTrack18 files: who counts, which sequences, bad input; and the command line."""

import json
import re

import numpy as np
import pytest

from evaluation.tracking.made_sequences import write_mot
from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.tracking.evaluate import evaluate_tracking
from everypose.evaluation.tracking.mot import read_ground_truth
from everypose.skeleton.skeleton import Skeleton

POSETRACK = Skeleton.named("posetrack18")
PEDESTRIAN = "1,{id},10,10,40,90,1,1,1\n"


def mot(folder, ground_truth, results):
    (folder / "gt.txt").write_text(ground_truth)
    (folder / "found.txt").write_text(results)
    return evaluate_tracking(folder / "gt.txt", folder / "found.txt", quiet=True).overall.clear


def test_a_single_file(tmp_path):
    counts = mot(tmp_path, "1,4,10,10,40,90,1,-1,-1,-1\n", "1,7,10,10,40,90,0.5,-1,-1,-1\n")
    assert (counts.tp, counts.fn, counts.fp) == (1, 0, 0)


def test_a_detection_of_a_distractor_is_left_out_in_mot16_only(tmp_path):
    found = "1,7,10,10,40,90,0.5,-1,-1,-1\n"
    assert mot(tmp_path, "1,4,10,10,40,90,1,7,1\n1,5,300,10,40,90,1,1,1\n", found).fp == 0
    assert mot(tmp_path, "1,4,10,10,40,90,1,3,1\n1,5,300,10,40,90,1,1,1\n", found).fp == 1
    assert mot(tmp_path, "1,4,10,10,40,90,0,1,1\n1,5,300,10,40,90,1,1,1\n", found).fp == 1
    assert mot(tmp_path, "1,4,10,10,40,90,0,-1,-1,-1\n1,5,300,10,40,90,1,-1,-1,-1\n", found).fp == 1


def test_results_of_a_video_as_coco_list(tmp_path):
    (tmp_path / "gt.txt").write_text("1,4,10,10,40,90,1,-1,-1,-1\n2,4,20,10,40,90,1,-1,-1,-1\n")
    entries = [
        {"image_id": n, "frame": n, "track_id": 3, "bbox": [10 + 10 * n, 10, 40, 90], "score": 1} for n in (0, 1)
    ]
    (tmp_path / "found.json").write_text(json.dumps(entries))
    found = evaluate_tracking(tmp_path / "gt.txt", tmp_path / "found.json", quiet=True)
    assert found.overall.hota.hota == 1


@pytest.mark.parametrize(
    ("ground_truth", "results", "message"),
    [
        ("1,4,10\n", "", "3 columns"),
        ("1,4,10,10,40,90\n", "", "at least 7 columns"),
        ("one,4\n", "", "not MOT text"),
        ("0,4,10,10,40,90,1\n", "", "frames must be 1 or more"),
        ("1,4,10,10,nan,90,1\n", "", "all numbers finite"),
        (PEDESTRIAN.format(id=1) * 2, "", "a true id appears twice"),
        (PEDESTRIAN.format(id=1), "1,2,1,1,9,9\n1,2,5,5,9,9\n", "a track id appears twice"),
        (PEDESTRIAN.format(id=1), "9,2,1,1,9,9\n", "has a frame 9, the sequence has 1"),
        ("4503599627370496,1,1,1,9,9,1,1,1\n", "", "4,503,599,627,370,496 frames; 1,000,000 are the most"),
    ],
)
def test_bad_mot_files(tmp_path, ground_truth, results, message):
    with pytest.raises(EveryposeError, match=message):
        mot(tmp_path, ground_truth, results)


@pytest.mark.parametrize("text", ["", " \n", "# a comment\n"])
def test_a_file_without_rows_has_no_tracks(tmp_path, text):
    (tmp_path / "gt.txt").write_text(text)
    assert len(read_ground_truth(tmp_path / "gt.txt").ids) == 0


def test_missing_files(tmp_path):
    ground_truth, tracks = write_mot(tmp_path, "MOT16")
    (tracks / "made-2.txt").unlink()
    with pytest.raises(EveryposeError, match="no results of the sequence made-2"):
        evaluate_tracking(ground_truth, tracks, quiet=True)
    with pytest.raises(EveryposeError, match="no ground truth in"):
        evaluate_tracking(tracks, tracks, quiet=True)
    with pytest.raises(UsageError, match="boxes only"):
        evaluate_tracking(ground_truth, tracks, similarity="oks", quiet=True)


def posetrack(folder, people, results, image=None):
    """Two frames; people and results are (frame, track, x, labeled) and (frame, track, x)."""

    def keypoints(x, third):
        return np.column_stack([x + np.arange(17), 100 + 5 * np.arange(17), np.full(17, third)]).ravel().tolist()

    images = [
        {"id": 100 + n, "frame_id": n, "file_name": f"images/{n}.jpg", "is_labeled": True, **(image or {})}
        for n in (0, 1)
    ]
    annotations = [
        {
            "id": n,
            "image_id": 100 + frame,
            "track_id": track,
            "category_id": 1,
            "bbox": [x, 95, 30, 95],
            "keypoints": keypoints(x, labeled),
        }
        for n, (frame, track, x, labeled) in enumerate(people)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK.keypoints)}
    found = [
        {"image_id": 100 + frame, "track_id": track, "bbox": [x, 95, 30, 95], "keypoints": keypoints(x, 0.9)}
        for frame, track, x in results
    ]
    (folder / "truth.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [category]})
    )
    (folder / "found.json").write_text(json.dumps({"annotations": found}))
    return folder / "truth.json", folder / "found.json"


PEOPLE = [(0, 5, 50, 1), (1, 5, 60, 1), (0, 6, 300, 1), (1, 6, 310, 1)]


def test_posetrack_by_oks_and_by_boxes(tmp_path):
    files = posetrack(tmp_path, PEOPLE, [(0, 1, 50), (1, 1, 60), (0, 2, 300), (1, 3, 310)])
    found = evaluate_tracking(*files, quiet=True)
    assert found.similarity == "oks"
    assert found.overall.hota.det_a == 1
    assert found.overall.clear.switches == 1
    assert found.overall.identity.idf1 == 0.75
    assert evaluate_tracking(*files, similarity="box", quiet=True).overall.clear.switches == 1


def test_people_without_labels_and_ignored_regions_are_neither_right_nor_wrong(tmp_path):
    unlabeled = [*PEOPLE, (0, 7, 500, 0)]
    results = [(0, 1, 50), (1, 1, 60), (0, 2, 300), (1, 2, 310), (0, 3, 500), (1, 4, 700)]
    assert evaluate_tracking(*posetrack(tmp_path, unlabeled, results), quiet=True).overall.clear.fp == 1
    region = {"ignore_regions_x": [[650, 800, 800, 650]], "ignore_regions_y": [[50, 50, 300, 300]]}
    found = evaluate_tracking(*posetrack(tmp_path, unlabeled, results, region), quiet=True)
    assert found.overall.clear.fp == 0
    assert found.overall.hota.hota == 1


def test_frames_that_are_not_labeled_are_left_out(tmp_path):
    files = posetrack(tmp_path, PEOPLE[:1], [(0, 1, 50), (1, 1, 60)])
    content = json.loads(files[0].read_text())
    content["images"][1]["is_labeled"] = False
    files[0].write_text(json.dumps(content))
    assert evaluate_tracking(*files, quiet=True).overall.clear.fp == 0


def test_results_whose_images_are_known_by_their_names_keep_their_tracks(tmp_path):
    """Results number the images of a folder; one of them is a frame that is not labeled."""
    truth, found = posetrack(tmp_path, PEOPLE, [(0, 1, 50), (1, 9, 70), (1, 1, 60), (0, 2, 300), (1, 3, 310)])
    content, results = json.loads(truth.read_text()), json.loads(found.read_text())
    content["images"].append({"id": 90, "frame_id": 2, "file_name": "images/2.jpg", "is_labeled": False})
    results["annotations"][1]["image_id"] = 90
    by_id = {100: (1, "0.jpg"), 101: (2, "1.jpg"), 90: (3, "2.jpg")}
    for result in results["annotations"]:
        result["image_id"], result["file_name"] = by_id[result["image_id"]]
    truth.write_text(json.dumps(content))
    found.write_text(json.dumps(results))
    overall = evaluate_tracking(truth, found, quiet=True).overall
    assert (overall.clear.switches, overall.clear.fp, overall.identity.idf1) == (1, 0, 0.75)


def test_videos_of_one_file_are_scored_apart(tmp_path):
    files = posetrack(tmp_path, [(0, 5, 50, 1), (1, 5, 60, 1)], [(0, 1, 50), (1, 2, 60)])
    content = json.loads(files[0].read_text())
    for number, image in enumerate(content["images"]):
        image["video_id"] = number
    files[0].write_text(json.dumps(content))
    assert evaluate_tracking(*files, quiet=True).overall.hota.hota == 1


def test_a_result_without_track_id(tmp_path):
    files = posetrack(tmp_path, PEOPLE, [(0, 1, 50)])
    files[1].write_text(files[1].read_text().replace('"track_id": 1, ', ""))
    with pytest.raises(EveryposeError, match=r"entry 0 of .*found.json: track_id must be a finite number"):
        evaluate_tracking(*files, quiet=True)


@pytest.mark.parametrize(
    ("track", "message"), [("1e60", "must be a finite number below 2^53"), ("1.5", "must be a whole number, not 1.5")]
)
def test_track_ids_are_whole_numbers_that_an_array_holds(tmp_path, track, message):
    files = posetrack(tmp_path, PEOPLE, [(0, 1, 50)])
    for file, person in ((files[0], PEOPLE[0][1]), (files[1], 1)):
        text = file.read_text()
        file.write_text(text.replace(f'"track_id": {person}', f'"track_id": {track}'))
        with pytest.raises(EveryposeError, match=f"track_id {re.escape(message)}"):
            evaluate_tracking(*files, quiet=True)
        file.write_text(text)
    for name, number in (("truth.txt", 1), ("found.txt", track)):
        (tmp_path / name).write_text(f"1,{number},0,0,20,40,1,1,1\n")
    with pytest.raises(EveryposeError, match=r"found\.txt: .*(whole numbers|below 2\^53)"):
        evaluate_tracking(tmp_path / "truth.txt", tmp_path / "found.txt", quiet=True)


@pytest.mark.parametrize("corner", [1e60, float("nan"), "x"])
def test_corners_of_ignored_regions_are_numbers(tmp_path, corner):
    region = {"ignore_regions_x": [[corner, 800, 800]], "ignore_regions_y": [[50, 50, 300]]}
    files = posetrack(tmp_path, PEOPLE, [(0, 1, 50)], region)
    with pytest.raises(EveryposeError, match="an ignored region's corner must be a finite number"):
        evaluate_tracking(*files, quiet=True)


def test_the_command_line(everypose, tmp_path):
    ground_truth, tracks = write_mot(tmp_path, "MOT16")
    files = ("--annotations", ground_truth, "--predictions", tracks)
    finished = everypose("evaluate", "--tracking", *files, "--json", "-o", tmp_path / "scores.json")
    assert finished.code == 0
    printed = json.loads(finished.out)
    assert printed == json.loads((tmp_path / "scores.json").read_text())
    assert printed["overall"]["HOTA"] == evaluate_tracking(ground_truth, tracks, quiet=True).overall.hota.hota
    table = everypose("evaluate", "--tracking", *files).out
    assert "made-3" in table
    assert "IDF1" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tracking",), "--tracking needs --annotations"),
        (("boir-lite", "--tracking", "--metric", "coco"), "MODEL, --metric: not with --tracking"),
        (("--similarity", "box"), "--similarity is for --tracking"),
    ],
)
def test_options_that_do_not_belong_together(everypose, arguments, message):
    finished = everypose("evaluate", *arguments)
    assert finished.code == 2
    assert message in finished.err
