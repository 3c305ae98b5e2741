"""ViTPose in the form of transformers: heatmaps recorded from transformers 5.23, and the forms of its files.

`tests/external/test_transformers_vitpose.py` compares more of them with transformers itself.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from everypose.errors import EveryposeError
from everypose.inference.runtimes.torch import read_network
from everypose.methods.vitpose.method import SPEC
from everypose.methods.vitpose.network import SimpleHead
from everypose.models.import_checkpoint import import_checkpoint
from everypose.models.locate import resolve
from golden_vectors import load
from methods.vitpose.transformers_files import Layout

GOLDEN = {
    "classic": Layout(image_size=(48, 64)),
    "simple": Layout(image_size=(48, 64), simple=True),
    "experts": Layout(image_size=(48, 64), experts=6, part=96, simple=True),
}


def golden_heatmaps(name: str) -> np.ndarray:
    return load("vitpose_transformers")[name]


def random_crops(layout: Layout) -> torch.Tensor:
    width, height = layout.image_size
    return torch.from_numpy(np.random.default_rng(3).standard_normal((1, 3, height, width)).astype(np.float32))


@pytest.mark.parametrize("name", GOLDEN)
def test_heatmaps_are_those_recorded_from_transformers(name, tmp_path):
    folder = GOLDEN[name].write(tmp_path / "vitpose-made")
    network, config = read_network(resolve(folder))
    with torch.no_grad():
        found = network(random_crops(GOLDEN[name])).numpy()
    assert found == pytest.approx(golden_heatmaps(name), abs=1e-5)
    assert config.name == "vitpose-made"
    assert (config.on_crops.convention, config.on_crops.decoder) == ("udp", "udp-0.8")
    assert config.skeleton.name == "coco"


def test_the_simple_head_is_relu_bilinear_convolution():
    torch.manual_seed(0)
    head = SimpleHead(4, 2)
    feature = torch.randn(1, 4, 3, 2)
    up = np.zeros((4, 12, 8), np.float32)
    rows, columns = ((np.arange(size) + 0.5) / 4 - 0.5 for size in (12, 8))
    for y, row in enumerate(rows.clip(0, 2)):
        for x, column in enumerate(columns.clip(0, 1)):
            top, left = int(row), int(column)
            below, right = min(top + 1, 2), min(left + 1, 1)
            f = feature[0].clamp(min=0).numpy()
            upper = f[:, top, left] * (1 - column + left) + f[:, top, right] * (column - left)
            lower = f[:, below, left] * (1 - column + left) + f[:, below, right] * (column - left)
            up[:, y, x] = upper * (1 - row + top) + lower * (row - top)
    padded = np.pad(up, ((0, 0), (1, 1), (1, 1)))
    weight, bias = head.final_layer.weight.detach().numpy(), head.final_layer.bias.detach().numpy()
    expected = [
        [[(padded[:, y : y + 3, x : x + 3] * kernel).sum() + b for x in range(8)] for y in range(12)]
        for kernel, b in zip(weight, bias, strict=True)
    ]
    assert head(feature)[0].detach().numpy() == pytest.approx(np.array(expected), abs=1e-6)


def test_a_simple_head_of_the_authors_is_read_and_written_back(tmp_path):
    state = GOLDEN["simple"].state()
    save_file(state, tmp_path / "hub.safetensors")
    network, config = import_checkpoint(tmp_path / "hub.safetensors")
    released = SPEC.export_state(network.state_dict())
    torch.save({"state_dict": released}, tmp_path / "authors.pth")
    again, theirs = import_checkpoint(tmp_path / "authors.pth")
    assert config.network == theirs.network
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())
    assert theirs.on_crops.decoder == "udp"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "rt_detr"}, "is a rt_detr of transformers"),
        ({"model_type": None}, "is a None of transformers"),
    ],
)
def test_other_models_of_transformers(change, message, tmp_path):
    folder = GOLDEN["simple"].write(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(GOLDEN["simple"].config() | change))
    with pytest.raises(EveryposeError, match=message):
        resolve(folder)


def test_damaged_files(tmp_path):
    folder = GOLDEN["simple"].write(tmp_path / "model")
    state = GOLDEN["simple"].state()
    del state["backbone.encoder.layer.0.attention.attention.key.weight"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(EveryposeError, match=r"attention\.key\.weight is missing"):
        import_checkpoint(resolve(folder).path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EveryposeError, match=r"cannot read .*model\.safetensors"):
        import_checkpoint(weights)
    state = GOLDEN["simple"].state() | {"head.extra.weight": torch.zeros(2)}
    save_file(state, folder / "model.safetensors")
    with pytest.raises(EveryposeError, match="1 not part of the network"):
        import_checkpoint(weights)
