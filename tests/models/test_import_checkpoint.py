"""The authors' files in and out, and every way in which one can be wrong."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from everypose.errors import EveryposeError, UsageError
from everypose.methods.boir import checkpoint as boir
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.cid import checkpoint as cid
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.models.import_checkpoint import import_checkpoint, read_state, write_released
from everypose.models.storage import load_model, save_model
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import TINY_BOIR, TINY_CID, load, state, tiny_boir, tiny_cid


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


WRAPPINGS: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "plain": lambda tensors: tensors,
    "best": lambda tensors: {"best_state_dict": tensors, "epoch": 3},
    "wrapped": lambda tensors: {"state_dict": tensors},
    "module": lambda tensors: {"best_state_dict": {f"module.{name}": value for name, value in tensors.items()}},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize(("file", "settings"), [("boir_tiny", TINY_BOIR), ("cid_tiny", TINY_CID)])
def test_settings_are_found_out_from_the_tensors(tmp_path: Path, file: str, settings: Any, wrapping: str) -> None:
    theirs = state(load(file))
    network, config = import_checkpoint(saved(tmp_path / "theirs.pth", WRAPPINGS[wrapping](theirs)))
    assert config.network == settings
    assert config.skeleton == Skeleton.named("coco")
    renaming = boir.RENAMING if file == "boir_tiny" else cid.RENAMING
    ours = network.state_dict()
    assert set(renaming.to_released(ours)) == set(theirs)
    assert all(torch.equal(value, ours[name]) for name, value in renaming.to_everypose(theirs).items())


@pytest.mark.parametrize("network", [tiny_boir, tiny_cid])
def test_there_and_back_gives_the_same_tensors(tmp_path: Path, network: Callable[[], torch.nn.Module]) -> None:
    original = network()
    settings = TINY_BOIR if network is tiny_boir else TINY_CID
    config = ModelConfig(name="tiny", network=settings, skeleton=Skeleton.named("coco"))
    write_released(original, config, tmp_path / "out.pth")
    again, config = import_checkpoint(tmp_path / "out.pth")
    save_model(again, config, tmp_path / "ours")
    loaded, _ = load_model(tmp_path / "ours")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in original.state_dict().items())


@pytest.mark.parametrize("renaming", [boir.RENAMING, cid.RENAMING])
def test_renaming_is_a_bijection_on_full_size_networks(renaming: Any) -> None:
    settings = BoIRSettings() if renaming is boir.RENAMING else TINY_CID
    with torch.device("meta"):
        ours = build_network(settings, 17).state_dict()
    theirs = renaming.to_released(ours)
    assert len(theirs) == len(ours)
    assert set(renaming.to_everypose(theirs)) == set(ours)


def test_a_checkpoint_without_training_heads(tmp_path: Path) -> None:
    theirs = {
        n: v
        for n, v in state(load("boir_tiny")).items()
        if not n.startswith(("multihead.buk", "multihead.emb", "multihead.bbox"))
    }
    _, config = import_checkpoint(saved(tmp_path / "bare.pth", theirs))
    assert isinstance(config.network, BoIRSettings)
    assert not config.network.auxiliary


def damaged(change: Callable[[dict[str, torch.Tensor]], Any]) -> dict[str, torch.Tensor]:
    tensors = state(load("boir_tiny"))
    change(tensors)
    return tensors


@pytest.mark.parametrize(("change", "words"), [
    (lambda t: t.pop("backbone.bn1.weight"), "1 missing (backbone.bn1.weight)"),
    (lambda t: t.update(extra=torch.zeros(1)), "1 not part of the network (extra)"),
    (lambda t: t.update({"backbone.bn1.weight": torch.zeros(3)}), "is (3,), not (64,)"),
    (lambda t: t.pop("kpt_head.heatmap_conv.weight"), "kpt_head.heatmap_conv.weight is missing"),
])  # fmt: skip
def test_tensors_that_do_not_fit(tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], Any], words: str) -> None:
    path = saved(tmp_path / "damaged.pth", damaged(change))
    with pytest.raises(EveryposeError) as caught:
        import_checkpoint(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


class Evil:
    """A pickle that would leave a file behind if anything in it ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for name, write in (("new.pth", torch.save), ("old.pth", lambda o, p: Path(p).write_bytes(pickle.dumps(o)))):
        write({"state_dict": {"a": torch.zeros(1)}, "evil": Evil(mark)}, tmp_path / name)
        with pytest.raises(EveryposeError, match=r"nothing in it was run|damaged"):
            read_state(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content", [b"\x00\x01", b"\x01", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", bytes(range(256)) * 20]
)
def test_bytes_of_no_checkpoint_are_called_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "no.pth").write_bytes(content)
    with pytest.raises(EveryposeError, match=r"no\.pth is not a checkpoint that torch can read: it is damaged"):
        read_state(tmp_path / "no.pth")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.pth"
    path.write_bytes(content)
    with pytest.raises(EveryposeError, match=r"no\.pth"):
        read_state(path)


def test_another_methods_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(
        EveryposeError, match="not a checkpoint of BoIR, CID, MIPNet, HRNet, SimpleBaseline, ViTPose or PoseBH"
    ):
        import_checkpoint(saved(tmp_path / "other.pth", {"fc.weight": torch.zeros(2)}))
    with pytest.raises(EveryposeError, match="no state dict"):
        import_checkpoint(saved(tmp_path / "list.pth", [torch.zeros(2)]))


def test_a_skeleton_of_another_size(tmp_path: Path) -> None:
    path = saved(tmp_path / "theirs.pth", state(load("boir_tiny")))
    with pytest.raises(UsageError, match="has 17 keypoints, but the skeleton crowdpose has 14"):
        import_checkpoint(path, Skeleton.named("crowdpose"))


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_of_8_bits_are_checked(tmp_path: Path, kind: torch.dtype) -> None:
    assert read_state(saved(tmp_path / "a.pth", {"weight": torch.ones(2).to(kind)}))["weight"].dtype == kind
    with pytest.raises(EveryposeError, match="1 tensors hold NaN"):
        read_state(saved(tmp_path / "b.pth", {"weight": torch.tensor([1.0, float("nan")]).to(kind)}))


@pytest.mark.parametrize(
    "name", ["backbone.pos_embed", "keypoint_head.final_layer.weight", "backbone.blocks.0.mlp.fc2.bias"]
)
def test_a_vitpose_whose_tensors_have_other_dimensions(tmp_path: Path, name: str) -> None:
    tensors = {
        "backbone.pos_embed": torch.zeros(1, 193, 384),
        "backbone.blocks.0.mlp.fc2.bias": torch.zeros(384),
        "keypoint_head.deconv_layers.0.weight": torch.zeros(1),
        "keypoint_head.final_layer.weight": torch.zeros(17, 256, 1, 1),
    }
    with pytest.raises(EveryposeError, match=r"a\.pth: the tensors give no possible network"):
        import_checkpoint(saved(tmp_path / "a.pth", {**tensors, name: torch.zeros(())}))
