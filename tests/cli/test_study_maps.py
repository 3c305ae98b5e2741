"""``everypose study similarity``, ``tsne``, ``heatmaps``; ``data statistics``; ``compare --pictures``."""

import json

import cv2
import pytest

from evaluation.oracle import content, photo
from evaluation.tiny_crops import tiny_folder
from inference import stand_in

WIDTHS = dict.fromkeys(("instance", "neck_branch", "neck", "head", "embedding"), 4)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "pair.png"
    cv2.imwrite(str(path), photo(1)[..., ::-1])
    return path


def test_similarity_and_pca_of_two_models(everypose, tmp_path, picture):
    one = tiny_folder(tmp_path / "one", family="boir", **WIDTHS)
    out = tmp_path / "out"
    done = everypose(
        "study", "similarity", one, one, picture, "--box", "10,10,60,90", "--box", "80,20,140,99", "-o", out
    )
    assert done.code == 0, done.err
    assert len(json.loads((out / "similarity.json").read_text())["rows"]) == 4
    done = everypose("study", "tsne", one, picture, "--method", "pca", "-o", out)
    assert done.code == 0, done.err
    assert "| tiny boir | 60 |" in done.out
    assert cv2.imread(str(out / "pca.png")) is not None
    refused = everypose("study", "similarity", one, picture, "--box", "1,2,3")
    assert (refused.code, "four numbers" in refused.err) == (2, True)


def test_heatmaps_next_to_a_baseline(everypose, tmp_path, picture):
    model, baseline = tiny_folder(tmp_path / "model"), tiny_folder(tmp_path / "baseline", family="hrnet")
    out = tmp_path / "out"
    done = everypose(
        "study", "heatmaps", model, picture, "--against", baseline, "--box", "40,30,100,140", "-o", out, "--json"
    )
    assert done.code == 0, done.err
    maps = [row["maps"] for row in json.loads(done.out)["rows"]]
    assert maps == ["tiny hrnet", "tiny mipnet, selector 1", "tiny mipnet, selector 2"]
    refused = everypose("study", "heatmaps", model, picture, "--box", "40,30,100,140", "--keypoint", "tail")
    assert (refused.code, "no keypoint 'tail'" in refused.err) == (2, True)


def test_statistics_of_two_sets(everypose, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps(content()))
    done = everypose("data", "statistics", tmp_path / "one.json", tmp_path / "two.json", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "| largest IoU | above 0.5 | 2 | 33.3% | 2 | 33.3% |" in done.out
    assert (tmp_path / "out" / "statistics.svg").read_text().startswith("<svg")
    broken = everypose("data", "statistics", tmp_path / "none.json")
    assert broken.code == 1
    assert broken.err.count("\n") == 1


def test_pictures_of_the_largest_disagreements(everypose, tmp_path, picture):
    model = stand_in.write_model(tmp_path / "stand_in.onnx")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    out = tmp_path / "out"
    done = everypose("compare", model, model, "--images", picture, "--images", bad, "--pictures", out)
    assert done.code == 1
    assert "bad.png" in done.err
    assert "| pair.png | 0.00 |" in done.out
    assert (out / "01-pair.jpg").is_file()
    assert everypose("compare", model, model, "--pictures", out).code == 2
    assert everypose("compare", model, model, "--images", picture).code == 2
    assert everypose("compare", model, "--images", picture, "--pictures", out).code == 2
