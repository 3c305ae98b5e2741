"""The graph: flip test, normalization, and the exported one against torch."""

import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from everypose.backbones.normalization import IMAGENET
from everypose.methods.top_down.decoding import decode
from everypose.methods.top_down.graph import TopDownGraph
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import load

FLIP = torch.from_numpy(Skeleton.named("coco").flip_index)
DECODERS = ["quarter", "dark", "dark-3", "udp"]


class Tiny(nn.Module):
    """Two instances' heatmaps of 17 keypoints at a quarter of the size, smooth enough to have clear peaks."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 7, 4, 3), nn.ReLU(), nn.Conv2d(8, 2 * 17, 5, padding=2), nn.AvgPool2d(5, 1, 2)
        )

    def heatmaps(self, images: Tensor) -> Tensor:
        return self.layers(images).unflatten(1, (2, 17))


def smooth_crops(count, height=64, width=48):
    generator = torch.Generator().manual_seed(1)
    coarse = 255 * torch.rand(count, 3, height // 8, width // 8, generator=generator)
    return nn.functional.interpolate(coarse, size=(height, width), mode="bilinear").permute(0, 2, 3, 1).byte()


def run(network, crops, flip, decoder="quarter", bgr=False):
    with torch.no_grad():
        return TopDownGraph(network, FLIP, decoder, bgr)(crops, torch.zeros(flip))


def test_the_flip_test_equals_the_release():
    golden = load("mipnet/decoding")
    graph = TopDownGraph(Tiny(), FLIP)
    turned = torch.from_numpy(golden["flipback_in"])[:, None]
    back = turned.flip(-1)[:, :, FLIP]
    np.testing.assert_array_equal(back[:, 0], golden["flipback_out"])
    np.testing.assert_array_equal(graph.mirrored_back(turned)[:, 0], golden["flipback_shift_out"])
    average = (torch.from_numpy(golden["flip_direct"])[:, None] + graph.mirrored_back(turned)) / 2
    np.testing.assert_array_equal(average[:, 0], golden["flip_avg"])
    vitpose = load("posebh/crops")
    index = torch.arange(9)
    for left, right in vitpose["flipback_pairs"]:
        index[left], index[right] = int(right), int(left)
    turned = torch.from_numpy(vitpose["flipback_in"])[:, None]
    udp = TopDownGraph(Tiny(), index, "udp")
    np.testing.assert_array_equal(udp.mirrored_back(turned)[:, 0], vitpose["flipback_out"])


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("flip", [0, 1])
def test_the_graph_equals_its_steps_one_by_one(flip, decoder):
    network, crops = Tiny(), smooth_crops(2)
    mean, std = (torch.tensor(values)[None, :, None, None] for values in IMAGENET)

    def maps(images):
        with torch.no_grad():
            return network.heatmaps((images.permute(0, 3, 1, 2) / 255 - mean) / std)

    average = maps(crops)
    if flip:
        mirrored = crops.flip(2)
        if decoder == "dark-3":
            mirrored = torch.cat([mirrored[:, :, 3:], mirrored[:, :, -3:]], dim=2)
        other = maps(mirrored).flip(-1)[:, :, FLIP]
        if decoder in ("quarter", "dark"):
            other[..., 1:] = other[..., :-1].clone()
        average = (average + other) / 2
    found = run(network, crops, flip, decoder)
    assert found.shape == (2, 2, 17, 3)
    twin = decode(average, decoder, (48, 64))
    assert torch.allclose(found[..., 2], twin[..., 2], atol=1e-5)
    assert ((found - twin)[..., :2].abs().amax(-1) < 0.02).float().mean() > 0.98


def test_bgr_networks_see_the_channels_the_other_way_round():
    crops = smooth_crops(2)
    assert torch.equal(run(Tiny(), crops, 1, bgr=True), run(Tiny(), crops.flip(-1), 1))


def test_mirroring_back_twice_is_the_identity():
    maps = torch.rand(2, 2, 17, 8, 6)
    udp, classic = TopDownGraph(Tiny(), FLIP, "udp"), TopDownGraph(Tiny(), FLIP)
    assert torch.equal(udp.mirrored_back(udp.mirrored_back(maps)), maps)
    assert torch.equal(classic.mirrored_back(maps)[..., 1:], udp.mirrored_back(maps)[..., :-1])


def test_a_mirrored_crop_has_the_mirrored_confidences():
    crops = smooth_crops(2)
    found, mirrored = run(Tiny(), crops, 1, "udp"), run(Tiny(), crops.flip(2), 1, "udp")
    assert torch.allclose(found[..., 2], mirrored[:, :, FLIP, 2], atol=1e-5)


@pytest.mark.parametrize("flip", [0, 1])
def test_a_batch_equals_its_crops_one_by_one(flip):
    crops = smooth_crops(3)
    together = run(Tiny(), crops, flip)
    alone = torch.cat([run(Tiny(), crop[None], flip) for crop in crops])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_exported_graph_equals_torch(decoder, tmp_path):
    graph = TopDownGraph(Tiny(), FLIP, decoder).eval()
    path = tmp_path / "tiny.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (smooth_crops(2), torch.zeros(1)),
            str(path),
            input_names=["images", "mirrored"],
            output_names=["keypoints"],
            dynamic_axes={"images": {0: "batch"}, "mirrored": {0: "flip"}, "keypoints": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    for count in (1, 5):
        for flip in (0, 1):
            crops = smooth_crops(count)
            (ours,) = session.run(["keypoints"], {"images": crops.numpy(), "mirrored": np.zeros(flip, np.float32)})
            twin = run(graph.network, crops, flip, decoder).numpy()
            assert ours.shape == (count, 2, 17, 3)
            np.testing.assert_allclose(ours[..., 2], twin[..., 2], atol=1e-5)
            assert (np.abs(ours - twin)[..., :2].max(axis=-1) < 0.02).mean() > 0.98


class Brightness(nn.Module):
    """Heatmaps of 17 keypoints that show the crop's red channel at every fourth pixel."""

    def heatmaps(self, images: Tensor) -> Tensor:
        return images[:, :1, ::4, ::4, None].permute(0, 4, 1, 2, 3).expand(-1, 1, 17, -1, -1)


def test_with_dark_3_mirrored_heatmaps_lie_on_those_of_the_crop():
    crops = smooth_crops(2)
    with torch.no_grad():
        plain, aligned = TopDownGraph(Brightness(), FLIP), TopDownGraph(Brightness(), FLIP, "dark-3")
        maps = aligned.network.heatmaps(crops.permute(0, 3, 1, 2).float())
        mirrored = aligned.network.heatmaps(aligned.mirrored_crops(crops).permute(0, 3, 1, 2).float())
        assert torch.equal(aligned.mirrored_back(mirrored)[..., 1:], maps[..., 1:])
        moved = plain.network.heatmaps(plain.mirrored_crops(crops).permute(0, 3, 1, 2).float())
        assert not torch.equal(plain.mirrored_back(moved)[..., 1:], maps[..., 1:])
