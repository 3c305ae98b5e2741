"""Training samples with the outputs of the frozen trunk, computed once for all networks and seeds.

The trunk of ``boir-lite-start`` is frozen, so that it gives the same maps for the same sample in every network. They
are stored in float16 in one file, which is mapped into memory.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from everypose.backbones.normalization import normalize
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.core.files import read_json, write_json
from everypose.core.progress import track
from everypose.methods.single_stage.samples import ImageBatch, ImageSample
from everypose.training.recipe import SingleStageRecipe
from everypose.training.tasks.single_stage import SingleStageTask

Maps = tuple[Tensor, Tensor]
"""Feature at stride 4 (B, 128, h, w), fields and heatmaps at stride 8 (B, 185, h / 2, w / 2)."""
CHANNELS = (128, 185)
CONTENT_FILE = "pool.json"


class StoredTrunk(nn.Module):
    """Returns stored maps instead of computing them.

    Attributes:
        maps: of the batch that comes next.
    """

    maps: Maps

    def forward(self, _images: Tensor) -> Maps:
        """The stored maps, whatever the images."""
        return self.maps


class SamplePool:
    """The first samples of a recipe's stream, and their trunk maps.

    Args:
        recipe: of any network on this trunk; its seed determines the samples.
        count: how many samples.
        folder: where the maps are stored; those of an earlier call with the same data are used.
        trunk: the frozen trunk.
    """

    def __init__(self, recipe: SingleStageRecipe, count: int, folder: Path, trunk: nn.Module) -> None:
        self.task = SingleStageTask(recipe)
        self.samples: list[ImageSample] = []
        side = recipe.data.size
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "count": count,
            "data": recipe.data.model_dump(mode="json"),
            "seed": recipe.trainer.seed,
            "trunk": recipe.start.backbone,
        }
        stored = (folder / CONTENT_FILE).exists() and read_json(folder / CONTENT_FILE) == content
        shapes = [(count, CHANNELS[0], side // 4, side // 4), (count, CHANNELS[1], side // 8, side // 8)]
        self._files = [
            np.memmap(folder / f"maps-{number}.f16", np.float16, "r+" if stored else "w+", shape=shape)
            for number, shape in enumerate(shapes)
        ]
        blank = np.broadcast_to(np.zeros(1, np.uint8), (side, side, 3))
        with torch.inference_mode():
            for position in track(range(count), "trunk maps", total=count):
                sample = self.task.samples[position][1]
                if not stored:
                    image = normalize(torch.from_numpy(sample.image)[None], OpenPoseLight.normalization)
                    for file, maps in zip(self._files, trunk(image), strict=True):
                        file[position] = maps[0].to(torch.float16).numpy()
                # Only the trunk takes the image.
                self.samples.append(replace(sample, image=blank))
        write_json(folder / CONTENT_FILE, content)

    def batch(self, positions: Sequence[int]) -> tuple[ImageBatch[Tensor], Maps]:
        """Join samples to a batch, and their maps."""
        batch = self.task.samples.collate([(position, self.samples[position]) for position in positions])
        feature, coarse = (torch.from_numpy(file[list(positions)]).float() for file in self._files)
        return batch, (feature, coarse)
