"""The vision transformer against the golden vectors: plain, with experts, its optimizer groups, its first weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from everypose.backbones.pretrained.mae import fit_pretrained
from everypose.backbones.vit import SIZES, ViT, merge_expert
from everypose.errors import EveryposeError, UsageError
from everypose.methods.vitpose.network import HeatmapHead, ViTPose
from everypose.training.optimizer_groups import layer_decay_groups
from golden_vectors import load, relative_error


def tensor(vectors: dict[str, np.ndarray], name: str) -> Tensor:
    return torch.from_numpy(vectors[name])


def tiny(vectors: dict[str, np.ndarray], experts: int = 0) -> ViT:
    network = ViT(32, 2, 2, drop_path=0.0, image_size=(48, 64), experts=experts, expert_part=8)
    network.load_state_dict({name[3:]: torch.from_numpy(a) for name, a in vectors.items() if name.startswith("sd.")})
    return network


def test_the_plain_network_equals_the_golden_one() -> None:
    vectors = load("posebh/a_vit")
    network = tiny(vectors)
    images = tensor(vectors, "input").requires_grad_()
    patches = network.patch_embed(images)
    assert patches.shape[2:] == tuple(vectors["grid"])
    tokens = patches.flatten(2).transpose(1, 2)
    assert relative_error(tokens, vectors["tokens"]) < 1e-5
    tokens = tokens + network._position(4, 3)
    assert relative_error(tokens, vectors["after_pos"]) < 1e-5
    for block, name in zip(network.blocks, ("block0", "block1"), strict=True):
        tokens = block(tokens, None)
        assert relative_error(tokens, vectors[name]) < 1e-5
    output = network(images)
    assert relative_error(output, vectors["output"]) < 1e-5
    output.square().sum().backward()
    assert relative_error(images.grad, vectors["grad_input"]) < 1e-4
    assert relative_error(network.pos_embed.grad, vectors["grad_pos_embed"]) < 1e-4
    assert relative_error(network.patch_embed.proj.weight.grad, vectors["grad_patch_w"]) < 1e-4


def test_experts_equal_the_golden_ones() -> None:
    vectors = load("posebh/a_vit_moe")
    network = tiny(vectors, experts=3)
    images, source = tensor(vectors, "input").requires_grad_(), tensor(vectors, "source")
    layer = network.blocks[0].mlp
    ours = layer(tensor(vectors, "mlp0_in"), network._route(source, images))
    assert relative_error(ours, vectors["mlp0_out"]) < 1e-5
    output = network(images, source)
    assert relative_error(output, vectors["output"]) < 1e-5
    output.square().sum().backward()
    assert relative_error(images.grad, vectors["grad_input"]) < 1e-4
    for expert in (0, 2):
        golden = vectors[f"grad_block0_expert{expert}_w"]
        assert relative_error(layer.experts[expert].weight.grad, golden) < 1e-4


def test_an_expert_that_no_sample_uses_gets_a_gradient_of_zero() -> None:
    vectors = load("posebh/a_vit_moe")
    network = tiny(vectors, experts=3)
    network(tensor(vectors, "input"), tensor(vectors, "source")).sum().backward()
    assert (vectors["grad_block0_expert1_w"] == 0).all()
    for block in network.blocks:
        assert (block.mlp.experts[1].weight.grad == 0).all()
        assert (block.mlp.experts[1].bias.grad == 0).all()


def test_an_index_without_an_expert_leaves_its_channels_zero() -> None:
    vectors = load("posebh/a_vit_moe")
    output = tiny(vectors, experts=3)(tensor(vectors, "input"), tensor(vectors, "source_b"))
    assert relative_error(output, vectors["output_b"]) < 1e-5


def test_experts_need_to_know_the_data_set() -> None:
    with pytest.raises(ValueError, match="needs the data set of each sample"):
        ViT(16, 1, 2, experts=2, expert_part=4)(torch.zeros(1, 3, 64, 48))


def test_each_sample_of_a_mixed_batch_is_as_if_alone() -> None:
    vectors = load("posebh/a_vit_moe")
    network = tiny(vectors, experts=3)
    images, source = torch.randn(5, 3, 64, 48), torch.tensor([2, 0, 1, 1, 2])
    with torch.no_grad():
        batch = network(images, source)
        alone = torch.cat([network(images[i : i + 1], source[i : i + 1]) for i in range(5)])
        order = torch.tensor([3, 1, 4, 0, 2])
        assert torch.allclose(network(images[order], source[order]), batch[order], atol=1e-5)
    assert torch.allclose(batch, alone, atol=1e-5)


@pytest.mark.parametrize("expert", [0, 1, 2])
def test_a_merged_expert_gives_the_same(expert: int) -> None:
    vectors = load("posebh/a_vit_moe")
    network = tiny(vectors, experts=3)
    plain = network.merged(expert)
    assert plain.experts == 0
    assert not any("experts" in name for name in plain.state_dict())
    # The same numbers are summed, maybe in another order: nothing but the rounding may differ.
    for dtype, rounding in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        images = tensor(vectors, "input").to(dtype)
        with torch.no_grad():
            together = network.to(dtype)(images, torch.full((2,), expert))
            assert relative_error(plain.to(dtype)(images), together.numpy()) < rounding


def test_a_missing_expert_cannot_be_merged() -> None:
    with pytest.raises(UsageError, match="no expert 3"):
        merge_expert(tiny(load("posebh/a_vit_moe"), experts=3).state_dict(), 3)


def test_other_image_sizes_get_a_resized_position_embedding() -> None:
    network = tiny(load("posebh/a_vit"))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 128, 96)).shape == (1, 32, 8, 6)
        position = network._position(8, 6) - network.pos_embed[:, :1]
    maps = network.pos_embed.detach()[0, 1:].unflatten(0, (4, 3)).numpy()
    larger = cv2.resize(maps, (6, 8), interpolation=cv2.INTER_CUBIC)
    assert np.allclose(position[0].unflatten(0, (8, 6)), larger, atol=1e-6)


def test_drop_path_leaves_whole_branches_out_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    network = ViT(16, 3, 2, drop_path=0.5, image_size=(48, 64))
    assert [block.drop_path.rate for block in network.blocks] == pytest.approx([0, 0.25, 0.5])
    drop = network.blocks[2].drop_path.train()
    kept = drop(torch.ones(4000, 2, 3))
    assert set(kept.unique().tolist()) == {0, 2}
    assert (kept == kept[:, :1, :1]).all()
    assert kept.mean().item() == pytest.approx(1, abs=0.1)
    assert torch.equal(drop.eval()(kept), kept)


# Plain, and with six experts.
COUNTS = {
    "s": (21_663_744, 39_369_984),
    "b": (85_794_816, 121_195_776),
    "l": (303_296_512, 429_156_352),
    "h": (630_912_000, 893_107_200),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_have_the_published_numbers_of_parameters(name: str) -> None:
    size = SIZES[name]
    with torch.device("meta"):
        plain = ViT(size.width, size.depth, size.heads, drop_path=size.drop_path)
        mixed = ViT(
            size.width, size.depth, size.heads, drop_path=size.drop_path, experts=6, expert_part=size.expert_part
        )
    assert tuple(sum(p.numel() for p in network.parameters()) for network in (plain, mixed)) == COUNTS[name]


def test_impossible_sizes() -> None:
    with pytest.raises(UsageError, match="cannot be shared by 3"):
        ViT(32, 1, 3)
    with pytest.raises(UsageError, match="not 0"):
        ViT(32, 1, 2, experts=2)


def test_layer_decay_equals_the_golden_groups() -> None:
    vectors = load("posebh/g_layer_decay")
    network = ViTPose(
        ViT(32, 2, 2, drop_path=0.0, image_size=(48, 64), experts=3, expert_part=8), HeatmapHead(32, 5, 16)
    )
    groups = layer_decay_groups(network, float(vectors["decay_rate"]), 0.1)
    of = {id(p): (group["scale"], group["weight_decay"]) for group in groups for p in group["params"]}
    ours = {name.replace("head.", "keypoint_head.", 1): of[id(p)] for name, p in network.named_parameters()}
    golden = zip(vectors["lr_scale"], vectors["weight_decay"], strict=True)
    assert ours == dict(zip(vectors["names"].tolist(), golden, strict=True))
    assert np.allclose(vectors["lr"], vectors["lr_scale"] * vectors["base_lr"])


def pretraining_checkpoint() -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """A square pre-training checkpoint with the golden tensors, among others that ours does not need."""
    vectors = load("posebh/g_pretrain_load")
    state = {
        f"encoder.{name}": value
        for name, value in ViT(32, 2, 2, drop_path=0.0, image_size=(48, 64)).state_dict().items()
    }
    state["encoder.pos_embed"] = tensor(vectors, "in_pos_embed")
    state["encoder.patch_embed.proj.weight"] = tensor(vectors, "in_patch_w")
    state["encoder.blocks.0.mlp.fc2.weight"] = tensor(vectors, "in_fc2_w")
    state["encoder.blocks.0.mlp.fc2.bias"] = tensor(vectors, "in_fc2_b")
    state["encoder.cls_token"] = torch.zeros(1, 1, 32)
    state["decoder.mask_token"] = torch.zeros(1, 1, 32)
    return state, vectors


def test_a_square_pretraining_checkpoint_equals_the_golden_start() -> None:
    state, vectors = pretraining_checkpoint()
    network = ViT(32, 2, 2, drop_path=0.0, image_size=(48, 64), experts=3, expert_part=8)
    fitted = fit_pretrained(state, network, Path("mae.pth"))
    network.load_state_dict(fitted)
    layer = network.blocks[0].mlp
    assert relative_error(network.pos_embed, vectors["out_pos_embed"]) < 1e-5
    assert relative_error(network.patch_embed.proj.weight, vectors["out_patch_w"]) < 1e-5
    assert np.array_equal(layer.fc2.weight.detach(), vectors["out_fc2_w"])
    assert np.array_equal(layer.fc2.bias.detach(), vectors["out_fc2_b"])
    for expert in range(3):
        assert np.array_equal(layer.experts[expert].weight.detach(), vectors["out_expert1_w"])
        assert np.array_equal(layer.experts[expert].bias.detach(), vectors["out_expert0_b"])


def test_a_pretraining_checkpoint_of_another_width_is_refused() -> None:
    state, _ = pretraining_checkpoint()
    with pytest.raises(EveryposeError, match=r"mae\.pth is not a pre-trained ViT of width 64 and 2 blocks"):
        fit_pretrained(state, ViT(64, 2, 2), Path("mae.pth"))
