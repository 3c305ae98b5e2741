"""Assignment, prototypes and their losses against the golden vectors, the literal twins and what must hold for any."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from everypose.methods.posebh.losses import pixel_prototype_loss, prototype_losses
from everypose.methods.posebh.network import PoseBHOutputs
from everypose.methods.posebh.objective import losses
from everypose.methods.posebh.prototypes import (
    Prototypes,
    prototype_heatmaps,
    recognized,
    similarity,
)
from everypose.methods.posebh.settings import Phase, PoseBHLosses
from everypose.methods.posebh.sinkhorn import Assignment, assign, gumbel_noise, moving_prototypes, sinkhorn
from golden_vectors import load, relative_error
from methods.posebh.golden_networks import SIZES, bank_of, maps_of, noise, targets_of, tensors, tiny
from methods.posebh.twins import literal_prototypes, literal_sinkhorn, literal_supervision

FIRST_PHASE = Phase(prototypes=True, embedding=True, heads=False, backbone=False, cross_type=False, clusters=False)
SECOND_PHASE = FIRST_PHASE._replace(prototypes=False)


def test_sinkhorn_equals_the_golden_plan() -> None:
    vectors = load("posebh/c_sinkhorn")
    scores = torch.from_numpy(vectors["scores"])
    group, kept = torch.zeros(9, dtype=torch.long), torch.ones(9, dtype=torch.bool)
    plan = sinkhorn(scores, group, kept, 1)
    assert relative_error(plan, vectors["plan"]) < 1e-5
    assert np.array_equal(plan.argmax(1), vectors["argmax"])
    assert np.array_equal(
        F.one_hot((plan + torch.from_numpy(vectors["gumbel_noise"])).argmax(1)), vectors["assign_onehot"]
    )
    assert relative_error(literal_sinkhorn(scores), vectors["plan"]) < 1e-5


def test_all_keypoints_at_once_equal_one_after_the_other() -> None:
    generator = torch.Generator().manual_seed(5)
    scores = torch.rand(400, 3, generator=generator)
    keypoint = torch.randint(0, 7, (400,), generator=generator)
    keypoint[keypoint == 4] = 5
    kept = torch.rand(400, generator=generator) > 0.3
    plan = sinkhorn(scores, keypoint, kept, 7)
    assert (plan[~kept] == 0).all()
    for k in range(7):
        mine = kept & (keypoint == k)
        if mine.any():
            assert torch.allclose(plan[mine], literal_sinkhorn(scores[mine]), atol=1e-5)
    assert torch.allclose(plan[kept].sum(1), torch.ones(int(kept.sum())), atol=1e-5)


def test_no_pixel_at_all_gives_an_empty_plan() -> None:
    plan = sinkhorn(torch.rand(5, 3), torch.zeros(5, dtype=torch.long), torch.zeros(5, dtype=torch.bool), 2)
    assert (plan == 0).all()


def test_contrast_and_distance_equal_the_golden_loss() -> None:
    vectors = load("posebh/c_ppce")
    logits = torch.from_numpy(vectors["logits"]).requires_grad_()
    target = torch.from_numpy(vectors["target"])
    weights = {
        name: float(vectors[f"{key}weight"])
        for name, key in (("prototype", ""), ("contrast", "ppc_"), ("distance", "ppd_"))
    }
    settings = PoseBHLosses(**weights)
    loss = pixel_prototype_loss(
        logits.T[None, :, None], target.clamp(min=0)[None, None], (target >= 0)[None, None], settings
    )
    loss.backward()
    assert loss.item() == pytest.approx(float(vectors["loss"]), rel=1e-5)
    assert relative_error(logits.grad, vectors["grad_logits"]) < 1e-4


@pytest.mark.parametrize("weight", ["soft", "hard"])
@pytest.mark.parametrize("step", ["s0", "s1"])
def test_one_data_set_equals_the_golden_prototypes(weight: str, step: str) -> None:
    """With one data set the package and the release agree on all but the noise and the weight that counts twice."""
    vectors = {
        name[3:]: array for name, array in load(f"posebh/c_prototypes_single_{weight}").items() if name.startswith(step)
    }
    get = {name: torch.from_numpy(array) for name, array in vectors.items()}
    settings = PoseBHLosses(pixel_weight="confidence" if weight == "soft" else "equal")
    settings = settings.model_copy(update={"threshold": -0.5})
    prototypes = bank_of(get["proto_before"], [5])
    pixels = get["feats"].clone().requires_grad_()
    embedding, heat = maps_of(pixels, get["gt_local"], get["conf_in"], 5)
    alike = similarity(embedding, prototypes.of(0))
    assignment = assign(alike, heat, settings.threshold)
    assert relative_error(prototype_heatmaps(alike)[0, :, 0].T, vectors["kpt_class"]) < 1e-5
    assert relative_error(alike.flatten(1, 2)[0, :, 0].T, vectors["logits"]) < 1e-5
    assert np.array_equal(assignment.prototype.flatten(), vectors["target"])
    known = recognized(alike, assignment)
    assert relative_error(assignment.confidence * known, vectors["conf_after"][None, None]) < 1e-6
    loss = pixel_prototype_loss(alike.flatten(1, 2), assignment.prototype, assignment.kept, settings)
    loss.backward()
    assert loss.item() == pytest.approx(float(vectors["loss"]), rel=1e-5)
    assert relative_error(pixels.grad, vectors["grad_feats"]) < 1e-4
    # The same movement, given the released draws and weights.
    own = alike.detach().gather(1, assignment.keypoint[:, None, None].expand(-1, 1, 3, -1, -1))[0, 0, :, 0].T
    plan = sinkhorn(own, get["gt_local"], assignment.kept.flatten(), 5)
    for k in range(5):
        mine = get["gt_local"] == k
        plan[mine] += get[f"gumbel_k{k}"]
    drawn = 3 * assignment.keypoint + plan.argmax(1).view_as(assignment.keypoint)
    count = known * (assignment.confidence if weight == "soft" else 1)
    bank = prototypes.moved(0, embedding.detach(), drawn, weight=count.square())
    assert relative_error(bank, vectors["proto_after"]) < 1e-5
    moved = np.abs(bank.numpy() - vectors["proto_before"]).max((1, 2)) > 1e-6
    # In the second step keypoint 2 has no confidence, so that its prototypes stay.
    assert moved.tolist() == [True, True, (weight, step) != ("soft", "s1"), True, True]


@pytest.mark.parametrize("step", ["s0.", "s1."])
@pytest.mark.parametrize("weight", ["soft", "hard"])
def test_the_released_draw_moves_the_prototypes_as_recorded(weight: str, step: str) -> None:
    get = tensors(load(f"posebh/c_prototypes_single_{weight}"), step)
    prototypes = bank_of(get["proto_before"], [5])
    embedding, heat = maps_of(get["feats"], get["gt_local"], get["conf_in"], 5)
    alike = similarity(embedding, prototypes.of(0))
    assignment = assign(alike, heat, -0.5)
    noise = torch.zeros_like(assignment.plan)
    for k in range(5):
        noise[0, 0, get["gt_local"] == k] = get[f"gumbel_k{k}"]
    drawn = moving_prototypes(assignment, "gumbel-released", noise)
    assert not torch.equal(drawn, assignment.prototype)
    weights = recognized(alike, assignment) * (assignment.confidence if weight == "soft" else 1)
    bank = prototypes.moved(0, embedding, drawn, weight=weights.square())
    assert relative_error(bank, get["proto_after"].numpy()) < 1e-5


def test_prototypes_are_drawn_by_their_probabilities_or_as_released() -> None:
    plan = torch.tensor([0.7, 0.25, 0.05]).expand(1, 1, 200_000, 3)
    keypoint = torch.full((1, 1, 200_000), 4)
    assignment = Assignment(keypoint > 0, keypoint / 4, keypoint, 3 * keypoint, plan)
    noise = gumbel_noise(plan, torch.Generator().manual_seed(0))
    shares = {
        rule: torch.bincount(moving_prototypes(assignment, rule, noise).flatten() - 12, minlength=3) / 200_000
        for rule in ("likeliest", "gumbel", "gumbel-released")
    }
    assert shares["likeliest"].tolist() == [1, 0, 0]
    torch.testing.assert_close(shares["gumbel"], plan[0, 0, 0], atol=0.005, rtol=0)
    torch.testing.assert_close(shares["gumbel-released"], plan[0, 0, 0].softmax(0), atol=0.005, rtol=0)


def test_a_generator_decides_on_the_draws_of_a_step() -> None:
    datasets = [0, 1, 0, 1, 1]
    embedding, truth, weights = mixed_batch(8, datasets)
    bank = Prototypes(SIZES, 3, 8).bank
    settings = PoseBHLosses(assignment="gumbel", momentum=0.5)
    network, targets = tiny(), targets_of(datasets, truth, weights, SIZES)
    heads = tuple(torch.zeros(5, count, *embedding.shape[2:]) for count in SIZES)

    def moved(settings: PoseBHLosses, seed: int) -> Tensor:
        network.prototypes = bank_of(bank, SIZES)
        generator = torch.Generator().manual_seed(seed)
        outputs = PoseBHOutputs(heads, embedding)
        step = losses(network, outputs, targets, phase=FIRST_PHASE, settings=settings, generator=generator)
        assert step.bank is not None
        return step.bank

    assert torch.equal(moved(settings, 0), moved(settings, 0))
    assert not torch.equal(moved(settings, 0), moved(settings, 1))
    likeliest = PoseBHLosses(momentum=0.5)
    assert torch.equal(moved(likeliest, 0), moved(likeliest, 1))


@pytest.mark.parametrize("weight", ["soft", "hard"])
def test_the_released_slips_explain_the_golden_prototypes_of_two_data_sets(weight: str) -> None:
    vectors = load(f"posebh/c_prototypes_{weight}")
    settings = PoseBHLosses(pixel_weight="confidence" if weight == "soft" else "equal")
    for step in ("s0", "s1", "s2", "s3"):
        get = tensors(vectors, f"{step}.")
        dataset = int(get["dataset"])
        pixels = get["feats"].clone().requires_grad_()
        draws = [get[name] for name in sorted(get) if name.startswith("gumbel")]
        found = literal_prototypes(
            pixels, get["gt_local"].tolist(), get["conf_in"].tolist(), get["proto_before"],
            sum(SIZES[:dataset]), SIZES[dataset], settings, released=True, noise=draws,
        )  # fmt: skip
        found.loss.backward()
        assert found.label == get["target"].tolist()
        assert found.loss.item() == pytest.approx(float(get["loss"]), rel=1e-5)
        assert found.contrast.item() == pytest.approx(float(get["ppc_weighted"]), rel=1e-5)
        assert found.distance.item() == pytest.approx(float(get["ppd_weighted"]), rel=1e-5)
        for ours, name in ((found.logits, "logits"), (found.heat, "kpt_class"), (found.bank, "proto_after")):
            assert relative_error(ours, get[name].numpy()) < 1e-5, name
        assert found.confidence == pytest.approx(get["conf_after"].tolist())
        assert relative_error(pixels.grad, get["grad_feats"].numpy()) < 1e-4
        # The heatmaps and the similarities of the first data set have no slip.
        embedding = pixels.detach().T[None, :, None]
        ours = bank_of(get["proto_before"], SIZES).heatmaps(embedding, dataset)[0, :, 0].T
        assert relative_error(ours, get["kpt_class"].numpy()) < 1e-5


def test_the_released_slips_explain_the_golden_supervision() -> None:
    vectors = load("posebh/c_proto_supervision")
    get = tensors(vectors, "")
    embedding, settings = get["embedding"].requires_grad_(), PoseBHLosses()
    proto, maps, bank = literal_supervision(
        embedding, get["dataset_idx"].tolist(), get["target_padded"], get["target_weight_padded"][..., 0],
        get["prototypes_before"], SIZES, settings, released=True, noise=noise(vectors),
    )  # fmt: skip
    (1e5 * (proto + maps)).backward()
    assert proto.item() == pytest.approx(float(get["proto_loss"]), rel=1e-5)
    assert maps.item() == pytest.approx(float(get["phm_loss"]), rel=1e-5)
    assert relative_error(bank, vectors["prototypes_after"]) < 1e-5
    assert relative_error(embedding.grad, vectors["grad_embedding_of_1e5_times_sum"]) < 1e-4


@pytest.mark.parametrize("name", ["c_proto_supervision", "d_css"])
def test_prototype_heatmaps_equal_the_golden_ones(name: str) -> None:
    """The maps have no slip; that of the prototypes' losses on the golden batch is 3.33e-6 of their error."""
    get = tensors(load(f"posebh/{name}"), "")
    bank = get["prototypes_before" if "prototypes_before" in get else "prototypes"]
    maps = bank_of(bank, SIZES).heatmaps(get["embedding"])
    if name == "d_css":
        assert relative_error(maps, get["proto_heatmap"].numpy()) < 1e-5
        return
    targets = targets_of(get["dataset_idx"].tolist(), get["target_padded"], get["target_weight_padded"][..., 0], SIZES)
    ours = sum(
        prototype_losses(get["embedding"][t.rows], t, bank_of(bank, SIZES), d, PoseBHLosses()).prototype_heatmap
        for d, t in enumerate(targets)
    )
    assert ours.item() == pytest.approx(float(get["phm_loss"]), rel=1e-5)


