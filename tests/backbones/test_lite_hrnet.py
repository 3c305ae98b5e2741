"""Lite-HRNet and the reading of PP-TinyPose, against what the published graph computes with seeded weights."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from everypose.backbones.lite_hrnet import LiteHRNet, ShuffleUnit, shuffle
from everypose.backbones.pretrained.tinypose import read_tinypose
from everypose.errors import EveryposeError
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.top_down.baselines import HRNetPose
from everypose.models.import_checkpoint import import_checkpoint

GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "lite_hrnet.npz")
PARAMETERS = 1_300_177


def write_file(path: Path, shapes=GOLDEN["shapes"]) -> Path:
    """A file of the published form, a convolution and the addition of a bias each, with the seeded weights."""
    rng, nodes, constants = np.random.default_rng(7), [], []
    for number, shape in enumerate(shapes.tolist()):
        weight = rng.normal(0, 1, shape) * np.sqrt(0.8 / np.prod(shape[1:]))
        bias = rng.normal(0, 0.1, shape[0]).reshape(1, -1, 1, 1)
        for name, values in ((f"w{number}", weight), (f"b{number}", bias)):
            constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        nodes.append(helper.make_node("Conv", [f"x{number}", f"w{number}"], [f"y{number}"]))
        nodes.append(helper.make_node("Add", [f"y{number}", f"b{number}"], [f"x{number + 1}"]))
    onnx.save(helper.make_model(helper.make_graph(nodes, "network", [], [], constants)), path)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> HRNetPose:
    return import_checkpoint(write_file(tmp_path_factory.mktemp("file") / "tinypose.onnx"))[0]


def test_heatmaps_equal_the_published_graph(network):
    crop = torch.from_numpy(np.random.default_rng(8).normal(0, 1, (1, 3, 256, 192)).astype(np.float32))
    with torch.no_grad():
        heatmaps = network.heatmaps(crop)[0, 0].numpy()
    assert heatmaps.shape == (17, 64, 48)
    np.testing.assert_allclose(heatmaps[::4], GOLDEN["heatmaps"], atol=1e-5 * np.abs(GOLDEN["heatmaps"]).max())


def test_size_and_configuration(tmp_path):
    network, config = import_checkpoint(write_file(tmp_path / "tinypose.onnx"))
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS
    assert config.network.backbone.kind == "lite-hrnet"
    assert config.skeleton.name == "coco"
    assert config.on_crops.decoder == "dark-3"


def test_mipnet_with_open_gates_is_the_baseline(network):
    """Blocks whose gates are 1 / gain change nothing, for any selector."""
    mipnet = MIPNet(network, gain=4.0).eval()
    for parameter in mipnet.modulation.parameters():
        torch.nn.init.zeros_(parameter)
    crop = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        heatmaps, alone = mipnet.heatmaps(crop), network.heatmaps(crop)
    assert heatmaps.shape == (2, 2, 17, 16, 16)
    torch.testing.assert_close(heatmaps, alone.expand_as(heatmaps))


def test_blocks_follow_the_papers_rule(network):
    mipnet = MIPNet(network)
    assert [[block.excite[0].in_features for block in blocks] for blocks in mipnet.modulation] == [  # type: ignore[attr-defined]
        [], [], [40, 80, 160, 320], [40],
    ]  # fmt: skip


def test_other_widths():
    backbone = LiteHRNet(width=8, modules=(1, 1, 1))
    assert backbone(torch.zeros(1, 3, 64, 96)).shape == (1, 8, 16, 24)


def test_shuffle_interleaves():
    first, second = torch.arange(3.0).reshape(1, 3, 1, 1), torch.arange(10.0, 13).reshape(1, 3, 1, 1)
    assert shuffle(first, second).flatten().tolist() == [0, 10, 1, 11, 2, 12]


def test_a_unit_keeps_its_first_half():
    x = torch.rand(1, 8, 4, 4)
    assert torch.equal(ShuffleUnit(8)(x)[:, ::2], x[:, :4])


def test_other_files_are_refused(tmp_path):
    with pytest.raises(EveryposeError, match=r"short\.onnx is not PP-TinyPose: it has 268 convolutions instead of 269"):
        read_tinypose(write_file(tmp_path / "short.onnx", GOLDEN["shapes"][:-1]))
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(EveryposeError, match=r"cannot read .*text\.onnx as an ONNX file"):
        read_tinypose(tmp_path / "text.onnx")
