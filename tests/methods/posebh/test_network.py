"""Heads, embedding branch and whole network against the golden vectors; merging; what must not be asked of it."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from everypose.backbones.vit import ViT
from everypose.errors import UsageError
from everypose.methods.posebh.embedding import EmbeddingBranch
from everypose.methods.posebh.losses import heatmap_loss
from everypose.methods.posebh.network import DataSet, PoseBH
from everypose.methods.posebh.prototypes import Prototypes
from everypose.methods.posebh.settings import PoseBHLosses
from everypose.methods.posebh.targets import Target, render_targets, rows_by_dataset
from everypose.methods.top_down.decoding import decode
from everypose.methods.top_down.graph import TopDownGraph
from everypose.methods.top_down.losses import joints_mse
from everypose.methods.top_down.samples import CropBatch
from everypose.methods.top_down.targets import gaussian_targets
from everypose.methods.vitpose.network import HeatmapHead
from everypose.training.optimizer_groups import layer_decay_groups
from golden_vectors import load, relative_error
from methods.posebh.golden_networks import DATASETS, RENAMING, SIZES, noise, targets_of, tensors, tiny
from methods.posebh.twins import literal_cluster_loss, literal_cross_type, literal_joints_mse, literal_supervision


def test_the_heatmap_head_equals_the_golden_one() -> None:
    vectors = load("posebh/b_heatmap_head")
    head = HeatmapHead(32, 5, 16)
    head.load_state_dict(tensors(vectors, "sd."))
    features = torch.from_numpy(vectors["features"]).requires_grad_()
    assert relative_error(head.eval()(features), vectors["output_eval"]) < 1e-5
    output = head.train()(features)
    assert relative_error(output, vectors["output_train"]) < 1e-5
    target, weights = torch.from_numpy(vectors["target"]), torch.from_numpy(vectors["target_weight"][..., 0])
    loss = joints_mse(output, target, weights)
    loss.backward()
    assert loss.item() == pytest.approx(float(vectors["loss"]), rel=1e-5)
    assert literal_joints_mse(output, target, weights).item() == pytest.approx(loss.item(), rel=1e-5)
    assert relative_error(features.grad, vectors["grad_features"]) < 1e-4
    norm = head.deconv_layers[1]
    assert relative_error(norm.running_mean, vectors["running_mean_after"]) < 1e-5
    assert relative_error(norm.running_var, vectors["running_var_after"]) < 1e-5


def test_a_head_of_vit_b_has_the_published_size() -> None:
    assert sum(p.numel() for p in HeatmapHead(768, 17).parameters()) == 4_195_328 + 257 * 17


def test_the_heatmap_loss_is_over_the_whole_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    heatmaps, truth = torch.rand(2, 5, 4, 6, 5, generator=generator)
    weights = torch.rand(5, 4, generator=generator)
    datasets = [0, 1, 0, 2, 1]
    for dataset, rows in enumerate(rows_by_dataset(datasets, 4)):
        own = torch.tensor([d == dataset for d in datasets])[:, None, None, None]
        masked = literal_joints_mse(heatmaps * own, truth * own, weights)
        ours = heatmap_loss(heatmaps, Target(rows, truth[rows], weights[rows]))
        assert ours.item() == pytest.approx(masked.item(), rel=1e-5)


def test_a_data_set_missing_in_the_batch_gives_its_head_a_gradient_of_zero() -> None:
    heatmaps = torch.rand(2, 3, 6, 5, requires_grad=True)
    loss = heatmap_loss(
        heatmaps, Target(torch.tensor([], dtype=torch.long), torch.zeros(0, 3, 6, 5), torch.zeros(0, 3))
    )
    loss.backward()
    assert loss == 0
    assert (heatmaps.grad == 0).all()


def test_the_embedding_branch_equals_the_golden_one() -> None:
    vectors = load("posebh/c_proto_head")
    state = tensors(vectors, "sd.")
    prototypes = Prototypes(SIZES, 3, 8)
    prototypes.bank.copy_(state.pop("kpt_prototype.prototypes"))
    branch = EmbeddingBranch(32, 8, 16)
    branch.load_state_dict(state)
    features = torch.from_numpy(vectors["features"])
    embedding = branch.eval()(features)
    assert relative_error(embedding, vectors["embedding_eval"]) < 1e-5
    # The maps were recorded of the embeddings of training.
    embedding = branch.train()(features)
    assert relative_error(embedding, vectors["embedding_train"]) < 1e-5
    for dataset, name in ((None, "-1"), (0, "0"), (1, "1")):
        maps = prototypes.heatmaps(torch.from_numpy(vectors["embedding_eval"]), dataset)
        assert relative_error(maps, vectors[f"heatmap_ds{name}"]) < 1e-5


def test_the_embedding_branch_of_vit_b_has_the_measured_size() -> None:
    assert sum(p.numel() for p in EmbeddingBranch(768).parameters()) == 4_437_760


def test_the_bank_starts_with_unit_vectors_and_is_saved_but_not_trained() -> None:
    prototypes = Prototypes([17, 14, 16, 17, 17, 133])
    assert prototypes.bank.shape == (214, 3, 64)
    assert torch.allclose(prototypes.bank.norm(dim=-1), torch.ones(214, 3))
    assert list(prototypes.state_dict()) == ["bank"]
    assert not list(prototypes.parameters())
    assert torch.equal(prototypes.of(2), prototypes.of()[31:47])


# The golden network was trained with these settings; its loss and movement are the released ones.
GOLDEN_SETTINGS = PoseBHLosses(peak=0.05, match=6.0)


def released_losses(
    network: PoseBH, get: dict[str, Tensor], bank: Tensor, draws: list[Tensor] | None, clusters: Tensor | None
) -> tuple[dict[str, Tensor], Tensor]:
    """All losses of the golden batch as released, of our network's outputs, and the bank after them."""
    datasets, truth, weights = get["dataset_idx"].tolist(), get["target"], get["target_weight"][..., 0]
    outputs = network(get["img"], get["dataset_idx"])
    values = {
        name: heatmap_loss(maps, target)
        for name, maps, target in zip(
            ("main_stream_loss", "1_loss"), outputs.heatmaps, targets_of(datasets, truth, weights, SIZES), strict=True
        )
    }
    embedding, settings = outputs.embedding, GOLDEN_SETTINGS
    values["proto_loss"], values["phm_loss"], bank = literal_supervision(
        embedding, datasets, truth, weights, bank, SIZES, settings, released=True, noise=draws, learn=clusters is None
    )
    if clusters is not None:
        heads = list(outputs.heatmaps)
        values["css_loss"] = settings.cross_type * literal_cross_type(
            heads, embedding, datasets, bank, settings, released=True
        )
        keypoint = get["p2.kpt_conv_idxs0"].tolist()
        values["cps_loss"] = literal_cluster_loss(
            embedding, datasets, truth, weights, clusters, keypoint, SIZES, settings, released=True
        )
    return values, bank


