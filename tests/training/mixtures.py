"""Mixtures made of the stick figures: COCO's 17 keypoints, and those that CrowdPose and MPII share with them."""

import json
from pathlib import Path

import numpy as np

from everypose.skeleton.matching import conversion
from everypose.skeleton.skeleton import Skeleton
from everypose.training.run import Machines

ONE = Machines(1)
STILL = "{scale = 0, rotation = 0, flip = 0, half_body = 0, shift = 0}"
TINY = """
name = "tiny"
[model]
family = "posebh"
embedding = 8
channels = 8
[model.backbone]
kind = "vit"
width = 12
depth = 2
heads = 2
drop_path = 0
image_size = [48, 64]
expert_part = 4
[data]
workers = 0
[inference]
crop_size = [48, 64]
[optim]
lr = 1e-3
layer_decay = 0.75
weight_decay = 0.1
clip = 1.0
[phases]
prototypes_until = 2
heads_from = 2
backbone_from = 3
cross_type_from = 2
[schedule]
epochs = 4
kind = "multistep"
warmup_steps = 2
[trainer]
batch = 4
log_steps = 1
"""
SETS = (
    ("coco", "coco", "udp"),
    ("crowdpose", "crowdpose", "classic"),
    ("mpii", "mpii", "udp"),
)


def write_sets(figures: Path, folder: Path) -> None:
    """Write ``NAME.json`` for each set: the same pictures with another skeleton's keypoints, where COCO has them."""
    content = json.loads((figures / "train.json").read_text())
    source = Skeleton.named("coco")
    for name, skeleton_name, _ in SETS:
        skeleton = Skeleton.named(skeleton_name)
        mapped = conversion(source, skeleton)
        annotations = []
        for entry in content["annotations"]:
            keypoints = mapped.apply(np.reshape(entry["keypoints"], (1, -1, 3)))[0]
            labeled = int((keypoints[:, 2] > 0).sum())
            annotations.append(entry | {"keypoints": keypoints.ravel().tolist(), "num_keypoints": labeled})
        category = {"id": 1, "name": "person", "keypoints": list(skeleton.keypoints), "skeleton": []}
        text = json.dumps(content | {"annotations": annotations, "categories": [category]})
        (folder / f"{name}.json").write_text(text)


def set_tables(figures: Path, validated: bool = False) -> str:
    """The TOML of the mixture's sets."""
    lines = []
    for name, skeleton, convention in SETS:
        source = f'[{{annotations = "{name}.json", images = {json.dumps(str(figures / "images"))}}}]'
        lines += ["[[data.sets]]", f'name = "{name}"', f"train = {source}"]
        lines += [f'skeleton = "{skeleton}"', f'convention = "{convention}"']
        lines += [f"val = {source}"] if validated else []
    return "\n".join(lines) + "\n"


def sources(file, figures):
    """A list of one source, as TOML."""
    return f"[{{annotations = {json.dumps(str(file))}, images = {json.dumps(str(figures / 'images'))}}}]"
