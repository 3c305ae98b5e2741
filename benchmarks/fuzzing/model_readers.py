"""The readers of weights, models and what is downloaded."""

import functools
import io
import os
import tempfile
import zipfile
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.fuzzing.mutations import mutate_bytes, mutate_text
from benchmarks.fuzzing.seeds import COCO
from benchmarks.fuzzing.stand_ins import refiner_model, single_stage_model, top_down_model
from benchmarks.fuzzing.target import Target, as_json, both
from benchmarks.fuzzing.watching import put, unwatched

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@functools.cache
def model_folder() -> dict[str, bytes]:
    """The files of the smallest model folder, an HRNet of width 2 on crops, and its released checkpoint."""
    import torch

    from everypose.backbones.settings import HRNetSettings
    from everypose.methods.top_down.settings import HRNetPoseSettings, TopDownInference
    from everypose.models.build import build_network
    from everypose.models.config import ModelConfig
    from everypose.models.import_checkpoint import write_released
    from everypose.models.storage import save_model

    backbone = HRNetSettings(width=2, modules=(1, 1, 1), blocks=1, stem_blocks=1)
    settings = HRNetPoseSettings(backbone=backbone)
    inference = TopDownInference.model_validate({"crop_size": (64, 64)})
    config = ModelConfig(name="tiny", network=settings, skeleton=COCO, inference=inference)
    torch.manual_seed(0)
    network = build_network(settings, len(COCO)).eval()
    with tempfile.TemporaryDirectory() as folder:
        save_model(network, config, Path(folder))
        write_released(network, config, Path(folder) / "released.pth")
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def checkpoint_seeds() -> tuple[bytes, ...]:
    """State dicts as trainers write them: plain, wrapped, and in torch's old format."""
    import torch

    state = {f"layer{index}.weight": torch.zeros(3, 4) for index in range(4)}
    plain, wrapped, legacy = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(state, plain)
    torch.save({"state_dict": state, "epoch": 3}, wrapped)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    return plain.getvalue(), wrapped.getvalue(), legacy.getvalue()


def model_targets() -> list[Target]:
    """The readers of checkpoints and model folders; they need torch."""
    import torch

    from everypose.backbones.pretrained.trunks import read_trunk
    from everypose.models.checkpoint_file import read_checkpoint
    from everypose.models.import_checkpoint import import_checkpoint, read_state
    from everypose.models.storage import load_model
    from everypose.training.checkpoints import Checkpoint

    training = io.BytesIO()
    fields = dict.fromkeys(Checkpoint.__dataclass_fields__, 0) | {"format": 1, "ema": None, "best_ap": None}
    state = {f"layer{index}.weight": torch.zeros(3, 4) for index in range(4)}
    torch.save(fields | {"network": state, "optimizer": {}, "precision": {}}, training)

    def checkpoint(content: bytes, folder: Path) -> None:
        read_checkpoint(put(folder / "x.pth", content))

    def imported(content: bytes, folder: Path) -> None:
        import_checkpoint(put(folder / "x.pth", content))

    def resumed(content: bytes, folder: Path) -> None:
        Checkpoint.load(put(folder / "last.ckpt", content))

    def weights(content: bytes, folder: Path) -> None:
        put(folder / "config.json", model_folder()["config.json"])
        put(folder / "model.safetensors", content)
        load_model(folder)

    def trunk(content: bytes, folder: Path) -> None:
        read_trunk(put(folder / "x.npz", content))

    def tensors(content: bytes, folder: Path) -> None:
        read_state(put(folder / "x.safetensors", content))

    archive = io.BytesIO()
    layers = np.zeros((3, 4), np.float32)
    np.savez(archive, layer0=layers, layer1=layers)
    return [
        Target("checkpoint", checkpoint_seeds(), mutate_bytes, checkpoint),
        Target("import", (model_folder()["released.pth"],), mutate_bytes, imported),
        Target("training checkpoint", (training.getvalue(),), mutate_bytes, resumed),
        Target("model folder", (model_folder()["model.safetensors"],), mutate_bytes, weights),
        Target("safetensors", (model_folder()["model.safetensors"],), mutate_bytes, tensors),
        Target("trunk npz", (archive.getvalue(),), mutate_bytes, trunk),
    ]


def onnx_targets() -> list[Target]:
    """Small models of each kind with damaged bytes, opened and run."""
    from everypose.inference.box_sources import WholeImage
    from everypose.inference.loading import load
    from everypose.inference.refinement import load_refiner
    from everypose.people import People

    image = np.zeros((64, 64, 3), np.uint8)
    people = People(np.full((1, 17, 3), 9.0), [0.9], COCO)

    def single_stage(content: bytes, folder: Path) -> None:
        load(put(folder / "m.onnx", content), threads=1)(image)

    def top_down(content: bytes, folder: Path) -> None:
        load(put(folder / "m.onnx", content), threads=1, detector=WholeImage())(image)

    def refiner(content: bytes, folder: Path) -> None:
        path = put(folder / "m.onnx", content)
        load_refiner(str(path)).refine(people.keypoints, image)

    return [
        Target("ONNX model", (single_stage_model(),), mutate_bytes, single_stage),
        Target("ONNX model of crops", (top_down_model(),), mutate_bytes, top_down),
        Target("ONNX refiner", (refiner_model(),), mutate_bytes, refiner),
    ]


def download_targets() -> list[Target]:
    """Answers of the hub, records of downloads, archives, and the tokens of a service."""
    from everypose.models.catalog import HubSource, catalog
    from everypose.models.downloads import hub_api
    from everypose.models.downloads.content import extract_member, require_kind
    from everypose.models.downloads.records import read_record, record_path
    from everypose.serving.tokens import Tokens

    entry = next(entry for entry in catalog().model if entry.hub is not None)
    answer = {
        "sha": COMMIT,
        "siblings": [{"rfilename": "model.safetensors", "size": 9, "lfs": {"sha256": "0" * 64, "size": 9}}],
    }
    stored = {
        "format": "everypose download 1", "name": entry.name, "source": "owner/name", "revision": COMMIT,
        "files": {"model.onnx": {"sha256": "0" * 64, "size": 9, "mtime_ns": 1}},
    }  # fmt: skip
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("folder/model.onnx", single_stage_model())

    def hub(content: bytes, _: Path) -> None:
        with patch.object(hub_api, "read_small", lambda *_: content):
            hub_api.list_repository(HubSource(repository="owner/name"), None)

    def record(content: bytes, folder: Path) -> None:
        os.environ["EVERYPOSE_HOME"] = str(folder)
        put(record_path(entry), content)
        read_record(entry)

    def unpack(content: bytes, folder: Path) -> None:
        path = put(folder / "a.zip", content)
        require_kind(path, ".zip")
        with unwatched():
            (folder / "out").mkdir(exist_ok=True)
        extract_member(path, "model.onnx", folder / "out" / "model.onnx")
        require_kind(folder / "out" / "model.onnx", ".onnx")

    def tokens(content: bytes, folder: Path) -> None:
        Tokens.read(put(folder / "tokens", content))

    return [
        Target("hub answer", as_json(answer), both, hub),
        Target("download record", as_json(stored), both, record),
        Target("download zip", (archive.getvalue(),), mutate_bytes, unpack),
        Target("token file", (b"# mine\n0123456789abcdef\nfedcba9876543210\n",), mutate_text, tokens),
    ]