def check(values: dict[str, Tensor], vectors: dict[str, np.ndarray], phase: str) -> None:
    golden = dict(zip(vectors[f"{phase}.loss_names"].tolist(), vectors[f"{phase}.loss_values"].tolist(), strict=True))
    assert {name: value.item() for name, value in values.items()} == pytest.approx(golden, rel=1e-4)
    for name in ("main_stream_loss", "1_loss"):
        assert values[name].item() == pytest.approx(golden[name], rel=1e-5)


def check_gradients(network: PoseBH, vectors: dict[str, np.ndarray], phase: str) -> None:
    gradients = {name: p.grad for name, p in network.named_parameters()}
    recorded = RENAMING.to_everypose(tensors(vectors, f"{phase}.grad."))
    assert len(recorded) == 9
    for name, golden in recorded.items():
        assert relative_error(gradients[name], golden.numpy()) < 1e-4, name


def test_two_phases_and_two_steps_equal_the_golden_run() -> None:
    """Losses, gradients, statistics, two AdamW steps of the tiny network; its losses by the released twins."""
    vectors = load("posebh/e_tiny_model")
    get = tensors(vectors, "")
    network = tiny()
    network.load_state_dict(RENAMING.to_everypose(tensors(vectors, "sd0.")))
    network.train()

    values, bank = released_losses(network, get, network.prototypes.bank, noise(vectors, "p1."), None)
    check(values, vectors, "p1")
    sum(values.values()).backward()
    check_gradients(network, vectors, "p1")
    assert relative_error(bank, vectors["p1.prototypes_after"]) < 1e-5

    network.zero_grad()
    network.prototypes.bank.copy_(bank)
    clusters = torch.from_numpy(vectors["p2.cluster_prototypes"])
    values, bank = released_losses(network, get, bank, None, clusters)
    check(values, vectors, "p2")
    sum(values.values()).backward()
    check_gradients(network, vectors, "p2")
    assert relative_error(bank, vectors["p2.prototypes_after"]) < 1e-5
    statistics = RENAMING.to_everypose(tensors(vectors, "sd_after_p2."))
    for name, golden in statistics.items():
        assert relative_error(network.state_dict()[name], golden.numpy()) < 1e-5, name

    groups = layer_decay_groups(network, 0.75, 0.1)
    optimizer = torch.optim.AdamW([group | {"lr": 1e-3 * group["scale"]} for group in groups])
    for step in ("step0", "step1"):
        optimizer.zero_grad()
        values, bank = released_losses(network, get, bank, None, clusters)
        check(values, vectors, step)
        sum(values.values()).backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        assert norm.item() == pytest.approx(float(vectors[f"{step}.grad_norm"]), rel=1e-4)
        optimizer.step()
    parameters = dict(network.named_parameters())
    for name, golden in RENAMING.to_everypose(tensors(vectors, "after_steps.")).items():
        assert relative_error(parameters[name], golden.numpy()) < 1e-5, name


