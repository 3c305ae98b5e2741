"""What is too large for the repository: recordings in float64, of all stages, and of SimpleBaseline's small network.

``EVERYPOSE_GOLDEN`` names the folder with the whole recordings, ``mipnet/*.npz``.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from everypose.methods.mipnet.modulation import MIMB
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.top_down.graph import TopDownGraph
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import relative_error
from methods.mipnet.golden_networks import BLOCK_NAMES, SELECTORS, loaded, recipe_state, tensors

FOLDER = Path(os.environ.get("EVERYPOSE_GOLDEN", "nowhere")) / "mipnet"
WITH_WEIGHTS = ("b_hrnet_w8_lambda", "b2_hrnet_w8_lambda_all4", "c_resnet_bottleneck1111_lambda")
BY_RECIPE = ("b3_hrnet_w32_lambda_recipe", "c2_resnet50_lambda_recipe")

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="EVERYPOSE_GOLDEN names no folder with the recordings")


def read(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def recorded_network(vectors: dict[str, np.ndarray]) -> MIPNet:
    return loaded(tensors(vectors, "sd/") or recipe_state(vectors))


def heatmaps(network: MIPNet, vectors: dict[str, np.ndarray], selector: str, dtype: torch.dtype) -> Tensor:
    """(B, K, h, w) of the people of one selector."""
    asked = torch.tensor([SELECTORS[selector]], dtype=dtype)
    with torch.no_grad():
        return network.to(dtype).heatmaps_for(torch.from_numpy(vectors["x"]).to(dtype), asked)[:, 0]


@pytest.mark.parametrize("name", [*WITH_WEIGHTS, *BY_RECIPE])
def test_heatmaps_equal_the_release(name: str) -> None:
    vectors = read(name)
    network = recorded_network(vectors)
    for selector in SELECTORS:
        if f"eval_out_{selector}" in vectors:
            assert (
                relative_error(heatmaps(network, vectors, selector, torch.float32), vectors[f"eval_out_{selector}"])
                < 1e-5
            )
    exact = [selector for selector in SELECTORS if f"eval_out_{selector}_f64" in vectors]
    assert exact
    for selector in exact:
        found = heatmaps(network, vectors, selector, torch.float64)
        assert relative_error(found, vectors[f"eval_out_{selector}_f64"]) < 1e-9


def test_the_block_equals_the_release_in_double_precision() -> None:
    vectors = read("a_mimb")
    block = MIMB(16)
    block.load_state_dict(BLOCK_NAMES.to_everypose(tensors(vectors, "sd/")))
    with torch.no_grad():
        out = block.double().eval()(*(torch.from_numpy(vectors[key]).double() for key in ("x", "lambda_vec")))
    assert relative_error(out, vectors["eval_out_f64"]) < 1e-9


def modules_of(network: MIPNet, stage: str) -> list[nn.Module]:
    """Our modules whose outputs are recorded as those of ``stage``; one for each branch at a modulation site."""
    site, is_site = stage.removesuffix("_se"), stage.endswith("_se")
    if is_site:
        return list(network.modulation[int(site[-1]) - 1])
    return [network.head.deconv if stage == "deconv_layers" else getattr(network.backbone, stage)]


def outputs_of(network: MIPNet, stage: str, vectors: dict[str, np.ndarray]) -> list[Tensor]:
    """What comes out of a stage for the primary person, one map for each branch."""
    found: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor | list[Tensor]) -> None:
        found.extend([output] if isinstance(output, Tensor) else output)

    hooks = [module.register_forward_hook(keep) for module in modules_of(network, stage)]
    heatmaps(network, vectors, "lam0", torch.float32)
    for hook in hooks:
        hook.remove()
    return found


def recorded_stages(vectors: dict[str, np.ndarray]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Names and maps of the recorded stages, in the order of their branches."""
    names = [name.removeprefix("eval_lam0_act/") for name in vectors if name.startswith("eval_lam0_act/")]
    for stage in dict.fromkeys(name.split(".")[0] for name in names):
        yield stage, [vectors[f"eval_lam0_act/{name}"] for name in names if name.split(".")[0] == stage]


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_every_stage_equals_the_release(name: str) -> None:
    vectors = read(name)
    network = recorded_network(vectors)
    stages = dict(recorded_stages(vectors))
    assert len(stages) >= 5
    for stage, recorded in stages.items():
        found = outputs_of(network, stage, vectors)
        assert len(found) == len(recorded), stage
        for ours, theirs in zip(found, recorded, strict=True):
            assert relative_error(ours, theirs) < 1e-5, stage


def test_heatmaps_of_the_flip_test_equal_the_release() -> None:
    vectors = read("b_hrnet_w8_lambda")
    graph = TopDownGraph(recorded_network(vectors), torch.from_numpy(Skeleton.named("coco").flip_index))
    crops = torch.from_numpy(vectors["x"])
    with torch.no_grad():
        mirrored = graph.mirrored_back(graph.network.heatmaps(crops.flip(3)))
        mean = (graph.network.heatmaps(crops) + mirrored) / 2
    for instance, name in enumerate(("primary", "secondary")):
        assert relative_error(mean[:, instance], vectors[f"infer_heatmap_{name}"]) < 1e-5
