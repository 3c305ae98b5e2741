"""ViTPose-B on one crop: scaled dot-product attention against the literal softmax(QK^T)V, torch and ONNX Runtime.

    python -m benchmarks.vit_attention --batch 1 16 --threads 2

All alternate within one run; only the ratios are meaningful; weights are random.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from everypose.backbones.vit import SIZES, Attention, ViT
from everypose.errors import exit_on_user_error
from everypose.methods.vitpose.network import HeatmapHead, ViTPose

CROP = (256, 192)
KINDS = ("literal", "fused")


class LiteralAttention(Attention):
    """Attention by its formula, softmax(Q K^T) V."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to the same shape."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        y: Tensor = self.proj((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return y


def main() -> None:
    """Time both attentions in both runtimes and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="b")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="of torch; ONNX Runtime is timed on the CPU only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size = SIZES[arguments.size]
    network = ViTPose(ViT(size.width, size.depth, size.heads), HeatmapHead(size.width, 17)).eval()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        sessions = {kind: session(attending(network, kind), Path(folder), arguments.threads) for kind in KINDS}
        network.to(arguments.device)
        print("| batch | torch literal | torch fused | ONNX literal | ONNX fused | fused / literal |")
        for batch in arguments.batch:
            images = torch.randn(batch, 3, *CROP)
            runs = torch_runs(network, images.to(arguments.device)) | onnx_runs(sessions, images.numpy())
            print(row(batch, timed(runs, arguments.repeats)), flush=True)


def attending(network: ViTPose, kind: str) -> ViTPose:
    """The same network with one or the other attention."""
    for block in network.backbone.blocks:
        block.attn.__class__ = LiteralAttention if kind == "literal" else Attention
    return network


def session(network: nn.Module, folder: Path, threads: int) -> onnxruntime.InferenceSession:
    """The network as a session of ONNX Runtime, for any batch."""
    path = folder / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.randn(1, 3, *CROP),), str(path), input_names=["images"], output_names=["heatmaps"],
            dynamic_axes={"images": {0: "batch"}, "heatmaps": {0: "batch"}}, opset_version=18, dynamo=False,
        )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def torch_runs(network: ViTPose, images: Tensor) -> dict[tuple[str, str], Callable[[], object]]:
    """The network with each attention, to be called."""

    def run(kind: str) -> None:
        attending(network, kind)(images)
        if images.is_cuda:
            torch.cuda.synchronize()

    return {("torch", kind): partial(run, kind) for kind in KINDS}


def onnx_runs(
    sessions: dict[str, onnxruntime.InferenceSession], images: np.ndarray
) -> dict[tuple[str, str], Callable[[], object]]:
    """The sessions, to be called."""
    return {("ONNX", kind): partial(sessions[kind].run, None, {"images": images}) for kind in KINDS}


def timed(runs: dict[tuple[str, str], Callable[[], object]], repeats: int) -> dict[tuple[str, str], float]:
    """Each run's fastest milliseconds, after one that is not counted; they take turns."""
    found: dict[tuple[str, str], list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                found[name].append(1000 * (time.perf_counter() - start))
    return {name: min(times) for name, times in found.items()}


def row(batch: int, times: dict[tuple[str, str], float]) -> str:
    """A line of the table: milliseconds for each crop, then the ratios."""
    each = [f"{value / batch:.1f} ms" for value in times.values()]
    ratios = [times[runtime, "fused"] / times[runtime, "literal"] for runtime in ("torch", "ONNX")]
    return f"| {batch} | {' | '.join(each)} | torch {ratios[0]:.2f}, ONNX {ratios[1]:.2f} |"


if __name__ == "__main__":
    with exit_on_user_error("vit_attention"):
        main()