def test_the_first_head_poses_as_the_golden_run_did() -> None:
    """Flip test and UDP decoding of the merged network, by the graph that everything runs through."""
    vectors = load("posebh/e_tiny_model")
    network = tiny()
    # Only what inference needs was recorded.
    network.load_state_dict(RENAMING.to_everypose(tensors(vectors, "sd1.")), strict=False)
    plain = network.merged("a").eval()
    images = torch.from_numpy(vectors["img"])
    graph = TopDownGraph(plain, torch.tensor([1, 0, 2]), "udp")
    with torch.no_grad():
        maps = plain.heatmaps(images)
        maps = (maps + graph.mirrored_back(plain.heatmaps(images.flip(-1)))) / 2
        found = decode(maps[:, 0], "udp", (48, 64))
    assert relative_error(maps[:, 0], vectors["infer.heatmap"]) < 1e-5
    boxes = torch.from_numpy(vectors["infer.boxes"])
    center, size = boxes[:, None, :2], 200 * boxes[:, None, 2:4]
    points = found[..., :2] / torch.tensor([47, 63]) * size + center - size / 2
    error = np.abs(points.numpy() - vectors["infer.preds"][..., :2]).max(-1) / vectors["infer.preds"].max()
    # One map of these random weights is so flat that DARK's parabola has its peak 800 pixels away.
    astray = np.abs(vectors["infer.preds"][..., 0]) > 900
    assert astray.sum() == 1
    assert error[~astray].max() < 1e-5
    assert error[astray].max() < 1e-3
    assert relative_error(found[..., 2], vectors["infer.preds"][..., 2]) < 1e-5


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_merged_network_gives_what_the_mixed_one_gives(name: str) -> None:
    network, images = tiny().double().eval(), torch.randn(3, 3, 64, 48, dtype=torch.float64)
    plain, index = network.merged(name), network.index_of(name)
    assert not any("experts" in n or "embedding" in n for n in plain.state_dict())
    with torch.no_grad():
        mixed = network(images, torch.full((3,), index)).heatmaps[index]
        assert torch.allclose(plain.heatmaps(images)[:, 0], mixed, rtol=0, atol=1e-6 * mixed.abs().max().item())


def test_one_pass_gives_every_skeletons_keypoints_by_prototypes() -> None:
    network, images = tiny().eval(), torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        everything = network.by_prototypes("b").heatmaps(images)
        one = network.by_prototypes("b", "a").heatmaps(images)
        embedding = network(images, torch.ones(2, dtype=torch.long)).embedding
        assert torch.allclose(everything[:, 0], network.prototypes.heatmaps(embedding), atol=1e-5)
    assert everything.shape == (2, 1, 7, 16, 12)
    assert torch.equal(everything[:, :, :3], one)


