"""The authors' files of ViTPose, ViTPose++ and PoseBH: what they are, our names for them, and splitting."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from everypose.backbones.vit import ViT
from everypose.core.renaming import Renaming
from everypose.errors import EveryposeError, UsageError
from everypose.methods.posebh.network import DataSet, PoseBH
from everypose.methods.vitpose.checkpoint import (
    DATASETS_OF_SIZES,
    ReleasedLayout,
    read_layout,
    recognizes,
    renaming_of,
    split,
    to_everypose,
)
from everypose.methods.vitpose.network import HeatmapHead, ViTPose
from golden_vectors import load
from methods.posebh.golden_networks import RENAMING, tensors, tiny

FILE = Path("theirs.pth")
SMALL = ReleasedLayout(
    width=384, depth=1, heads=12, image_size=(48, 64), experts=2, expert_part=8,
    keypoints=(3, 4), channels=4, embedding=6, prototypes=2,
)  # fmt: skip


def network_of(layout: ReleasedLayout) -> ViTPose | PoseBH:
    backbone = ViT(
        layout.width,
        layout.depth,
        layout.heads,
        drop_path=0.1,
        image_size=layout.image_size,
        experts=layout.experts,
        expert_part=layout.expert_part,
    )
    if layout.plain:
        return ViTPose(backbone, HeatmapHead(layout.width, layout.keypoints[0], layout.channels))
    datasets = [DataSet(f"set{i}", count) for i, count in enumerate(layout.keypoints)]
    return PoseBH(backbone, datasets, layout.embedding, layout.prototypes or 3, layout.channels)


def renaming(layout: ReleasedLayout) -> Renaming:
    return renaming_of(0 if layout.plain else len(layout.keypoints))


def theirs(layout: ReleasedLayout) -> dict[str, Tensor]:
    """A checkpoint of random tensors under the authors' names."""
    state = renaming(layout).to_released(network_of(layout).state_dict())
    if layout.embedding:
        state["proto_head.cluster_prototype.prototypes"] = torch.zeros(5, layout.prototypes, layout.embedding)
    return state


LAYOUTS = {
    "PoseBH": SMALL,
    "ViTPose++": ReleasedLayout(384, 1, 12, (48, 64), 2, 8, (3, 4), 4, 0, 0),
    "several heads": ReleasedLayout(384, 1, 12, (48, 64), 0, 0, (3, 4, 5), 4, 0, 0),
    "ViTPose": ReleasedLayout(384, 2, 12, (96, 128), 0, 0, (17,), 4, 0, 0),
    "transferred": ReleasedLayout(384, 1, 12, (48, 64), 0, 0, (5,), 4, 6, 3),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_tells_its_layout_and_fits_strictly(name: str) -> None:
    layout = LAYOUTS[name]
    state = theirs(layout)
    assert recognizes(state)
    assert read_layout(state, FILE) == layout
    network = network_of(layout)
    network.load_state_dict(to_everypose(state, layout))
    back = renaming(layout).to_released(network.state_dict())
    assert set(state) - set(back) <= {"proto_head.cluster_prototype.prototypes"}
    assert all(torch.equal(value, state[key]) for key, value in back.items())


def test_every_golden_name_is_known() -> None:
    golden = tensors(load("posebh/e_tiny_model"), "sd0.")
    assert set(RENAMING.to_everypose(golden)) == set(tiny().state_dict())
    assert set(renaming(SMALL).to_everypose(golden)) == set(tiny().state_dict())


@pytest.mark.parametrize("index", [0, 1])
def test_a_split_file_is_the_merged_network(index: int) -> None:
    state = theirs(SMALL)
    part = split(state, index)
    layout = read_layout(part, FILE)
    assert layout.plain
    assert layout.keypoints == (SMALL.keypoints[index],)
    plain, whole = network_of(layout).eval(), network_of(SMALL).eval()
    plain.load_state_dict(to_everypose(part, layout))
    whole.load_state_dict(to_everypose(state, SMALL))
    merged = whole.merged(f"set{index}")
    assert all(torch.equal(value, merged.state_dict()[name]) for name, value in plain.state_dict().items())
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        mixed = whole(images, torch.full((2,), index)).heatmaps[index]
        assert torch.allclose(plain(images), mixed, atol=1e-5 * mixed.abs().max().item())


def test_what_the_released_split_leaves_behind_is_not_used() -> None:
    """Its experts, the other heads and the prototypes of all sets stay in the file beside the merged layer."""
    state = theirs(SMALL)
    left = state | split(state, 0)
    layout = read_layout(left, FILE)
    assert layout == ReleasedLayout(384, 1, 12, (48, 64), 0, 0, (3,), 4, 0, 0)
    network_of(layout).load_state_dict(to_everypose(left, layout))


def test_the_published_sets_of_heads_have_names() -> None:
    for sizes, names in DATASETS_OF_SIZES.items():
        assert len(sizes) == len(names) == len(set(names))


def test_a_checkpoint_with_another_number_of_experts() -> None:
    state = theirs(SMALL)
    for part in ("weight", "bias"):
        state[f"backbone.blocks.0.mlp.experts.2.{part}"] = state[f"backbone.blocks.0.mlp.experts.0.{part}"]
    with pytest.raises(EveryposeError, match=r"theirs\.pth has 3 experts but 2 heatmap heads"):
        read_layout(state, FILE)


def test_an_unknown_tensor_is_not_dropped() -> None:
    state = theirs(SMALL) | {"backbone.blocks.0.extra": torch.zeros(1)}
    assert "backbone.blocks.0.extra" in to_everypose(state, SMALL)


def test_files_of_other_kinds() -> None:
    state = theirs(LAYOUTS["ViTPose"])
    simple = {name: value for name, value in state.items() if "deconv_layers" not in name}
    with pytest.raises(EveryposeError, match="another head than the classic decoder"):
        read_layout(simple, FILE)
    with pytest.raises(UsageError, match="a ViT of width 100"):
        read_layout(state | {"backbone.pos_embed": torch.zeros(1, 13, 100)}, FILE)
    with pytest.raises(EveryposeError, match=r"another aspect than 3 to 4 \(14 patches\)"):
        read_layout(state | {"backbone.pos_embed": torch.zeros(1, 15, 384)}, FILE)
    with pytest.raises(UsageError, match="no heatmap head 1"):
        split(state, 1)
    assert not recognizes({"backbone.conv1.weight": torch.zeros(1)})
