"""One model of several data sets: each one's keypoints, or all of them, wherever a model is run."""

import json

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import everypose
from everypose.backbones.normalization import normalize
from everypose.cli.main import app
from everypose.errors import EveryposeError, UsageError
from everypose.inference.boxes import Boxes
from everypose.methods.posebh.union_skeleton import union_skeleton
from everypose.methods.top_down.graph import TopDownGraph
from everypose.models.build import build_network
from everypose.models.skeleton_choice import select_skeleton
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton
from inference.tiny_posebh import SETS, tiny


def boxes(_):
    return Boxes(np.array([[10.0, 5.0, 60.0, 90.0]]), np.ones(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(*tiny(), folder)  # type: ignore[call-arg]
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 255, (10, 8, 3), dtype=np.uint8), (80, 100))
    cv2.imwrite(str(folder / "photo.png"), photo)
    (folder / "boxes.json").write_text(
        json.dumps([{"image_id": 1, "bbox": [10, 5, 50, 85], "score": 1.0, "category_id": 1, "file_name": "photo.png"}])
    )
    return folder


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_found_by_its_own_head_expert_crops_and_decoder(name):
    network, config = tiny()
    selected, own = select_skeleton(network, config, name)
    crops = torch.randint(0, 255, (3, 64, 48, 3), dtype=torch.uint8)
    number = list(SETS).index(name)
    heatmaps = network(normalize(crops), torch.full((3,), number)).heatmaps[number]
    torch.testing.assert_close(selected.heatmaps(normalize(crops))[:, 0], heatmaps, rtol=1e-4, atol=1e-5)
    assert own.skeleton == Skeleton.named(name)
    assert own.on_crops.convention == SETS[name]
    assert own.on_crops.decoder == ("udp" if SETS[name] == "udp" else "quarter")
    assert own.network.family == "vitpose"
    assert build_network(own.network, len(own.skeleton)).state_dict().keys() == selected.state_dict().keys()


def test_the_first_set_is_what_is_found_unless_another_is_asked_for(folder):
    photo = folder / "photo.png"
    first, named = everypose.load(folder, detector=boxes), everypose.load(folder, detector=boxes, skeleton="coco")
    assert np.array_equal(first(photo).keypoints, named(photo).keypoints)
    assert first.skeleton == Skeleton.named("coco")
    other = everypose.load(folder, detector=boxes, skeleton="mpii", flip=True)(photo)
    assert other.skeleton == Skeleton.named("mpii")
    assert other.keypoints.shape == (1, 16, 3)


@pytest.mark.parametrize("flip", [False, True])
def test_all_skeletons_come_from_one_pass_by_prototypes(folder, flip):
    network, config = tiny()
    found = everypose.load(folder, detector=boxes, skeleton="all", flip=flip)(folder / "photo.png")
    assert found.keypoints.shape == (1, 17 + 14 + 16, 3)
    assert found.skeleton.keypoints[0] == "coco.nose"
    assert found.skeleton.keypoints[17] == "crowdpose.left_shoulder"
    assert found[0]["mpii.pelvis"][2] > 0
    crops = torch.randint(0, 255, (2, 64, 48, 3), dtype=torch.uint8)
    selected, joined = select_skeleton(network, config, "all")
    together = TopDownGraph(selected, torch.from_numpy(joined.skeleton.flip_index), "udp").eval()
    start = 0
    for name in SETS:
        skeleton = Skeleton.named(name)
        by_set = network.by_prototypes("coco", name)
        alone = TopDownGraph(by_set, torch.from_numpy(skeleton.flip_index), "udp").eval()
        mirrored = torch.zeros(int(flip))
        part = together(crops, mirrored)[:, :, start : start + len(skeleton)]
        torch.testing.assert_close(part, alone(crops, mirrored), rtol=1e-4, atol=1e-4)
        start += len(skeleton)