def test_flipping_the_image_flips_the_maps_of_the_prototypes_graph() -> None:
    network = tiny().eval().by_prototypes("a")
    graph = TopDownGraph(network, torch.arange(7), "udp")
    images = torch.randint(0, 255, (1, 64, 48, 3), dtype=torch.uint8)
    with torch.no_grad():
        one, other = (graph(some, torch.zeros(1)) for some in (images, images.flip(2)))
    assert one[..., 2].flatten().tolist() == pytest.approx(other[..., 2].flatten().tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", ["heatmaps", "prototypes"])
def test_the_exported_graph_poses_any_number_of_crops_as_torch_does(kind: str, tmp_path: Path) -> None:
    network = tiny().eval()
    inner = network.merged("a") if kind == "heatmaps" else network.by_prototypes("a")
    graph = TopDownGraph(inner, torch.arange(3 if kind == "heatmaps" else 7), "udp").eval()
    path, one = str(tmp_path / "graph.onnx"), torch.zeros(1, 64, 48, 3, dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph, (one, torch.zeros(1)), path, input_names=["images", "mirrored"], output_names=["keypoints"],
            dynamic_axes={"images": {0: "batch"}, "mirrored": {0: "flip"}, "keypoints": {0: "batch"}},
            opset_version=18, dynamo=False,
        )  # fmt: skip
        images = torch.randint(0, 255, (3, 64, 48, 3), dtype=torch.uint8)
        session = onnxruntime.InferenceSession(path)
        for flips in (0, 1):
            expected = graph(images, torch.zeros(flips))
            given = {"images": images.numpy(), "mirrored": np.zeros(flips, np.float32)}
            (found,) = session.run(None, given)
            assert np.allclose(found[..., 2], expected[..., 2], atol=1e-5)


def test_a_network_without_embedding_is_vitpose_plus() -> None:
    network = PoseBH(ViT(32, 1, 2, experts=2, expert_part=8, image_size=(48, 64)), DATASETS, embedding=0, channels=16)
    outputs = network(torch.randn(2, 3, 64, 48), torch.tensor([0, 1]))
    assert [maps.shape[1] for maps in outputs.heatmaps] == SIZES
    assert outputs.embedding is None
    assert not any(name.startswith(("embedding", "prototypes")) for name in network.state_dict())
    with pytest.raises(UsageError, match="no prototypes"):
        network.by_prototypes("a")


def test_each_set_is_rendered_with_its_own_keypoints_and_convention() -> None:
    generator = torch.Generator().manual_seed(0)
    keypoints = torch.rand(3, 1, 4, 3, generator=generator) * torch.tensor([48.0, 64.0, 1.0])
    keypoints[..., 2] = keypoints[..., 2] > 0.3
    images = torch.zeros(3, 64, 48, 3, dtype=torch.uint8)
    udp, dataset = torch.tensor([True, False, True]), torch.tensor([1, 0, 1])
    batch = CropBatch(images=images, keypoints=keypoints, udp=udp, dataset=dataset, keys=("x", "y", "z"))
    first, second = render_targets(batch, rows_by_dataset([1, 0, 1], 2), DATASETS)
    assert first.heatmaps.shape == (1, 3, 16, 12)
    assert second.rows.tolist() == [0, 2]
    for target, row, sample, kind in ((first, 0, 1, False), (second, 0, 0, True), (second, 1, 2, True)):
        count = target.heatmaps.shape[1]
        maps, weights = gaussian_targets(keypoints[sample, :, :count], (48, 64), (12, 16), 2.0, kind)
        assert torch.equal(target.heatmaps[row], maps[0])
        assert torch.equal(target.weights[row], weights[0])


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ([], "at least one data set"),
        ([DataSet("a", 3), DataSet("a", 4)], "two data sets are named a"),
        ([DataSet("a", 3), DataSet("b", 0)], "the data set b has no keypoints"),
        ([DataSet("a", 3)], r"2 experts for 1 data sets \(a\)"),
    ],
)
def test_impossible_data_sets(datasets: list[DataSet], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PoseBH(ViT(32, 1, 2, experts=2, expert_part=8), datasets)


def test_an_unknown_data_set() -> None:
    with pytest.raises(UsageError, match="named 'c'; it has a, b"):
        tiny().merged("c")
