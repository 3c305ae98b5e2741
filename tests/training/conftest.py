import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.skeleton.skeleton import Skeleton
from everypose.training.recipe import Recipe, parse_recipe
from everypose.training.recipe_files import load_recipe
from training import crop_recipes, mixtures

IMAGE_SIZE = 128
# x, y in units of the figure's height, in the order of COCO's keypoints.
FIGURE = np.array(
    [
        [0.0, 0.05], [0.02, 0.03], [-0.02, 0.03], [0.05, 0.04], [-0.05, 0.04],
        [0.12, 0.2], [-0.12, 0.2], [0.18, 0.37], [-0.18, 0.37], [0.2, 0.52], [-0.2, 0.52],
        [0.08, 0.53], [-0.08, 0.53], [0.1, 0.75], [-0.1, 0.75], [0.1, 0.97], [-0.1, 0.97],
    ]
)  # fmt: skip


def draw_stick_figures(folder: Path, images: int, seed: int = 0) -> None:
    """Write ``train.json``, ``images/`` and ``val.json`` (the same) with one to three stick figures on noise each."""
    rng = np.random.default_rng(seed)
    skeleton = Skeleton.named("coco")
    (folder / "images").mkdir(parents=True)
    content = {"images": [], "annotations": []}
    for image_id in range(1, images + 1):
        image = rng.integers(0, 60, (IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        for _ in range(rng.integers(1, 4)):
            height = rng.uniform(60, 100)
            points = FIGURE * height + rng.uniform([25, 5], [IMAGE_SIZE - 25, IMAGE_SIZE - height - 2])
            for start, end in skeleton.links:
                line = [tuple(round(value) for value in points[joint].tolist()) for joint in (start, end)]
                cv2.line(image, *line, rng.integers(100, 255, 3).tolist(), 3, cv2.LINE_AA)
            low, high = points.min(axis=0) - 3, points.max(axis=0) + 3
            box = [*low.tolist(), *(high - low).tolist()]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0,
                    "bbox": box, "area": 0.5 * box[2] * box[3], "num_keypoints": 17,
                    "keypoints": np.c_[points, np.full(17, 2)].ravel().tolist(),
                }
            )  # fmt: skip
        name = f"{image_id:06}.png"
        cv2.imwrite(str(folder / "images" / name), image)
        content["images"].append({"id": image_id, "file_name": name, "width": IMAGE_SIZE, "height": IMAGE_SIZE})
    links = [[start + 1, end + 1] for start, end in skeleton.links]
    content["categories"] = [{"id": 1, "name": "person", "keypoints": list(skeleton.keypoints), "skeleton": links}]
    for name in ("train.json", "val.json"):
        (folder / name).write_text(json.dumps(content))


TINY = """
name = "tiny"
[model]
family = "boir"
instance = 4
neck_branch = 4
neck = 4
head = 4
embedding = 4
[model.backbone]
kind = "hrnet"
width = 4
modules = [1, 1, 1]
blocks = 1
stem_blocks = 1
[data]
size = 64
minimum_area = 0
workers = 0
train = [{annotations = "train.json", images = "images"}]
val_split = ""
[inference]
size = 64
[schedule]
steps = 8
warmup_epochs = 0.5
[trainer]
batch = 2
log_steps = 1
"""


@pytest.fixture(scope="session")
def figures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    draw_stick_figures(folder, 5)
    return folder


@pytest.fixture
def tiny(tmp_path, figures):
    """Makes the tiny recipe on the stick figures, with overrides."""

    def make(*overrides: str) -> Recipe:
        path = tmp_path / "tiny.toml"
        path.write_text(TINY)
        return load_recipe(path, [f"data.root={json.dumps(str(figures))}", *overrides])

    return make


@pytest.fixture
def crops(tmp_path, figures):
    """Makes the tiny recipe of a network on crops of the stick figures, with overrides."""

    def make(*overrides: str) -> Recipe:
        path = tmp_path / "crops.toml"
        path.write_text(crop_recipes.TINY)
        return load_recipe(path, [f"data.root={json.dumps(str(figures))}", *overrides])

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory, figures):
    folder = tmp_path_factory.mktemp("mixture")
    mixtures.write_sets(figures, folder)
    return folder


@pytest.fixture
def mixture(tmp_path, folder, figures):
    """Makes the tiny recipe on three sets of the stick figures, with overrides."""

    def make(*overrides: str, tables: str | None = None, validated: bool = False) -> Recipe:
        path = tmp_path / "mixture.toml"
        path.write_text(mixtures.TINY + (mixtures.set_tables(figures, validated) if tables is None else tables))
        return load_recipe(path, [f"data.root={json.dumps(str(folder))}", *overrides])

    return make


@pytest.fixture
def plus_plus(mixture):
    """The same for ViTPose++: no embeddings, and everything learns all the time."""

    def make(*overrides: str, **kinds) -> Recipe:
        recipe = mixture(*overrides, **kinds)
        table = recipe.model_dump(mode="json", exclude_unset=True)
        table["phases"] = {"heads_from": 0, "backbone_from": 0}
        table["model"]["embedding"] = 0
        return parse_recipe(table)

    return make


@pytest.fixture
def losses_of():
    """Reads each step's line of a run's log, by step."""

    def read(run: Path) -> dict[int, dict[str, float]]:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return {line["step"]: line for line in lines if "loss/total" in line}

    return read
