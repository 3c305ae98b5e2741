"""MIPNet against the golden vectors, and its people computed together against one by one."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from everypose.backbones.hrnet import HRNet
from everypose.backbones.resnet import BLOCKS, ResNet
from everypose.errors import UsageError
from everypose.methods.mipnet import checkpoint as mipnet
from everypose.methods.mipnet.modulation import MIMB, select
from everypose.methods.mipnet.network import PUBLISHED_SITES, MIPNet, Sites, initialize
from everypose.methods.top_down.baselines import Baseline, HRNetPose, SimpleBaseline
from everypose.methods.top_down.baselines import initialize as initialize_baseline
from golden_vectors import load, relative_error
from methods.mipnet.golden_networks import SELECTORS, loaded, recipe_state, tiny_baseline, tiny_mipnet, w8_state

ALL_SITES: Sites = (True, True, True, True)
LAST_SITE: Sites = (False, False, False, True)


def assert_equals_the_release(network: MIPNet, vectors: dict[str, np.ndarray], prefix: str = "") -> None:
    images = torch.from_numpy(vectors[f"{prefix}x"])
    with torch.no_grad():
        people = network.heatmaps(images)
        asked = network.heatmaps_for(images, torch.tensor(list(SELECTORS.values())))
    for instance, name in enumerate(("lam0", "lam1")):
        assert relative_error(people[:, instance], vectors[f"{prefix}eval_out_{name}"]) < 1e-5
    for instance, name in enumerate(SELECTORS):
        assert relative_error(asked[:, instance], vectors[f"{prefix}eval_out_{name}"]) < 1e-5


def test_heatmaps_equal_the_release() -> None:
    assert_equals_the_release(loaded(w8_state()), load("mipnet/hrnet_w8"))


def test_heatmaps_with_blocks_at_all_sites_equal_the_release() -> None:
    network = loaded(w8_state(all_sites=True))
    assert network.first_site == 0
    assert_equals_the_release(network, load("mipnet/hrnet_w8"), "all4/")


@pytest.mark.parametrize("name", ["hrnet_w32", "resnet50"])
def test_full_size_networks_equal_the_release(name: str) -> None:
    vectors = load(f"mipnet/{name}")
    state = recipe_state(vectors)
    for key, total in zip(vectors["keys"], vectors["weight_sum_f64"], strict=True):
        assert state[key].double().sum().item() == pytest.approx(total, abs=1e-9), "the weights are made otherwise"
    network = loaded(state)
    theirs = mipnet.export_state(network.state_dict())
    shapes = {key: "x".join(map(str, value.shape)) for key, value in theirs.items()}
    assert shapes == dict(zip(vectors["keys"].tolist(), vectors["shapes"].tolist(), strict=True))
    assert count(network) == vectors["n_params"]
    assert_equals_the_release(network, vectors)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def full_size(name: str, keypoints: int = 17) -> Baseline:
    size = int(name[1:])
    if name.startswith("W"):
        return HRNetPose(HRNet(size, outputs=1), keypoints)
    return SimpleBaseline(ResNet(BLOCKS[size]), keypoints)


@pytest.mark.parametrize(("name", "baseline", "published"), [
    ("R50", 33_999_697, 34_986_193), ("R101", 52_991_825, 53_978_321), ("R152", 68_635_473, 69_621_969),
    ("W32", 28_536_113, 28_603_313), ("W48", 63_595_745, 63_746_081),
])  # fmt: skip
def test_parameter_counts_of_table_2(name: str, baseline: int, published: int) -> None:
    with torch.device("meta"):
        network = full_size(name)
        assert count(network) == baseline
        assert count(MIPNet(network)) == published


@pytest.mark.parametrize(("name", "sites", "keypoints", "total"), [
    ("W32", ALL_SITES, 17, 28_624_001), ("W48", ALL_SITES, 17, 63_792_089), ("R50", ALL_SITES, 17, 35_039_137),
    ("W32", LAST_SITE, 17, 28_536_113 + 840), ("W48", LAST_SITE, 17, 63_595_745 + 1_836),
    ("R50", LAST_SITE, 17, 33_999_697 + 788_736),
    ("W32", PUBLISHED_SITES, 14, 28_603_214), ("W48", PUBLISHED_SITES, 14, 63_745_934),
    ("R101", LAST_SITE, 14, 53_779_790),
])  # fmt: skip
def test_parameter_counts_of_other_sites(name: str, sites: Sites, keypoints: int, total: int) -> None:
    with torch.device("meta"):
        assert count(MIPNet(full_size(name, keypoints), sites)) == total


@pytest.mark.parametrize("sites", [PUBLISHED_SITES, ALL_SITES, LAST_SITE, (False, True, False, False)])
@pytest.mark.parametrize("kind", ["hrnet", "resnet"])
def test_a_shared_trunk_equals_full_passes(kind: str, sites: Sites) -> None:
    network = tiny_mipnet(kind, sites, instances=3)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        together = network.heatmaps(images)
        one_by_one = [
            network.heatmaps_for(image[None], select(instance, 3)[None])[0, 0]
            for image in images
            for instance in range(3)
        ]
    assert together.shape == (2, 3, 5, 16, 24)
    alone = torch.stack(one_by_one).unflatten(0, (2, 3))
    assert (together - alone).abs().max() < 1e-6 * alone.abs().max()
    # The comparison means something: people differ.
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-4 * alone.abs().max()


@pytest.mark.parametrize("kind", ["hrnet", "resnet"])
def test_the_trunk_sees_each_crop_once(kind: str) -> None:
    network = tiny_mipnet(kind, instances=4)
    rows: list[int] = []
    after = network.backbone.transition3[-1] if kind == "hrnet" else network.backbone.layer2
    for part in (after, network.head):
        part.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    with torch.no_grad():
        network.heatmaps(torch.randn(3, 3, 64, 64))
    assert rows == [3, 12]


def test_permuting_selectors_permutes_people() -> None:
    network, images = tiny_mipnet("hrnet", instances=3), torch.randn(2, 3, 64, 64)
    order = [2, 0, 1]
    with torch.no_grad():
        people = network.heatmaps(images)
        permuted = network.heatmaps_for(images, network.selectors[order])
    assert torch.allclose(permuted, people[:, order], rtol=0, atol=1e-6 * people.abs().max().item())


@pytest.mark.parametrize("kind", ["hrnet", "resnet"])
def test_one_instance_works(kind: str) -> None:
    network = tiny_mipnet(kind, instances=1)
    assert network.heatmaps(torch.randn(2, 3, 64, 64)).shape == (2, 1, 5, 16, 16)
    assert network.train()(torch.randn(2, 3, 64, 64)).isfinite().all()


def test_without_a_site_people_could_not_differ() -> None:
    with pytest.raises(UsageError, match="at least one of its four sites"):
        MIPNet(tiny_baseline("hrnet"), (False, False, False, False))


@pytest.mark.parametrize("kind", ["hrnet", "resnet"])
def test_a_baseline_gives_one_person(kind: str) -> None:
    baseline = tiny_baseline(kind).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        heatmaps = baseline.heatmaps(images)
        assert heatmaps.shape == (2, 1, 5, 16, 24)
        alone = torch.cat([baseline(image[None]) for image in images])
    assert (heatmaps - alone).abs().max() < 1e-6 * alone.abs().max()
    # MIPNet starts from the weights of its baseline.
    own = {name for name in MIPNet(baseline).state_dict() if not name.startswith("modulation.")}
    assert own == set(baseline.state_dict())


def released_training_forward(network: MIPNet, images: Tensor) -> Tensor:
    """The forward pass as released: every crop N times in one batch, from the image on."""
    people, crops = len(network.selectors), len(images)
    maps = [torch.cat([images] * people)]
    selectors = network.selectors.repeat_interleave(crops, 0)
    for step, blocks in zip(network.backbone.steps(), network.modulation, strict=True):
        maps = step(maps)
        if len(blocks):
            maps = [block(x, selectors) for block, x in zip(blocks, maps, strict=True)]
    heatmaps = network.head(network.backbone.finish(maps))
    return heatmaps.unflatten(0, (people, crops)).transpose(0, 1)


@pytest.mark.parametrize("kind", ["hrnet", "resnet"])
def test_a_shared_trunk_trains_as_a_repeated_batch(kind: str) -> None:
    images, wanted = torch.randn(2, 3, 64, 64).double(), torch.randn(2, 2, 5, 16, 16).double()
    shared, repeated = tiny_mipnet(kind).double().train(), tiny_mipnet(kind).double().train()
    before = {name: value.clone() for name, value in shared.named_buffers()}
    pixels: dict[str, int] = {}
    for name, module in shared.named_modules():
        if isinstance(module, nn.BatchNorm2d) and in_trunk(kind, name):
            module.register_forward_hook(lambda _, x, __, name=name: pixels.update({name: x[0][:, 0].numel()}))
    outputs = shared(images), released_training_forward(repeated, images)
    for output in outputs:
        ((output - wanted) ** 2).mean().backward()
    assert torch.allclose(*outputs, rtol=1e-9, atol=1e-9)
    for (name, one), other in zip(shared.named_parameters(), repeated.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-6, atol=1e-9), name
    after = dict(repeated.named_buffers())
    assert pixels
    for name, value in shared.named_buffers():
        layer, _, kind_of_buffer = name.rpartition(".")
        if kind_of_buffer == "running_var" and layer in pixels:
            n = pixels[layer]
            biased = (value - 0.9 * before[name]) / 0.1 * (n - 1) / n
            value = 0.9 * before[name] + 0.1 * biased * 2 * n / (2 * n - 1)
        assert torch.allclose(value, after[name], rtol=1e-9, atol=1e-12), name


def in_trunk(kind: str, name: str) -> bool:
    later = "stage4" if kind == "hrnet" else ("layer3", "layer4")
    return name.startswith("backbone.") and not name.removeprefix("backbone.").startswith(later)


def test_the_first_gates_are_a_quarter() -> None:
    torch.manual_seed(0)
    baseline = HRNetPose(HRNet(32, (1, 1, 1), 1, 1, outputs=1), 17)
    initialize_baseline(baseline)
    network = MIPNet(baseline)
    initialize(network)
    network.eval()
    gates = [block(torch.ones(2, block.excite[0].in_features, 1, 1), torch.eye(2)) for block in network.modulation[2]]  # type: ignore[attr-defined]
    assert all((gate - 0.25).abs().max() < 2e-4 for gate in gates)
    assert network.backbone.conv1.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert network.head.weight.std().item() == pytest.approx(0.001, rel=0.2)
    assert (network.head.bias == 0).all()


def test_blocks_of_a_resnet_keep_the_frameworks_weights() -> None:
    torch.manual_seed(0)
    baseline = tiny_baseline("resnet")
    initialize_baseline(baseline)
    network = MIPNet(baseline)
    initialize(network)
    block = network.modulation[3][0]
    assert isinstance(block, MIMB)
    bound = 1024**-0.5
    assert bound * 0.99 < block.excite[0].weight.abs().max().item() <= bound
    assert network.head.deconv[3].weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert (network.head.final.bias == 0).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["hrnet", "resnet"])
def test_one_run_of_an_exported_network_gives_everybody(tmp_path: Path, kind: str) -> None:
    network = tiny_mipnet(kind, instances=3)
    torch.onnx.export(
        network, (torch.randn(2, 3, 64, 96),), str(tmp_path / "tiny.onnx"), input_names=["images"],
        output_names=["heatmaps"], dynamic_axes={"images": {0: "batch"}}, opset_version=18, dynamo=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "tiny.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        images = torch.randn(batch, 3, 64, 96)
        (found,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            wanted = network.heatmaps(images).numpy()
        assert found.shape == (batch, 3, 5, 16, 24)
        assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("instances", [2, 3])
@pytest.mark.parametrize("alone", [[], [1], [0, 2], [0, 1, 2]])
def test_people_who_are_not_needed_are_left_out(instances, alone):
    """The others of some crops are 0; everything else is as if all were computed."""
    torch.manual_seed(0)
    network = MIPNet(SimpleBaseline(ResNet((1, 1, 1, 1)), keypoints=3, deconv=8), instances=instances).eval()
    images = torch.randn(3, 3, 64, 32)
    with torch.no_grad():
        every = network.heatmaps(images)
        needed = torch.ones(3, instances, dtype=torch.bool)
        needed[alone, 1:] = False
        some = network.needed_heatmaps(images, needed[:, 1])
        torch.testing.assert_close(network.needed_heatmaps(images, torch.ones(1)), every, rtol=0, atol=1e-6)
    torch.testing.assert_close(some[needed], every[needed], rtol=0, atol=1e-6)
    assert (some[~needed] == 0).all()
