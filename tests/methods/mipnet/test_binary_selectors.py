"""The released form for three and four people: recognized by its batch statistics, and converted exactly."""

from itertools import cycle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from everypose.errors import EveryposeError
from everypose.methods.mipnet import checkpoint
from everypose.methods.mipnet.binary_selectors import CODES, count_people, one_hot_state
from everypose.methods.mipnet.modulation import MIMB
from everypose.methods.mipnet.network import MIPNet
from golden_vectors import load
from methods.mipnet.golden_networks import built, imported, recipe_state, tiny_mipnet, w8_state

Codes = tuple[tuple[float, float], ...]

TWO: Codes = ((1.0, 0.0), (0.0, 1.0))


def train_block(block: MIMB, codes: Codes, *, mixed: bool = True, shard: bool = False) -> None:
    """Train the embedding of a block to tell people apart, from small weights as released.

    Args:
        block: its selectors have two numbers.
        codes: the selector of each person.
        mixed: whether batches hold all people, otherwise one after the other.
        shard: whether people are mixed at random, as in the part of a batch that one of several GPUs gets.
    """
    generator = torch.Generator().manual_seed(0)
    people, wanted = torch.tensor(codes), torch.rand(len(codes), block.embed[3].out_features, generator=generator)
    optimizer = torch.optim.Adam(block.embed.parameters(), lr=1e-3)
    turn = cycle(range(len(codes)))
    block.train()
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 if step < 200 else 1e-5
        who = torch.arange(48) % len(codes) if mixed else torch.full((48,), next(turn))
        if shard:
            who = torch.randint(len(codes), (48,), generator=generator)
        optimizer.zero_grad()
        (block.embed(people[who]) - wanted[who]).square().mean().backward()
        optimizer.step()
    block.eval()


def network(kind: str, codes: Codes, **how: bool) -> MIPNet:
    mipnet = tiny_mipnet(kind)
    for module in mipnet.modulation.modules():
        if isinstance(module, MIMB):
            for layer in (module.embed[0], module.embed[3]):
                torch.nn.init.normal_(layer.weight, std=0.001)
                torch.nn.init.zeros_(layer.bias)
            module.embed[1].reset_parameters()
            train_block(module, codes, **how)
    return mipnet


@pytest.mark.parametrize(("kind", "people"), [("hrnet", 3), ("hrnet", 4), ("resnet", 4)])
def test_binary_codes_become_one_hot_selectors(kind: str, people: int) -> None:
    theirs = network(kind, CODES[:people])
    settings, keypoints, state, *_ = imported(checkpoint.export_state(theirs.state_dict()))
    ours = built(settings, keypoints)
    assert isinstance(ours, MIPNet)
    assert len(ours.selectors) == people
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.heatmaps_for(images, torch.tensor(CODES[:people]))
        found = ours.eval().heatmaps(images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    # A file read as one for two people would give the nearest person in place of the primary.
    assert (found[:, 0] - found[:, 1]).abs().max() > 1e-4 * found.abs().max()


@pytest.mark.parametrize("shard", [False, True])
def test_two_people_stay_two(shard: bool) -> None:
    theirs = network("hrnet", TWO, shard=shard)
    settings, _, state, *_ = imported(checkpoint.export_state(theirs.state_dict()))
    assert settings.people_per_crop == 2  # type: ignore[attr-defined]
    assert all(torch.equal(state[name], value) for name, value in theirs.state_dict().items())


@pytest.mark.parametrize("people", [3, 4])
def test_random_shares_of_people_in_a_batch(people: int) -> None:
    state = checkpoint.export_state(network("hrnet", CODES[:people], shard=True).state_dict())
    assert count_people(state) == people


def test_selectors_that_never_met_in_a_batch_are_an_error() -> None:
    state = checkpoint.export_state(network("hrnet", CODES, mixed=False).state_dict())
    with pytest.raises(EveryposeError, match=r"^four\.pth: its selectors of two numbers .* not supported$"):
        checkpoint.import_state(state, Path("four.pth"))


def recorded() -> list[dict[str, Tensor]]:
    return [
        w8_state(),
        w8_state(all_sites=True),
        *(recipe_state(load(f"mipnet/{n}")) for n in ("hrnet_w32", "resnet50")),
    ]


@pytest.mark.parametrize("number", range(4))
def test_networks_without_statistics_of_training_are_for_two_people(number: int) -> None:
    assert count_people(recorded()[number]) == 2


def test_other_tensors_stay() -> None:
    state = w8_state()
    converted = one_hot_state(state, 4)
    changed = {name for name in state if converted[name] is not state[name]}
    assert changed == {name for name in state if name.endswith("fc_lambda.0.weight")}
    assert all(converted[name].shape[1] == 4 for name in changed)
