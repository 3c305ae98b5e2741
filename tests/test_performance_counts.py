"""What everypose costs, in counts that are the same on every machine; and that the benchmarks write their page."""

import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.__main__ import SECTIONS, main
from benchmarks.performance.counting import Operators, flops, flops_on_images, onnx_nodes, saved_bytes
from benchmarks.performance.literal import LiteralHead, bbox_mask_loss
from benchmarks.performance.made_batches import made_batch, random_outputs
from benchmarks.performance.photos import annotated
from benchmarks.performance.random_networks import settle, single_stage_forward
from benchmarks.performance.record import Options, Record
from benchmarks.performance.timing import Effort, Spread, Timings, in_turns
from benchmarks.performance.ways import config_of, noise, random_network
from torch import Tensor

from everypose.data.images import read_image
from everypose.export.onnx import export_onnx
from everypose.methods.boir.instance_head import InstanceHead
from everypose.methods.boir.losses import losses
from everypose.methods.boir.settings import BoIRLosses, BoIRSettings
from everypose.methods.cid.losses import losses as cid_losses
from everypose.methods.cid.network import CIDOutputs
from everypose.methods.cid.settings import CIDLosses, CIDSettings
from everypose.methods.mipnet.losses import losses as mipnet_losses
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.posebh.clusters import cluster_prototypes
from everypose.methods.posebh.network import PoseBHOutputs
from everypose.methods.posebh.objective import losses as posebh_losses
from everypose.methods.posebh.settings import Phase, PoseBHLosses
from everypose.methods.single_stage.augmentation import draw
from everypose.methods.single_stage.samples import make_sample
from everypose.methods.single_stage.settings import ImageAugmentation, ImageSampleSettings
from everypose.methods.single_stage.targets import render_targets
from everypose.methods.spec import Initialization
from everypose.methods.top_down.settings import HRNetPoseSettings
from everypose.methods.top_down.targets import gaussian_targets
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.build import build_graph, build_network
from everypose.models.settings import Network
from golden_vectors import TINY_BOIR
from methods.posebh.golden_networks import SIZES, targets_of, tiny

TINY = config_of(TINY_BOIR.model_copy(update={"auxiliary": False}), 64)


def shapes_of(settings: Network) -> torch.nn.Module:
    """A network of 17 keypoints without numbers."""
    with torch.device("meta"):
        return build_network(settings, 17, initialization=Initialization.FRAMEWORK).eval()


def test_flops_of_boir_w32_at_512() -> None:
    """Counted: backbone, neck and centers, what people share in the instance head, and each person."""
    cost = flops_on_images(shapes_of(BoIRSettings(auxiliary=False)), 512, 512)
    assert cost == (82_457_919_488, 77_347_282_944, 1_140_850_688, 174_546_944)
    assert cost.of(10) == 162_691_522_560


@pytest.mark.parametrize(
    ("head", "person"),
    [
        (InstanceHead, 174_546_944),
        # The fusion convolves 2 x 64 channels for each person, where ours folds the attention into 64 of them.
        (LiteralHead, 306_667_520),
    ],
)
def test_flops_of_a_person_of_boir_w32_at_512(head: type[InstanceHead], person: int) -> None:
    with torch.device("meta"):
        network, feature = head(480, 64, 17), torch.zeros(1, 480, 128, 128)
        indices = [(torch.zeros(n, dtype=torch.long), torch.zeros(n, 2, dtype=torch.long)) for n in (1, 2)]
    one, two = (flops(partial(network, feature, *index)) for index in indices)
    assert two - one == person


