"""The training pass of the instance head person by person, against all people together; the losses' own gradients."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from everypose.methods.single_stage import losses as single_stage_losses
from everypose.methods.single_stage.attention import spatial_response
from everypose.methods.single_stage.losses import focal_loss, probabilities
from everypose.methods.single_stage.people_in_turn import response_in_buckets
from golden_vectors import tiny_boir, tiny_cid

IMAGES = torch.tensor([2, 0, 2, 2, 0])
CENTERS = torch.tensor([[0, 0], [10, 12], [5, 6], [3, 1], [7, 7]])
Form = Callable[[nn.Module, Tensor], Tensor]


def in_turn(head: nn.Module, feature: Tensor) -> Tensor:
    logits: Tensor = head.logits_in_turn(feature, IMAGES, CENTERS)
    return logits


def together(head: nn.Module, feature: Tensor) -> Tensor:
    logits: Tensor = head.logits_together(feature, IMAGES, CENTERS)
    return logits


def results(head: nn.Module, form: Form, *, channels_last: bool = False) -> dict[str, Tensor]:
    """Logits, and the gradients of the feature and of each parameter, for random gradients of the logits."""
    generator = torch.Generator().manual_seed(0)
    dtype = next(head.parameters()).dtype
    feature = torch.randn(3, 60, 11, 13, generator=generator, dtype=dtype)
    if channels_last:
        feature = feature.contiguous(memory_format=torch.channels_last)
    feature.requires_grad_()
    head.zero_grad()
    logits = form(head, feature)
    logits.backward(torch.randn(logits.shape, generator=generator, dtype=dtype))
    assert feature.grad is not None
    gradients = {name: value.grad.clone() for name, value in head.named_parameters() if value.grad is not None}
    return {"logits": logits.detach(), "feature": feature.grad} | gradients


@pytest.mark.parametrize("network", [tiny_boir, tiny_cid])
@pytest.mark.parametrize("channels_last", [False, True])
def test_person_by_person_has_the_same_logits_and_gradients(
    network: Callable[[], nn.Module], channels_last: bool
) -> None:
    head = network().instance_head.double().train()
    expected = results(head, together)
    found = results(head, in_turn, channels_last=channels_last)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("network", [tiny_boir, tiny_cid])
def test_single_precision_is_as_exact_as_together(network: Callable[[], nn.Module]) -> None:
    """To 1e-4 of the largest gradient of each parameter, apart from those that are 0 except for rounding."""
    head = network().instance_head.train()
    expected, found = results(head, together), results(head, in_turn)
    largest = max(value.abs().max() for value in expected.values())
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= 1e-4 * max(value.abs().max(), 1e-3 * largest), name


def test_training_on_a_cpu_takes_people_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    head = tiny_boir().instance_head
    monkeypatch.setattr(type(head), "logits_together", None)
    feature = torch.randn(3, 60, 8, 8)
    index, yx = torch.tensor([0, 2]), torch.tensor([[1, 2], [3, 4]])
    assert head(feature, index, yx).shape == (2, 17, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(TypeError):
        head(feature, index, yx)


def test_no_people_have_no_logits() -> None:
    head = tiny_boir().instance_head
    feature = torch.randn(2, 60, 8, 8, requires_grad=True)
    none = torch.zeros(0, dtype=torch.long)
    logits = head.logits_in_turn(feature, none, none.reshape(0, 2))
    assert logits.shape == (0, 17, 8, 8)
    logits.sum().backward()
    assert feature.grad is not None
    assert not feature.grad.any()


@settings(deadline=None, max_examples=20)
@given(people=st.integers(1, 19), seed=st.integers(0, 99))
def test_responses_in_buckets_equal_those_of_the_paper(people: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(2, 4, 6, 9, generator=generator, dtype=torch.float64)
    weights = torch.randn(people, 4, generator=generator, dtype=torch.float64)
    conv = nn.Conv2d(3, 1, 5, padding=2).double()
    images = torch.randint(0, 2, (people,), generator=generator)
    yx = torch.randint(0, 6, (people, 2), generator=generator)
    found = response_in_buckets(shared, weights, conv, images, yx)
    expected = spatial_response(shared[images], weights[:, None], conv, yx[:, None])
    torch.testing.assert_close(found, expected.flatten(1))


def literal_focal_loss(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """CornerNet's focal loss as its formula has it, for autograd."""
    positive = (truth == 1) * mask
    hit = predicted.log() * (1 - predicted) ** 2 * positive
    miss = (1 - predicted).log() * predicted**2 * (1 - truth) ** 4 * (mask - positive)
    return -(hit + miss).sum() / positive.sum().clamp(min=1)


@pytest.mark.parametrize("in_cache", [1, 100, 1 << 18])
@pytest.mark.parametrize("mask_shape", [(4, 3, 1, 1), (4, 1, 8, 6), (1, 1, 1, 1)])
def test_the_focal_loss_and_its_gradient_are_those_of_the_formula(
    in_cache: int, mask_shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_stage_losses, "_IN_CACHE", in_cache)
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(4, 3, 8, 6, generator=generator)
    truth = torch.rand(4, 3, 8, 6, generator=generator).round(decimals=1)
    assert (truth == 1).any()
    mask = (torch.rand(mask_shape, generator=generator) > 0.3).float()
    mine, literal = (logits.clone().requires_grad_() for _ in range(2))
    loss = focal_loss(probabilities(mine), truth, mask)
    expected = literal_focal_loss(literal.sigmoid().clamp(1e-4, 1 - 1e-4), truth, mask)
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    torch.testing.assert_close(mine.grad, literal.grad)


def test_the_focal_loss_of_nothing_has_a_gradient() -> None:
    predicted = torch.rand(0, 3, 4, 4, requires_grad=True)
    focal_loss(predicted, torch.rand(0, 3, 4, 4), torch.rand(0, 3, 1, 1)).backward()
    assert predicted.grad is not None
    assert predicted.grad.shape == predicted.shape