def test_the_joined_skeleton_keeps_pairs_links_and_sigmas():
    coco, mpii = Skeleton.named("coco"), Skeleton.named("mpii")
    joined = union_skeleton({"a": coco, "b": mpii}, "all")
    assert len(joined) == 33
    for left, right in joined.flip_pairs:
        one, other = sorted([joined.keypoints[left], joined.keypoints[right]])
        assert one.replace("left", "right") == other
    assert len(joined.links) == len(coco.links) + len(mpii.links)
    assert {joined.keypoints[one][0] == joined.keypoints[other][0] for one, other in joined.links} == {True}
    assert joined.sigmas == coco.sigmas + mpii.sigmas


def test_all_needs_every_sets_sigmas_for_suppression_only():
    skeletons = {"coco": Skeleton.named("coco"), "hand": Skeleton.named("interhand2d")}
    network, config = tiny(skeletons=skeletons)
    with pytest.raises(EveryposeError, match=r"^the skeleton of hand has no sigmas.*--skeleton NAME") as caught:
        select_skeleton(network, config, "all")
    assert "\n" not in str(caught.value)
    assert select_skeleton(network, config, "coco")[1].skeleton.name == "coco"
    _, joined = select_skeleton(*tiny(skeletons=skeletons, nms=None), "all")  # type: ignore[call-arg]
    assert joined.skeleton.sigmas is None


@pytest.mark.parametrize("name", ["crowdpose", "all"])
def test_an_export_gives_the_chosen_keypoints(folder, tmp_path, name):
    """Classic crops first: the refinement of UDP's has no bounds on maps without a peak, which random weights give."""
    out, model = tmp_path / "model.onnx", tmp_path / "model"
    save_model(*tiny(skeletons={own: Skeleton.named(own) for own in ("crowdpose", "mpii")}), model)  # type: ignore[call-arg]
    done = CliRunner().invoke(app, ["export", str(model), "-o", str(out), "--skeleton", name])
    assert done.exit_code == 0, done.output
    by_torch = everypose.load(model, detector=boxes, skeleton=name)(folder / "photo.png")
    by_onnx = everypose.load(out, detector=boxes)(folder / "photo.png")
    assert by_onnx.skeleton == by_torch.skeleton
    np.testing.assert_allclose(by_onnx.keypoints, by_torch.keypoints, rtol=1e-3, atol=1e-2)
    assert everypose.load(out, detector=boxes, skeleton=name).skeleton == by_torch.skeleton
    with pytest.raises(UsageError, match=f"has one skeleton, {name}: it cannot give 'mpii'"):
        everypose.load(out, detector=boxes, skeleton="mpii")


def test_predict_takes_a_skeleton(folder, tmp_path):
    arguments = ["predict", folder / "photo.png", "-m", folder, "-o", tmp_path, "--boxes", folder / "boxes.json", "-q"]
    done = CliRunner().invoke(app, [*map(str, arguments), "--skeleton", "all", "--save", "pictures"])
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results[0]["keypoints"]) == 3 * 47


def test_what_is_not_there_is_one_line(folder, tmp_path):
    with pytest.raises(UsageError, match="no data set named 'fish'; it has coco, crowdpose, mpii"):
        everypose.load(folder, detector=boxes, skeleton="fish")
    save_model(*tiny(embedding=0), tmp_path / "plain")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="no prototypes"):
        everypose.load(tmp_path / "plain", detector=boxes, skeleton="all")
    save_model(*select_skeleton(*tiny(), "mpii"), tmp_path / "one")  # type: ignore[call-arg]
    assert everypose.load(tmp_path / "one", detector=boxes, skeleton="mpii").skeleton.name == "mpii"
    with pytest.raises(UsageError, match="mixed has one skeleton, mpii: it cannot give 'coco'"):
        everypose.load(tmp_path / "one", detector=boxes, skeleton="coco")
    with pytest.raises(UsageError, match="has one skeleton"):
        everypose.load(skeleton="mpii")
