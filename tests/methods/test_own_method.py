"""A method and a backbone of another package: one folder and its entry points train, save, load, export and predict."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from everypose.methods import METHODS
from training.conftest import draw_stick_figures

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_method"
RECIPE = """
name = "heatnet-tiny"
[model]
family = "heatnet"
[inference]
crop_size = [32, 32]
[data]
workers = 0
train = [{annotations = "train.json", images = "images"}]
val_split = ""
[crops.augmentation]
half_body = 0
[schedule]
steps = 2
warmup_epochs = 0
[trainer]
batch = 2
"""


ON_HRNETS_FAMILY = RECIPE.replace('family = "heatnet"', 'family = "hrnet"\nbackbone = {kind = "strides"}')
STEPS = '''"""A backbone in four steps, as MIPNet needs, in a module of its own."""

from typing import ClassVar, Literal

from everypose.backbones.settings import BackboneSettings


class StepsSettings(BackboneSettings):
    kind: Literal["steps"] = "steps"
    step: ClassVar[int] = 4
    crop_builder: ClassVar[str] = "own_steps:build"
    has_steps: ClassVar[bool] = True


def build(_: StepsSettings):
    from torch import nn

    from everypose.backbones.backbone import SteppedBackbone

    class Steps(SteppedBackbone):
        channels = 8
        step_widths = ((8,), (8,), (8,), (8,))

        def __init__(self):
            super().__init__()
            first = nn.Conv2d(3, 8, 4, stride=4)
            self.layers = nn.ModuleList([first, *(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))])

        def steps(self):
            return [lambda maps, layer=layer: [layer(maps[0])] for layer in self.layers]

        def finish(self, maps):
            return maps[0]

    return Steps()
'''


def install(folder: Path) -> None:
    """What ``pip install`` leaves of the example: its entry points, beside a path to its code."""
    points = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [
        line for group, names in points.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in names.items()))
    ]
    info = folder / "own_method-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-method\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    info = folder / "own_steps-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-steps\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[everypose.backbones]\nsteps = own_steps:StepsSettings\n")
    (folder / "own_steps.py").write_text(STEPS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """Runs Python in a process that has the example installed."""
    site = tmp_path_factory.mktemp("site")
    install(site)
    path = os.pathsep.join([str(site), str(EXAMPLE), *sys.path])

    def run(code: str, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


WHOLE_LIFE = """
import sys
from everypose.methods import METHODS
from everypose.cli.main import main

def everypose(*words):
    sys.argv = ["everypose", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)

folder, data = sys.argv[1:]
everypose("train", f"{folder}/recipe.toml", "--data", data, "-o", f"{folder}/run", "--quiet")
everypose("export", f"{folder}/run/models/final", "-o", f"{folder}/heatnet.onnx")

import numpy as np
from everypose.inference.boxes import Boxes
from everypose.inference.loading import load
image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
one = Boxes(np.array([[4.0, 4.0, 60.0, 60.0]]), np.ones(1))
for model in ("run/models/final", "heatnet.onnx"):
    estimator = load(f"{folder}/{model}", detector=lambda photo: one, min_score=0)
    np.save(f"{folder}/{model.replace('/', '_')}.npy", estimator(image).keypoints)
"""


@pytest.mark.parametrize(("family", "recipe"), [("heatnet", RECIPE), ("hrnet", ON_HRNETS_FAMILY)])
def test_an_own_method_or_backbone_trains_saves_loads_exports_and_predicts(
    run, tmp_path: Path, family: str, recipe: str
) -> None:
    draw_stick_figures(tmp_path / "data", 3)
    (tmp_path / "recipe.toml").write_text(recipe)
    run(WHOLE_LIFE, str(tmp_path), str(tmp_path / "data"))
    config = json.loads((tmp_path / "run/models/final/config.json").read_text())
    assert config["network"] == {"family": family, "backbone": {"kind": "strides", "width": 16}}
    folder, onnx = (np.load(tmp_path / f"{name}.npy") for name in ("run_models_final", "heatnet.onnx"))
    assert folder.shape == (1, 17, 3)
    np.testing.assert_allclose(folder[..., :2], onnx[..., :2], atol=1e-2)


OWN_BACKBONE = """
import torch
from everypose.models.build import build_network
from everypose.training.recipe import parse_recipe

def network(family, kind, inference):
    table = {"model": {"family": family, "backbone": {"kind": kind}}, "schedule": {"steps": 1}, "inference": inference}
    recipe = parse_recipe(table)
    return build_network(recipe.model, 17)

crops = {"crop_size": [32, 32]}
print(network("cid", "strides", {}).backbone.channels)
for family, kind in (("hrnet", "strides"), ("hrnet", "steps"), ("mipnet", "steps")):
    maps = network(family, kind, crops).heatmaps(torch.zeros(2, 3, 32, 32))
    print(family, kind, *maps.shape)
print(type(network("posefix", "steps", crops)).__name__)
try:
    network("mipnet", "strides", crops)
except Exception as error:
    print(type(error).__name__, "strides" in str(error))
"""


def test_an_own_backbone_carries_every_published_method_that_it_declares(run) -> None:
    printed = run(OWN_BACKBONE).splitlines()
    assert printed == [
        "16",
        "hrnet strides 2 1 17 8 8",
        "hrnet steps 2 1 17 8 8",
        "mipnet steps 2 2 17 8 8",
        "PoseFix",
        "UsageError True",
    ]


def test_inference_with_an_own_method_installed_imports_no_torch(run) -> None:
    code = "import everypose.inference.loading, sys; print('torch' in sys.modules, 'own_method' in sys.modules)"
    assert run(code).split() == ["False", "True"]


BROKEN = """
import sys, warnings
from pathlib import Path
info = Path(sys.argv[1]) / "broken-1.dist-info"
info.mkdir()
(info / "METADATA").write_text("Metadata-Version: 2.1\\nName: broken\\nVersion: 1\\n")
(info / "entry_points.txt").write_text("[everypose.methods]\\nbroken = no_such_module:METHOD\\n")
sys.path.insert(0, sys.argv[1])
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    from everypose.methods import METHODS
print(len(METHODS), *[str(one.message) for one in found if "everypose.methods" in str(one.message)])
"""


def test_a_broken_package_leaves_everypose_usable(run, tmp_path: Path) -> None:
    printed = run(BROKEN, str(tmp_path))
    # One more than here: that of the example.
    assert printed.startswith(
        f"{len(METHODS) + 1} everypose.methods: 'broken' of broken cannot be loaded: No module named"
    )
