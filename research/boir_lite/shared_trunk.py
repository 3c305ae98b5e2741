"""Cost of more people in MIPNet: a shared trunk compared with a full pass per person, as ratios in one run.

    python -m research.boir_lite.shared_trunk --networks W32 W48 --sizes 192x256 288x384 --batch 1 --repeats 5

Each row is N people predicted per crop. "Shared" is :meth:`MIPNet.heatmaps_for` with N selectors, in torch and in
ONNX Runtime; "passes" is the whole network once for each of them, in torch, as the authors' evaluation does. All are
multiples of one person's cost in the same runtime. Weights are random; the forms alternate, so that other load on the
machine affects all of them. The paper's latencies (table 3) are a GPU's: --device cuda --batch 24 --runtimes torch.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from everypose.backbones.hrnet import HRNet
from everypose.errors import exit_on_user_error
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.top_down.baselines import HRNetPose

PEOPLE = 4
Run = Callable[[], object]


class FirstPeople(nn.Module):
    """MIPNet for the first ``people`` selectors."""

    def __init__(self, network: MIPNet, people: int) -> None:
        super().__init__()
        self.network = network
        self.people = people

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, people, K, H/4, W/4)."""
        return self.network.heatmaps_for(images, self.network.selectors[: self.people])


def torch_runs(network: MIPNet, images: Tensor) -> dict[tuple[str, int], Run]:
    """By form and number of people: shared, and a pass for each person."""

    def timed(work: Run) -> Run:
        def run() -> None:
            with torch.inference_mode():
                work()
            if images.is_cuda:
                torch.cuda.synchronize()

        return run

    runs: dict[tuple[str, int], Run] = {}
    for people in range(1, PEOPLE + 1):
        shared, alone = FirstPeople(network, people).eval(), FirstPeople(network, 1).eval()
        runs["torch", people] = timed(partial(shared, images))
        runs["passes", people] = timed(partial(repeated, alone, images, people))
    return runs


def repeated(network: nn.Module, images: Tensor, times: int) -> list[Tensor]:
    """The whole network, once for each person."""
    return [network(images) for _ in range(times)]


def onnx_runs(network: MIPNet, images: Tensor, threads: int, folder: Path) -> dict[tuple[str, int], Run]:
    """By form and number of people: one exported graph for each number."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    runs: dict[tuple[str, int], Run] = {}
    for people in range(1, PEOPLE + 1):
        path = folder / f"{people}.onnx"
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(FirstPeople(network, people).eval(), (images,), str(path), opset_version=18, dynamo=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        path.unlink()
        feed = {session.get_inputs()[0].name: images.numpy()}
        runs["onnx", people] = partial(session.run, None, feed)
    return runs


def measure(runs: dict[tuple[str, int], Run], repeats: int) -> dict[tuple[str, int], list[float]]:
    """Seconds of every run, taken in turns after one turn that is not counted."""
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    for turn in range(repeats + 1):
        for key, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[key].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Time the forms in turns and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=["W32", "W48"], default=["W32", "W48"])
    parser.add_argument("--sizes", nargs="+", default=["192x256", "288x384"], help="width x height of a crop")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runtimes", nargs="+", choices=["torch", "onnx"], default=["torch", "onnx"])
    parser.add_argument("--device", default="cpu", help="of torch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    forms = [*(["torch", "passes"] if "torch" in arguments.runtimes else []), *(set(arguments.runtimes) & {"onnx"})]
    lines = [
        f"| network | crop | N | {' | '.join(f'{form}, s | {form} / N=1' for form in forms)} |",
        f"|---|---|---|{'---|---|' * len(forms)}",
    ]
    for name in arguments.networks:
        torch.manual_seed(0)
        network = MIPNet(HRNetPose(HRNet(int(name[1:]), outputs=1), 17), instances=PEOPLE).eval()
        for size in arguments.sizes:
            width, height = (int(side) for side in size.split("x"))
            images = torch.randn(arguments.batch, 3, height, width)
            runs: dict[tuple[str, int], Run] = {}
            if "onnx" in arguments.runtimes:
                with tempfile.TemporaryDirectory() as folder:
                    runs |= onnx_runs(network.cpu(), images, arguments.threads, Path(folder))
            if "torch" in arguments.runtimes:
                runs |= torch_runs(network.to(arguments.device), images.to(arguments.device))
            seconds = measure(runs, arguments.repeats)
            for people in range(1, PEOPLE + 1):
                cells = []
                for form in forms:
                    of_one = seconds[form, 1]
                    ratio = statistics.median(a / b for a, b in zip(seconds[form, people], of_one, strict=True))
                    cells.append(f"{statistics.median(seconds[form, people]):.3f} | {ratio:.2f}")
                lines.append(f"| {name} | {size} | {people} | {' | '.join(cells)} |")
    print("\n".join(lines))


if __name__ == "__main__":
    with exit_on_user_error("shared_trunk"):
        main()
