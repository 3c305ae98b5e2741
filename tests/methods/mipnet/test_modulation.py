"""The modulation block against the golden vectors and a literal twin."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from everypose.errors import UsageError
from everypose.methods.mipnet.modulation import MIMB, select
from golden_vectors import load, relative_error
from methods.mipnet.golden_networks import BLOCK_NAMES, tensors


def recorded_block(vectors: dict[str, np.ndarray], prefix: str, channels: int) -> MIMB:
    block = MIMB(channels)
    block.load_state_dict(BLOCK_NAMES.to_everypose(tensors(vectors, prefix)))
    return block


def literal_block(block: MIMB, x: Tensor, selector: Tensor) -> Tensor:
    """One map and one selector through the block in evaluation mode, as the formulas are written."""
    w1, w2 = block.excite[0].weight, block.excite[2].weight
    u1, norm, u2 = block.embed[0], block.embed[1], block.embed[3]
    squeezed = torch.stack([channel.sum() / channel.numel() for channel in x])
    excite = 1 / (1 + torch.exp(-(w2 @ (w1 @ squeezed).clamp(min=0))))
    hidden = u1.weight @ selector + u1.bias
    hidden = (hidden - norm.running_mean) / torch.sqrt(norm.running_var + 1e-5) * norm.weight + norm.bias
    embed = 1 / (1 + torch.exp(-(u2.weight @ hidden.clamp(min=0) + u2.bias)))
    return torch.stack([channel * e * v for channel, e, v in zip(x, excite, embed, strict=True)])


def test_evaluation_equals_the_release() -> None:
    vectors = load("mipnet/block")
    block = recorded_block(vectors, "sd/", 16).eval()
    x, selectors = torch.from_numpy(vectors["x"]), torch.from_numpy(vectors["lambda_vec"])
    with torch.no_grad():
        assert relative_error(x.mean((2, 3)), vectors["eval_s"]) < 1e-6
        assert relative_error(block.excite(x.mean((2, 3))), vectors["eval_e"]) < 1e-6
        assert relative_error(block.embed(selectors), vectors["eval_v"]) < 1e-6
        assert relative_error(block(x, selectors), vectors["eval_out"]) < 1e-6


def test_training_equals_the_release() -> None:
    vectors = load("mipnet/block")
    block = recorded_block(vectors, "sd/", 16).train()
    x = torch.from_numpy(vectors["x"]).requires_grad_()
    out = block(x, torch.from_numpy(vectors["lambda_vec"]))
    out.backward(torch.from_numpy(vectors["train_grad_out"]))
    assert relative_error(out, vectors["train_out"]) < 1e-6
    assert relative_error(x.grad, vectors["train_grad_x"]) < 1e-5
    gradients = BLOCK_NAMES.to_released({name: value.grad for name, value in block.named_parameters()})
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        golden = vectors[f"train_grad/{name}"]
        if name.startswith("fc_lambda.0."):
            # What batch normalization leaves of these is small against the rounding of what it cancels.
            assert np.abs(gradient.numpy() - golden).max() < 5e-7 * largest, name
        else:
            assert relative_error(gradient, golden) < 1e-6, name
    buffers = BLOCK_NAMES.to_released(dict(block.named_buffers()))
    for name, golden in tensors(vectors, "train_after/").items():
        assert torch.allclose(buffers[name], golden, rtol=1e-5, atol=1e-7), name


def test_blocks_of_several_branches_equal_the_release() -> None:
    vectors = load("mipnet/block")
    selectors = torch.from_numpy(vectors["module_lambda_vec"])
    for branch, channels in ((0, 8), (1, 12)):
        block = recorded_block(vectors, f"module_sd/se_layers.{branch}.", channels).eval()
        with torch.no_grad():
            out = block(torch.from_numpy(vectors[f"module_x{branch}"]), selectors)
        assert relative_error(out, vectors[f"module_out{branch}"]) < 1e-6


@pytest.mark.parametrize("instances", [1, 2, 4])
def test_a_batch_equals_its_literal_twin_one_by_one(instances: int) -> None:
    torch.manual_seed(0)
    block = MIMB(12, instances).eval()
    nn.init.uniform_(block.embed[1].running_var, 0.5, 2)
    x, selectors = torch.randn(5, 12, 4, 3), torch.rand(5, instances)
    with torch.no_grad():
        twin = torch.stack([literal_block(block, one, selector) for one, selector in zip(x, selectors, strict=True)])
        assert torch.allclose(block(x, selectors), twin, atol=1e-6)


# Channels and the parameters that the papers' networks have at each width.
COUNTS = {32: 840, 48: 1_836, 64: 3_216, 96: 7_128, 128: 12_576, 192: 28_080, 256: 49_728, 384: 111_456,
          512: 197_760, 1024: 788_736}  # fmt: skip


@pytest.mark.parametrize("channels", COUNTS)
def test_parameter_counts(channels: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in MIMB(channels).parameters()) == COUNTS[channels]


def test_one_map_alone_has_nothing_to_be_normalized_by_in_training() -> None:
    block, x, selector = MIMB(8, 1), torch.randn(1, 8, 4, 3), select(0, 1)[None]
    assert block.eval()(x, selector).shape == x.shape
    with pytest.raises(UsageError, match=r"trainer\.batch=2"):
        block.train()(x, selector)
    block.embed[1].eval()  # trainer.freeze_batchnorm
    assert block(x, selector).isfinite().all()


def test_selectors_are_numbered_as_in_the_paper() -> None:
    assert select(0).tolist() == [1, 0]  # the primary
    assert select(1).tolist() == [0, 1]
    assert select(2, 4).tolist() == [0, 0, 1, 0]
    with pytest.raises(IndexError):
        select(2)