def test_flops_of_cid_w32_at_512() -> None:
    """Counted. CID has no neck: its centers are one 1x1 convolution of 480 channels to 18, 2 x 480 x 18 x 128 x 128."""
    cost = flops_on_images(shapes_of(CIDSettings()), 512, 512)
    assert cost == (82_457_919_488, 2 * 480 * 18 * 128 * 128, 536_870_912, 54_947_840)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # Counted; HRNet's convolutions alone, 2 x 7.65 G multiplications (Sun et al. give 7.1 G).
        (HRNetPoseSettings(), 15_290_007_552),
        # The blocks of one person cost next to nothing; a second person 38 % of the first, not a whole pass.
        (MIPNetSettings(instances=1), 15_290_139_904),
        (MIPNetSettings(instances=2), 21_094_337_536),
        # 2 x 18.5 G multiplications, those of attention among them (Xu et al. give 17.1 G for the backbone).
        (ViTPoseSettings(), 37_045_665_792),
    ],
)
def test_flops_of_a_crop(settings: Network, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tensors without numbers know no autocast.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    network, crop = shapes_of(settings), torch.zeros(1, 3, 256, 192, device="meta")
    assert flops(lambda: network.heatmaps(crop)) == expected


def boir_step(people: int) -> Tensor:
    batch = made_batch(2, 64, people)
    outputs = random_outputs(render_targets(batch))
    return torch.stack(list(losses(outputs, render_targets(batch), BoIRLosses()).values())).sum()


def cid_step(people: int) -> Tensor:
    targets = render_targets(made_batch(2, 64, people))
    outputs = random_outputs(targets)
    vectors = torch.randn(2 * people, 32, requires_grad=True)
    given = CIDOutputs(outputs.multi_heatmap, vectors, outputs.instance_heatmaps)
    return torch.stack(list(cid_losses(given, targets, CIDLosses()).values())).sum()


def mipnet_step(people: int) -> Tensor:
    heatmaps = torch.rand(people, 2, 17, 16, 12, requires_grad=True)
    points = torch.rand(people, 2, 17, 3) * 40
    targets, weights = gaussian_targets(points, (48, 64), (12, 16), 2.0, udp=False)
    return torch.stack(list(mipnet_losses(heatmaps, targets, weights).values())).sum()


def posebh_operators(people: int, phase: Phase) -> int:
    """Operators of the losses and their gradient, with so many samples of each of two data sets; none may wait."""
    network, count = tiny(), 2 * people
    truth = torch.rand(count, max(SIZES), 16, 12).clamp(min=0.5) - 0.5
    targets = targets_of([0, 1] * people, truth, torch.ones(count, max(SIZES)), SIZES)
    heatmaps = tuple(torch.rand(count, size, 16, 12, requires_grad=True) for size in SIZES)
    outputs = PoseBHOutputs(heatmaps, torch.randn(count, 8, 16, 12, requires_grad=True))
    clusters = cluster_prototypes(network.prototypes.bank, 3, 2)
    with Operators() as seen:
        step = posebh_losses(network, outputs, targets, phase=phase, settings=PoseBHLosses(), clusters=clusters)
        torch.stack(list(step.losses.values())).sum().backward()
    assert seen.waits == 0
    return seen.launched


STEPS = {"boir": boir_step, "cid": cid_step, "mipnet": mipnet_step}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_no_loss_waits_for_the_device_or_goes_through_people_one_by_one(step: Callable[[int], Tensor]) -> None:
    """Targets, losses and gradient: no value is looked at from the host, and more people are no more operators."""
    counts = []
    for people in (2, 12):
        with Operators() as seen:
            step(people).backward()
        assert seen.waits == 0
        counts.append(seen.launched)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("phase", [Phase(True, True, False, False, False, False), Phase(False, *[True] * 5)])
def test_posebh_neither(phase: Phase) -> None:
    assert posebh_operators(2, phase) == posebh_operators(6, phase)


def test_waiting_is_seen() -> None:
    """The literal Bbox Mask Loss asks for boxes, and at every person for a maximum and whether there is support."""
    waits = []
    for people in (2, 12):
        targets = render_targets(made_batch(2, 64, people))
        with Operators() as seen:
            bbox_mask_loss(random_outputs(targets).embedding, targets.instance_boxes, targets.instance_image)
        waits.append(seen.waits)
    assert waits[1] - waits[0] > 2 * 10


@pytest.mark.parametrize(("people", "images", "operators"), [(1, 1, 583), (30, 1, 585), (30, 3, 588)])
def test_operators_of_inference(people: int, images: int, operators: int) -> None:
    """Counted: 30 people in three images need five more than one, copies of small weights.

    The device is waited for where people are picked out of the centers, and where the three outputs leave out the one
    that stands for nobody.
    """
    graph = build_graph(random_network(TINY, people), TINY)
    with Operators() as seen, torch.no_grad():
        keypoints, _, _ = graph(torch.from_numpy(noise(TINY, images)), torch.zeros(0), torch.tensor(0.0))
    assert len(keypoints) == people * images
    assert (seen.waits, seen.launched) == (4, operators)


def test_nodes_of_an_exported_graph(tmp_path: Path) -> None:
    """Counted with the pinned torch. Batch normalization is folded away, the people are the only loop, and every
    convolution is one of the network's: 62 of the backbone, 6 of the neck, 4 of the centers, 3 of the instance head."""
    network = build_network(TINY.network, 17, initialization=Initialization.FRAMEWORK)
    settle(network, single_stage_forward(network))
    export_onnx(network, TINY, tmp_path / "tiny.onnx")
    nodes = onnx_nodes(tmp_path / "tiny.onnx")
    assert nodes["Conv"] == 62 + 6 + 4 + 3
    assert nodes["NonZero"] == 4
    assert nodes["Loop"] == 1
    assert not nodes.keys() & {"BatchNormalization", "If", "Scan", "Dropout"}
    assert nodes.total() - nodes["Constant"] - nodes["Identity"] == 697


def test_memory_of_the_losses() -> None:
    """Counted: bytes that BoIR's losses keep for their gradient, over what they are given, for two images of 64."""
    kept = []
    for people in (2, 12):
        batch = made_batch(2, 64, people)
        targets = render_targets(batch)
        outputs = random_outputs(targets)
        given = tuple(value for value in (*outputs, *vars(targets).values()) if isinstance(value, Tensor))
        kept.append(saved_bytes(partial(losses, outputs, targets, BoIRLosses()), given))
    assert kept == [134_548, 710_928]


def test_nothing_as_large_as_a_heatmap_comes_from_the_loader(tmp_path: Path) -> None:
    """An image, its mask of a sixteenth, and for each person keypoints, radius, center, place and box."""
    scenes = annotated(Options(), tmp_path, 1)
    scene = scenes.scenes[0]
    draws = draw(np.random.default_rng(0), ImageAugmentation(), scene)
    sample = make_sample(scene, read_image(scene.path), scenes.skeleton, ImageSampleSettings(), draws=draws)
    size = sum(value.nbytes for value in vars(sample).values() if isinstance(value, np.ndarray))
    people, instances = len(sample.radius), len(sample.instance_person)
    assert people == 5
    assert size == 3 * 512**2 + 128**2 + people * (17 * 3 * 4 + 8 + 2 * 4 + 1) + instances * (8 + 2 * 8 + 4 * 4)


def test_ratios_are_taken_within_a_round() -> None:
    timings = Timings({"slow": [2.0, 40.0, 6.0], "fast": [1.0, 10.0, 3.0]})
    assert timings.ratio("slow", "fast") == Spread(2.0, 2.0, 3.0)
    assert f"{timings.of('fast'):.1f}" == "3.0 (2.0–6.5)"


def test_candidates_take_turns() -> None:
    order: list[str] = []
    timings = in_turns({name: partial(order.append, name) for name in "ab"}, Effort(seconds=0, least=2))
    assert "".join(order) == "ab" * 3  # the first turn is not counted
    assert timings.rounds == 2


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(name == "memory" and sys.platform != "linux", reason="reads /proc"))
        for name in SECTIONS
    ],
)
def test_every_section_runs_and_is_on_the_page(name: str, tmp_path: Path) -> None:
    assert main(["--only", name, "--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
    record = Record.read(tmp_path / "logs" / "performance" / f"{name}.json")
    assert record.findings.tables
    assert record.command == f"python -m benchmarks --only {name} --quick --threads 1 --out {tmp_path.name}"
    page = (tmp_path / "performance.md").read_text()
    for cell in (cell for table in record.findings.tables for row in table.rows for cell in row):
        assert cell in page
    for target in record.findings.targets:
        assert f"| {target.goal} | {target.found} | smoke run |" in page
    assert all(f"--only {other}`" in page for other in SECTIONS if other != name)
    assert all((tmp_path / "pictures" / picture).exists() for picture in record.findings.pictures)
