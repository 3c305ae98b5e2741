"""Images per second of BoIR's whole graph, decoding included, compared with the literal form, one image at a time."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.performance.counting import flops_on_images
from benchmarks.performance.devices import BF16, Device, Precision, tf32
from benchmarks.performance.literal import LiteralHead
from benchmarks.performance.random_networks import place_people, settle, single_stage_forward
from benchmarks.performance.record import Findings, Table, Target
from benchmarks.performance.timing import Effort, Run, Timings, in_turns
from everypose.methods.boir.network import BoIR
from everypose.methods.single_stage.graph import SingleStageGraph

PEOPLE = 10
GOAL = 8.0
GOAL_TEXT = f"bf16, 16 images at once: at least {GOAL:g} x the images a second of literal, one at a time, same GPU"
CALLS = 4
"""Of a form in one measurement."""
LITERAL, FAST, PEAK = "literal", "everypose", "matrix product"
FLIP = torch.arange(17)

Function = Callable[[Tensor], Tensor]


class Case(NamedTuple):
    """``way`` is what happens to the parts of the network whose sizes do not depend on the people: see `WAYS`."""

    precision: Precision
    batch: int
    way: str


class InPrecision(nn.Module):
    """BoIR with weights and activations of some type, channels last, its dense parts run in some way."""

    def __init__(self, network: BoIR, precision: Precision, way: "Way", images: Tensor) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(dtype=precision.dtype)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self.dtype = precision.dtype
        example = self._laid_out(torch.zeros(len(images), 3, *images.shape[1:3], device=images.device))
        self._features = way(self.network.features, example)
        self._center_map = way(self.network.center_map, self.network.features(example))

    def features(self, images: Tensor) -> Tensor:
        """As BoIR's."""
        return self._features(self._laid_out(images))

    def center_map(self, feature: Tensor) -> Tensor:
        """As BoIR's."""
        heatmaps: Tensor = self._center_map(feature)
        return heatmaps

    def instance_heatmaps(self, feature: Tensor, yx: Tensor, order: Tensor) -> Tensor:
        """As BoIR's."""
        return self.network.instance_heatmaps(feature, yx, order)

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.to(dtype=self.dtype, memory_format=torch.channels_last)


class Replayed:
    """A function of one tensor of a fixed shape, captured as a CUDA graph."""

    def __init__(self, function: Function, example: Tensor) -> None:
        self._input = example.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                function(self._input)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = function(self._input)

    def __call__(self, values: Tensor) -> Tensor:
        """The output, which the next call overwrites."""
        self._input.copy_(values)
        self._graph.replay()
        return self._output


Way = Callable[[Function, Tensor], Function]
WAYS: dict[str, Way] = {
    "eager": lambda function, _: function,
    "CUDA graph": Replayed,
    "compiled": lambda function, _: torch.compile(function),
}


@torch.inference_mode()
def inference(
    make: Callable[..., BoIR], size: int, cases: Sequence[Case], product: int, device: Device, effort: Effort
) -> Findings:
    """Every case, compared with the literal form and the matrix product of its precision.

    Args:
        make: builds the network.
        size: side of the images.
        cases: what is measured.
        product: side of the matrices whose product is called the peak.
        device: where.
        effort: of all cases together.
    """
    torch.manual_seed(0)
    network = make()
    settle(network, single_stage_forward(network))
    place_people(network, PEOPLE)
    cost = flops_on_images(network, size, size).of(PEOPLE)
    network.to(device.name)
    rows, reached = [], 0.0
    for case in cases:
        timings, memory = one_case(network, case, size, product, device, effort.part(1 / len(cases)))
        gain = timings.ratio(LITERAL, FAST).scaled(case.batch)
        peak = timings.ratio(PEAK, FAST).scaled(100 * case.batch * cost / (2 * product**3))
        rate = case.batch * CALLS / timings.of(FAST).median
        rows.append(
            (case.precision.name, str(case.batch), case.way, f"{rate:.0f}", f"{gain:.2f}", f"{peak:.0f}",
             f"{memory / 1e9:.1f}")
        )  # fmt: skip
        if (case.precision, case.batch) == (BF16, 16):
            reached = max(reached, gain.median)
    header = ("precision", "images at once", "form", "images a second", "x literal", "% of the peak", "GB at most")
    caption = f"Inference, images of {size} x {size}, {PEOPLE} people in each"
    note = (
        "The whole graph: normalization, network, decoding. Literal is eager float32 with torch's own settings, which "
        "let convolutions use TF32, at 1 image. The peak is the measured matrix product of the same precision, of side "
        f"{product}. Finding and decoding the people is eager in every form, and waits for the device a few times."
    )
    target = Target(GOAL_TEXT, f"{reached:.1f}", reached >= GOAL) if reached else Target(GOAL_TEXT, "no GPU", None)
    return Findings([target], [Table(header, rows, caption)], [note])


def one_case(network: BoIR, case: Case, size: int, product: int, device: Device, effort: Effort) -> tuple[Timings, int]:
    """Seconds of the case, of the literal form and of the matrix product; and bytes that the case held at most."""
    images = torch.randint(0, 255, (case.batch, size, size, 3), dtype=torch.uint8, device=device.name)
    literal = copy.deepcopy(network)
    literal.instance_head.__class__ = LiteralHead
    with tf32(case.precision.tf32):
        fast = whole_graph(InPrecision(network, case.precision, WAYS[case.way], images), images, device)
        device.forget_peak()
        fast()
        memory = device.peak()
    a = torch.randn(product, product, device=device.name, dtype=case.precision.dtype)

    def peak() -> None:
        for _ in range(CALLS):
            a @ a
        device.wait()

    def allowed(run: Run) -> Run:
        def run_so() -> None:
            with tf32(case.precision.tf32):
                run()

        return run_so

    runs = {LITERAL: whole_graph(literal, images[:1], device), FAST: allowed(fast), PEAK: allowed(peak)}
    return in_turns(runs, effort), memory


def whole_graph(network: Any, images: Tensor, device: Device) -> Run:
    """The method from uint8 images to keypoints, some times in a row."""
    graph = SingleStageGraph(network, FLIP).eval().to(device.name)
    no_flip, min_score = torch.zeros(0, device=device.name), torch.tensor(0.0, device=device.name)

    def run() -> None:
        for _ in range(CALLS):
            graph(images, no_flip, min_score)
        device.wait()

    return run