def supervise(
    embedding: Tensor, datasets: list[int], truth: Tensor, weights: Tensor, prototypes: Prototypes,
    settings: PoseBHLosses, phase: Phase = FIRST_PHASE,
) -> dict[str, Tensor]:  # fmt: skip
    """The prototype losses of a mixed batch through the whole objective, which also moves the prototypes."""
    network = tiny()
    network.prototypes = prototypes
    heads = tuple(torch.zeros(len(datasets), count, *embedding.shape[2:]) for count in SIZES)
    targets = targets_of(datasets, truth, weights, SIZES)
    step = losses(network, PoseBHOutputs(heads, embedding), targets, phase=phase, settings=settings)
    if step.bank is not None:
        prototypes.bank.copy_(step.bank)
    return step.losses


def mixed_batch(seed: int, datasets: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, blob-like heatmaps with empty ones among them, and weights that are not only 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    count = len(datasets)
    embedding = torch.randn(count, 8, 6, 5, generator=generator)
    truth = F.avg_pool2d(torch.rand(count, 4, 6, 5, generator=generator) * 2 - 0.6, 3, 1, 1).clamp(min=0)
    truth[0, 1] = 0
    weights = torch.rand(count, 4, generator=generator).mul(3).round() / 3
    return embedding, truth, weights


@pytest.mark.parametrize("weight", ["confidence", "equal"])
@pytest.mark.parametrize("threshold", [0.0, 0.2])
@pytest.mark.parametrize("datasets", [[1, 0, 1, 0, 0], [1, 1], [0]])
def test_losses_and_movement_equal_their_literal_twin(weight: str, threshold: float, datasets: list[int]) -> None:
    settings = PoseBHLosses(threshold=threshold, pixel_weight=weight, momentum=0.9)
    embedding, truth, weights = mixed_batch(3, datasets)
    prototypes = Prototypes(SIZES, 3, 8)
    bank = prototypes.bank.clone()
    ours, twin = embedding.clone().requires_grad_(), embedding.clone().requires_grad_()
    values = supervise(ours, datasets, truth, weights, prototypes, settings)
    proto, maps, moved = literal_supervision(twin, datasets, truth, weights, bank, SIZES, settings)
    assert values["prototype"].item() == pytest.approx(proto.item(), rel=1e-5)
    assert values["prototype_heatmap"].item() == pytest.approx(maps.item(), rel=1e-5)
    assert relative_error(prototypes.bank, moved.numpy()) < 1e-5
    assert not torch.allclose(prototypes.bank, bank, atol=1e-4)
    (values["prototype"] + values["prototype_heatmap"]).backward()
    (proto + maps).backward()
    assert relative_error(ours.grad, twin.grad.numpy()) < 1e-4


def test_prototypes_rest_in_the_second_phase() -> None:
    embedding, truth, weights = mixed_batch(3, [0, 1])
    prototypes = Prototypes(SIZES, 3, 8)
    bank = prototypes.bank.clone()
    supervise(embedding, [0, 1], truth, weights, prototypes, PoseBHLosses(), SECOND_PHASE)
    assert torch.equal(prototypes.bank, bank)


def test_the_order_of_the_batch_does_not_matter() -> None:
    datasets, order = [1, 0, 1, 0, 0], [4, 2, 0, 3, 1]
    embedding, truth, weights = mixed_batch(4, datasets)
    bank = Prototypes(SIZES, 3, 8).bank
    found = []
    for rows in (list(range(5)), order):
        prototypes = bank_of(bank, SIZES)
        values = supervise(
            embedding[rows], [datasets[row] for row in rows], truth[rows], weights[rows], prototypes, PoseBHLosses()
        )
        found.append((values, prototypes.bank))
    (one, first), (other, second) = found
    assert torch.allclose(first, second, atol=1e-6)
    for name in one:
        assert one[name].item() == pytest.approx(other[name].item(), rel=1e-5, abs=1e-12), name


def test_permuting_the_data_sets_leaves_the_assignments_of_each() -> None:
    embedding, truth, weights = mixed_batch(5, [0, 0, 1])
    first = Prototypes([3, 4], 3, 8)
    second = bank_of(torch.cat([first.bank[3:], first.bank[:3]]), [4, 3])
    for dataset, rows in ((0, slice(0, 2)), (1, slice(2, 3))):
        target = targets_of([0] * len(truth[rows]), truth[rows], weights[rows], [SIZES[dataset]])[0]
        one, other = (
            prototype_losses(embedding[rows], target, prototypes, index, PoseBHLosses())
            for prototypes, index in ((first, dataset), (second, 1 - dataset))
        )
        assert all(torch.equal(a, b) for a, b in zip(one.assignment, other.assignment, strict=True))
        assert torch.equal(one.recognized, other.recognized)
        assert torch.equal(one.prototype, other.prototype)


def test_every_data_set_recognizes_its_own_prototypes() -> None:
    """Embeddings that lie on a keypoint's prototypes are recognized and labeled as its own, in each data set."""
    prototypes = Prototypes(SIZES, 3, 8)
    for dataset, count in enumerate(SIZES):
        own = prototypes.of(dataset)
        embedding = own.permute(2, 1, 0)[None]
        heat = torch.eye(count)[None, :, None].expand(1, count, 3, count)
        alike = similarity(embedding, own)
        assignment = assign(alike, heat, 0.0)
        assert recognized(alike, assignment).all()
        assert (assignment.keypoint == torch.arange(count)).all()


def test_without_any_keypoint_nothing_is_lost_and_nothing_moves() -> None:
    embedding, truth, _ = mixed_batch(6, [0, 1])
    prototypes = Prototypes(SIZES, 3, 8)
    bank = prototypes.bank.clone()
    embedding.requires_grad_()
    values = supervise(embedding, [0, 1], torch.zeros_like(truth), torch.ones(2, 4), prototypes, PoseBHLosses())
    assert values["prototype"] == values["prototype_heatmap"] == 0
    (values["prototype"] + values["prototype_heatmap"]).backward()
    assert (embedding.grad == 0).all()
    assert torch.allclose(prototypes.bank, bank, atol=1e-6)
