"""Speed next to Hugging Face transformers and rtmlib: from an image and ten boxes to keypoints, in turns.

    make compare-speed

ViTPose-B is transformers' own network with random weights, except the last layer, which is fitted by least squares so
that its heatmaps have one peak each, as those of a trained network: otherwise ``auto`` has no people to compare. The
RTMPose-shaped network has the input, the outputs and about the FLOPs of RTMPose-m. Times do not depend on the weights.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import rtmlib
import torch
import transformers

from benchmarks.__main__ import write_page
from benchmarks.peer_networks import RTMPoseShaped, write_vitpose
from benchmarks.performance import machine
from benchmarks.performance.counting import flops
from benchmarks.performance.record import Findings, Record, Table, Target
from benchmarks.performance.timing import Effort, Run, Timings, in_turns
from benchmarks.performance.ways import runtimes
from everypose.core.arrays import Image
from everypose.data.images import read_image
from everypose.export.onnx import export_onnx
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.device_check import PICTURES, pictures
from everypose.inference.device_choice import DeviceChoice
from everypose.inference.loading import choose_device, load
from everypose.inference.top_down import TopDownEstimator
from everypose.models.import_checkpoint import import_checkpoint
from everypose.models.locate import resolve

BOXES = 10
PEER = {"ViTPose-B": "transformers, eager", "RTMPose-shaped": "rtmlib, onnxruntime"}
GOALS = [
    ("ViTPose-B", "everypose, torch", 1.0),
    ("ViTPose-B", "everypose, ONNX Runtime", 1.0),
    ("ViTPose-B", "everypose, OpenVINO in bf16", 2.5),
    ("RTMPose-shaped", "everypose, ONNX Runtime", 1.0),
]
NOTES = [
    "Cropping, network and decoding are timed; transformers and everypose take the crops as one batch, rtmlib one by "
    "one.",
    "rtmlib leaves the precision to OpenVINO, which chooses bf16 on CPUs that support it: compare it with everypose's "
    "OpenVINO in bf16. The RTMPose-shaped network has 3.7 GFLOP.",
    "Weights are random; the last layer of ViTPose-B is fitted so that its heatmaps have one peak each.",
]


def main() -> None:
    """Time both comparisons; print a table, write the record and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=120, help="of each comparison")
    parser.add_argument("--rounds", type=int, default=15, help="of each comparison, at most")
    parser.add_argument("--out", type=Path, default=Path("docs/evidence"), help="folder of the page")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    effort = Effort(arguments.seconds, most=arguments.rounds)
    before = machine.Moment.now()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EVERYPOSE_HOME"] = str(Path(folder, "home"))
        image, boxes = crowd()
        runs, choice = vitpose_runs(Path(folder), image, boxes, arguments.threads)
        found = {"ViTPose-B": in_turns(runs, effort)}
        found["RTMPose-shaped"] = in_turns(rtmpose_runs(Path(folder), image, boxes, arguments.threads), effort)
    after = machine.Moment.now()
    rows = [row for name, timings in found.items() for row in rows_of(name, timings)]
    for row in rows:
        print("| " + " | ".join(row) + " |")
    record = Record(
        findings=findings_of(found, rows, choice, arguments.threads),
        command=" ".join(["python -m benchmarks.peers", *(Path(word).name for word in sys.argv[1:])]),
        date=date.today().isoformat(),
        machine=machine.describe(),
        versions=f"{machine.versions()}, transformers {transformers.__version__}, rtmlib {version('rtmlib')}",
        others=after.others_since(before),
        seconds=after.clock - before.clock,
        quick=False,
    )
    record.write(arguments.out / "logs" / "performance" / "peers.json")
    write_page(arguments.out)


def findings_of(
    found: Mapping[str, Timings], rows: list[tuple[str, ...]], choice: DeviceChoice, threads: int
) -> Findings:
    """Table, targets and notes."""
    targets = []
    for name, form, least in GOALS:
        ratio = found[name].ratio(PEER[name], form)
        goal = f"{name}: {form} at least {least:g} x as fast as {PEER[name]}"
        targets.append(Target(goal, f"{ratio:.2f}", ratio.median >= least))
    header = ("network", "form", f"ms for {BOXES} boxes", "peer / form")
    notes = [
        *NOTES,
        f"On the exported ViTPose-B, auto chose {choice.device}: {choice.reason}.",
    ]
    return Findings(targets, [Table(header, rows, f"From an image and boxes to keypoints, {threads} threads")], notes)


def rows_of(name: str, timings: Timings) -> list[tuple[str, ...]]:
    """A row for each form, with the peer's time over its own."""
    return [
        (name, form, f"{timings.of(form).scaled(1000):.0f}", f"{timings.ratio(PEER[name], form):.2f}")
        for form in timings.seconds
    ]


def crowd() -> tuple[Image, np.ndarray]:
    """A picture of the package and boxes (10, 4) x1 y1 x2 y2: its people's, and the same moved by some pixels."""
    path = pictures()[0]
    own = np.array(PICTURES[path.name], np.float64)
    return read_image(path), np.concatenate([own, own + 7])[:BOXES]


def vitpose_runs(folder: Path, image: Image, boxes: np.ndarray, threads: int) -> tuple[dict[str, Run], DeviceChoice]:
    """transformers, and everypose in torch and in every runtime."""
    files = write_vitpose(folder / "vitpose", image, boxes)
    network, config = import_checkpoint(resolve(files).path)
    exported = folder / "vitpose.onnx"
    export_onnx(network, config, exported)
    choice = choose_device(exported, threads=threads)
    model = transformers.VitPoseForPoseEstimation.from_pretrained(files).eval()
    processor = transformers.VitPoseImageProcessorPil()
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()

    def in_transformers() -> object:
        inputs = processor(image, boxes=[xywh], return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        return processor.post_process_pose_estimation(outputs, boxes=[xywh])

    runs = {"transformers, eager": in_transformers, "everypose, torch": poses(files, image, boxes, threads, "cpu")}
    runs |= {
        f"everypose, {name}": poses(exported, image, boxes, threads, device) for name, device in runtimes().items()
    }
    return runs, choice


def rtmpose_runs(folder: Path, image: Image, boxes: np.ndarray, threads: int) -> dict[str, Run]:
    """The rtmlib package and everypose in ONNX Runtime and OpenVINO, all on one file."""
    path = folder / "rtmpose.onnx"
    network = RTMPoseShaped().eval()
    crop = torch.zeros(1, 3, 256, 192)
    print(f"RTMPose-shaped: {flops(lambda: network(crop)) / 1e9:.2f} GFLOP", file=sys.stderr)
    network.write(path)
    listed = boxes.tolist()
    with redirect_stdout(sys.stderr):
        peers = {
            backend: rtmlib.RTMPose(str(path), (192, 256), backend=backend) for backend in ("onnxruntime", "openvino")
        }
    runs: dict[str, Run] = {f"rtmlib, {backend}": partial(peer, image, listed) for backend, peer in peers.items()}
    return runs | {
        f"everypose, {name}": poses(path, image, boxes, threads, device) for name, device in runtimes().items()
    }


def poses(model: Path, image: Image, boxes: np.ndarray, threads: int, device: str) -> Run:
    """A model of everypose with the given boxes."""
    given = Boxes(boxes, np.ones(len(boxes)))
    estimator = load(model, detector=lambda _: given, threads=threads, device=device)
    assert isinstance(estimator, TopDownEstimator)
    photos = [Photo(image)]
    return lambda: estimator.poses(photos)


if __name__ == "__main__":
    main()
