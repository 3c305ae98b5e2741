"""PoseBH on pretrained features: stored features, experts, decoding, and the commands."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from benchmarks.posebh_study import SETS
from research.posebh_pretrained import features, score, train
from research.posebh_pretrained.features import ExpertLayer, FrozenBackbone

from everypose.backbones.lite_hrnet import LiteHRNet
from everypose.evaluation.coco_arrays import read_results
from everypose.evaluation.metrics.average_precision import score_oks
from everypose.evaluation.metrics.oks import compute_oks
from everypose.methods.posebh.targets import SIGMA
from everypose.methods.top_down.targets import gaussian_targets
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
POSE = np.array(
    [(50, 12), (53, 10), (47, 10), (57, 12), (43, 12), (65, 30), (35, 30), (72, 50), (28, 50), (74, 68), (26, 68),
     (60, 70), (40, 70), (61, 95), (39, 95), (62, 120), (38, 120)], dtype=np.float64,
)  # fmt: skip


@pytest.fixture
def files(tmp_path):
    """Six images with two people each."""
    rng = np.random.default_rng(0)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person",
               "keypoints": list(COCO.keypoints)}]}  # fmt: skip
    for image in range(1, 7):
        cv2.imwrite(str(tmp_path / f"{image}.png"), rng.integers(0, 256, (150, 240, 3), dtype=np.uint8))
        content["images"].append({"id": image, "file_name": f"{image}.png", "width": 240, "height": 150})
        for x in (0.0, 110.0):
            points = np.c_[POSE + np.array([x, 5]) + rng.uniform(-3, 3, (17, 2)), np.full(17, 2)]
            content["annotations"].append(
                {"id": len(content["annotations"]) + 1, "image_id": image, "category_id": 1, "iscrowd": 0,
                 "bbox": [x + 15, 5, 70, 135], "area": 5000, "num_keypoints": 17, "keypoints": points.ravel().tolist()}
            )  # fmt: skip
    (tmp_path / "people.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def weights(monkeypatch):
    torch.manual_seed(0)
    state = {f"backbone.{name}": value for name, value in LiteHRNet().state_dict().items()}
    monkeypatch.setattr(features, "read_tinypose", lambda _: state | {"head.weight": torch.zeros(17, 40, 1, 1)})


@pytest.mark.usefixtures("weights")
def test_features_are_the_coarse_branches_of_the_last_stage(tmp_path):
    backbone = FrozenBackbone(tmp_path)
    images = torch.rand(2, 3, 64, 96)
    branches = []
    backbone.network.decoder.register_forward_hook(lambda _module, inputs, _output: branches.extend(inputs[0]))
    backbone.network(images)
    found = backbone(images)
    assert found.shape == (2, 960, 2, 3)
    assert torch.equal(found[:, 640:], branches[3])
    assert torch.equal(torch.nn.functional.pixel_shuffle(found[:, :640], 2), branches[2])
    assert not any(value.requires_grad for value in backbone.parameters())


def test_a_merged_layer_is_that_of_one_expert():
    torch.manual_seed(0)
    layer = ExpertLayer(8, 3, channels=6, part=2).eval()
    inputs, dataset = torch.randn(6, 8, 2, 2), torch.tensor([0, 2, 1, 1, 0, 2])
    mixed = layer(inputs, dataset)
    for number in range(3):
        own = dataset == number
        assert torch.allclose(layer.merged(number)(inputs[own]), mixed[own])
    assert not torch.allclose(mixed, layer.merged(0)(inputs))


@pytest.mark.usefixtures("weights")
def test_heatmaps_of_the_truth_give_full_ap(files):
    train.write_sets(files / "people.json", files / "people.json", files, None)
    people = train.read_test_people(files, files, FrozenBackbone(files))
    truth, skeleton = score.truth_of("coco", files)
    content = json.loads((files / "coco_dev.json").read_text())
    keypoints = np.array([entry["keypoints"] for entry in content["annotations"]]).reshape(-1, 17, 3)
    for points, inverse in zip(keypoints, people.inverse, strict=True):
        matrix = np.linalg.inv(np.vstack([inverse, [0, 0, 1]]))[:2]
        points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    maps, _ = gaussian_targets(torch.from_numpy(keypoints), train.CROP, train.HEATMAP, SIGMA, True)
    parts = iter(maps.split(64))
    rows = train.results(lambda _features: next(parts), people)
    assert score_oks(compute_oks(truth, read_results(rows, truth), skeleton.require_sigmas())).ap == pytest.approx(1.0)


def test_only_keypoints_that_a_set_never_labels_are_scored(files):
    train.write_sets(files / "people.json", files / "people.json", files, None)
    truth, _ = score.truth_of("coco head, mpii expert", files)
    assert truth.num_keypoints.tolist() == [5] * 12  # nose, eyes and ears
    truth, skeleton = score.truth_of("mpii prototypes, coco expert", files)
    assert truth.num_keypoints.tolist() == [2] * 12  # pelvis and thorax
    assert skeleton.name == "mpii"


def test_the_sets_share_no_photo(files):
    train.write_sets(files / "people.json", files / "people.json", files, 1)
    names = [json.loads((files / f"{name}_train.json").read_text())["images"] for name in SETS]
    assert [len(images) for images in names] == [1, 1, 1]
    assert len({image["file_name"] for images in names for image in images}) == 3


@pytest.mark.usefixtures("weights")
def test_the_commands_train_and_score(files, monkeypatch, capsys):
    small = {way: (*train.WAYS[way], "trainer.batch=4") for way in ("single", "heads", "posebh", "strong")}
    for module in (train, score):
        monkeypatch.setattr(module, "WAYS", small)
    data = ["--train", str(files / "people.json"), "--dev", str(files / "people.json"), "--images", str(files)]
    options = ["--pool", "12", "--steps", "4", "--seeds", "0", "-o", str(files / "out")]
    monkeypatch.setattr(sys, "argv", ["train", str(files / "tinypose.onnx"), *data, *options])
    train.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines[1:]]
    assert [row["way"] for row in rows] == list(small)
    assert "cross_type" in rows[-1]
    train.main()  # what is trained is not trained again
    assert len(capsys.readouterr().out.splitlines()) == 1
    monkeypatch.setattr(sys, "argv", ["score", str(files / "out"), "--resamples", "2"])
    score.main()
    printed = capsys.readouterr().out
    assert "| coco | heads | " in printed
    assert "| mpii prototypes, coco expert | posebh | " in printed
    scores = json.loads((files / "out" / "scores.json").read_text())
    assert set(scores["coco"]) == set(small)
    assert "difference" in scores["coco"]["single"]
    assert "single" not in scores["coco head, mpii expert"]
