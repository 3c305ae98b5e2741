"""The folded per-person attention against the heads as the papers write them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from golden_vectors import tiny_boir, tiny_cid


def literal_fused(head: nn.Module, feature: Tensor, y: int, x: int, is_boir: bool) -> Tensor:
    """One person's maps as the papers write them: attend, concatenate, fuse."""
    shared = head.down(feature[None])
    parameter = feature[:, y, x][None]
    channel_path = shared * head.channel_attention(parameter)[:, :, None, None]
    summed = (shared * head.spatial_attention(parameter)[:, :, None, None]).sum(1, keepdim=True)
    height, width = feature.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    relative = torch.stack([(x - columns) / 32, (y - rows) / 32])[None].to(feature)
    response = head.spatial_conv(torch.cat([summed, relative], dim=1))
    mask = F.instance_norm(response) if is_boir else response.sigmoid()
    fused: Tensor = head.fuse(torch.cat([channel_path, shared * mask], dim=1))
    return fused


def literal_head(head: nn.Module, feature: Tensor, y: int, x: int, is_boir: bool) -> Tensor:
    """Its heatmap logits."""
    fused = literal_fused(head, feature, y, x, is_boir)
    return head.heatmap(F.relu(F.instance_norm(fused) if is_boir else fused))[0]


@pytest.mark.parametrize(("network", "is_boir"), [(tiny_boir, True), (tiny_cid, False)])
def test_folded_attention_equals_the_papers_form(network: Callable[[], nn.Module], is_boir: bool) -> None:
    head = network().instance_head.double()
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 60, 11, 13, generator=generator, dtype=torch.float64)
    index = torch.tensor([1, 0, 1, 1])
    yx = torch.tensor([[0, 0], [10, 12], [5, 6], [3, 1]])
    ours = head(feature, index, yx)
    twin = torch.stack(
        [
            literal_head(head.float(), feature[i].float(), y, x, is_boir)
            for i, (y, x) in zip(index, yx.tolist(), strict=True)
        ]
    )
    assert ours.shape == (4, 17, 11, 13)
    assert torch.allclose(ours.float(), twin, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("network", [tiny_boir, tiny_cid])
def test_permuting_people_permutes_their_heatmaps(network: Callable[[], nn.Module]) -> None:
    head = network().instance_head
    feature = torch.randn(1, 60, 8, 8, generator=torch.Generator().manual_seed(0))
    index, yx = torch.zeros(3, dtype=torch.long), torch.tensor([[1, 2], [3, 4], [5, 6]])
    order = torch.tensor([2, 0, 1])
    assert torch.allclose(head(feature, index, yx)[order], head(feature, index, yx[order]), atol=1e-5)


@pytest.mark.parametrize("network", [tiny_boir, tiny_cid])
def test_all_people_of_images_equal_each_alone(network: Callable[[], nn.Module]) -> None:
    """In an order of keypoints of each image's own."""
    head = network().instance_head.double()
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 60, 9, 7, generator=generator, dtype=torch.float64)
    yx = torch.tensor([[[0, 0], [8, 6], [4, 2]], [[1, 5], [4, 2], [7, 0]]])
    order = torch.stack([torch.arange(17), torch.randperm(17, generator=generator)])
    together = head.batched_logits(feature, yx, order)
    assert together.shape == (2, 3, 17, 9, 7)
    for image in range(2):
        for person in range(3):
            alone = head(feature, torch.tensor([image]), yx[image, person][None])[0]
            torch.testing.assert_close(together[image, person], alone[order[image]])


@pytest.mark.parametrize("network", [tiny_boir, tiny_cid])
def test_the_norm_is_what_the_activation_applies(network: Callable[[], nn.Module]) -> None:
    head = network().instance_head
    fused = 3 * torch.randn(2, 3, 8, 5, 7, generator=torch.Generator().manual_seed(0)) + 1
    norm = head.norm(fused.flatten(3))
    shift, factor = (value[..., None, None] for value in norm)
    activated = head.eval().activate(fused.flatten(0, 1)).unflatten(0, (2, 3))
    torch.testing.assert_close(F.relu((fused - shift) * factor), activated)


@pytest.mark.parametrize(("network", "is_boir"), [(tiny_boir, True), (tiny_cid, False)])
def test_chosen_pixels_are_those_of_the_papers_form(network: Callable[[], nn.Module], is_boir: bool) -> None:
    """Of every second pixel and of some others, normalized by the mean and the spread of every second one."""
    head = network().instance_head.double()
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 60, 9, 13, generator=generator, dtype=torch.float64)
    yx = torch.tensor([[[0, 0], [8, 12], [4, 6]], [[1, 5], [4, 2], [7, 0]]])
    order = torch.stack([torch.arange(17), torch.randperm(17, generator=generator)])
    pixels = torch.randint(0, 9 * 13, (2, 3, 17, 6), generator=generator)
    people = head.encode_instances(feature, yx)
    coarse, norm = head.coarse_logits(people, order)
    chosen = head.logits_at_pixels(people, norm, order, pixels)
    assert coarse.shape == (2, 3, 17, 5, 7)
    for image in range(2):
        for person, (y, x) in enumerate(yx[image].tolist()):
            fused = literal_fused(head, feature[image], y, x, is_boir)
            if is_boir:
                seen = fused[..., ::2, ::2]
                mean = seen.mean((2, 3), keepdim=True)
                fused = (fused - mean) / (seen.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
            logits = head.heatmap(F.relu(fused))[0][order[image]]
            torch.testing.assert_close(coarse[image, person], logits[:, ::2, ::2])
            torch.testing.assert_close(chosen[image, person], logits.flatten(1).gather(1, pixels[image, person]))
