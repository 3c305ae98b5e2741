"""ViTPose as transformers stores it, made without transformers: tensors under its names, and the configuration."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

HEADS = {384: 12, 768: 12, 1024: 16, 1280: 16}


@dataclass(frozen=True)
class Layout:
    """Sizes of a network; ``part`` outputs of each of ``experts`` experts."""

    width: int = 384
    depth: int = 1
    experts: int = 0
    part: int = 0
    simple: bool = False
    keypoints: int = 17
    image_size: tuple[int, int] = (192, 256)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        width, tokens = self.width, self.image_size[0] * self.image_size[1] // 256
        shapes = {
            "backbone.embeddings.position_embeddings": (1, tokens + 1, width),
            "backbone.embeddings.patch_embeddings.projection.weight": (width, 3, 16, 16),
            "backbone.embeddings.patch_embeddings.projection.bias": (width,),
        }
        for index in range(self.depth):
            layer = f"backbone.encoder.layer.{index}."
            linear = {f"attention.attention.{part}": (width, width) for part in ("query", "key", "value")}
            linear |= {"attention.output.dense": (width, width), "mlp.fc1": (4 * width, width)}
            linear |= {"mlp.fc2": (width - self.part, 4 * width)}
            linear |= {f"mlp.experts.{expert}": (self.part, 4 * width) for expert in range(self.experts)}
            for name, shape in linear.items():
                shapes |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
            for name in ("layernorm_before", "layernorm_after"):
                shapes |= {f"{layer}{name}.weight": (width,), f"{layer}{name}.bias": (width,)}
        shapes |= {"backbone.layernorm.weight": (width,), "backbone.layernorm.bias": (width,)}
        if self.simple:
            return shapes | {"head.conv.weight": (self.keypoints, width, 3, 3), "head.conv.bias": (self.keypoints,)}
        for index, inputs in ((1, width), (2, 256)):
            shapes[f"head.deconv{index}.weight"] = (inputs, 256, 4, 4)
            for name in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"head.batchnorm{index}.{name}"] = (256,)
            shapes[f"head.batchnorm{index}.num_batches_tracked"] = ()
        return shapes | {"head.conv.weight": (self.keypoints, 256, 1, 1), "head.conv.bias": (self.keypoints,)}

    def state(self, seed: int = 0) -> dict[str, Tensor]:
        """Random tensors, the same on every machine; the heatmaps of a random image lie within a few units of 0."""
        return {name: _tensor(name, shape, seed) for name, shape in self.shapes().items()}

    def config(self) -> dict[str, object]:
        """What transformers' config.json holds of it."""
        backbone = {
            "model_type": "vitpose_backbone",
            "hidden_size": self.width,
            "num_hidden_layers": self.depth,
            "num_attention_heads": HEADS[self.width],
            "num_experts": self.experts or 1,
            "part_features": self.part,
            "image_size": [self.image_size[1], self.image_size[0]],
            "patch_size": [16, 16],
            "out_indices": [self.depth],
        }
        return {
            "architectures": ["VitPoseForPoseEstimation"],
            "model_type": "vitpose",
            "backbone_config": backbone,
            "use_simple_decoder": self.simple,
            "id2label": {str(index): f"point {index}" for index in range(self.keypoints)},
        }

    def write(self, folder: Path, seed: int = 0) -> Path:
        """Write the folder as transformers does."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config()))
        save_file(self.state(seed), folder / "model.safetensors", metadata={"format": "pt"})
        return folder


def _tensor(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    if not shape:
        return torch.tensor(0)
    rng = np.random.default_rng([seed, *name.encode()])
    if name.endswith(("running_var", "norm.weight", "before.weight", "after.weight")) or (
        "batchnorm" in name and name.endswith("weight")
    ):
        values = rng.uniform(0.5, 1.5, shape)
    else:
        inputs = np.prod(shape[1:]) if len(shape) > 1 else 100
        values = rng.standard_normal(shape) / np.sqrt(inputs)
    return torch.from_numpy(values.astype(np.float32))
