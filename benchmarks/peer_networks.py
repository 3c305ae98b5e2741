"""Networks of the comparison with transformers and rtmlib: ViTPose-B and one shaped like RTMPose-m."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from everypose.core.arrays import Image

PIXELS = (192, 256)
RIDGE = 1e-3


@dataclass(frozen=True)
class VitSize:
    """Sizes of a ViTPose of transformers; ``part`` outputs of each of ``experts`` experts, 0 without experts."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    experts: int = 0
    part: int = 0
    simple: bool = False

    def config(self) -> transformers.VitPoseConfig:
        """Return its configuration, for crops of 192 x 256 pixels."""
        experts = {"num_experts": self.experts, "part_features": self.part} if self.experts else {}
        backbone = transformers.VitPoseBackboneConfig(
            hidden_size=self.width, num_hidden_layers=self.depth, num_attention_heads=self.heads,
            image_size=[256, 192], out_indices=[self.depth], **experts,
        )  # fmt: skip
        return transformers.VitPoseConfig(backbone_config=backbone, use_simple_decoder=self.simple, num_labels=17)

    def first_expert(self, crops: int) -> dict[str, Tensor]:
        """Return what chooses the expert of COCO for each crop; nothing without experts."""
        return {"dataset_index": torch.zeros(crops, dtype=torch.long)} if self.experts else {}


def write_vitpose(folder: Path, image: Image, boxes: np.ndarray, size: VitSize | None = None) -> Path:
    """Write a ViTPose in transformers' form, its last layer fitted to give each keypoint one peak in the given crops.

    Args:
        folder: where to write.
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) x1 y1 x2 y2, of the crops.
        size: its sizes; by default those of ViTPose-B.
    """
    size = size or VitSize()
    torch.manual_seed(0)
    model = transformers.VitPoseForPoseEstimation(size.config()).eval()
    # transformers' initial position embeddings are too small for heatmaps that depend on the place.
    nn.init.normal_(model.backbone.embeddings.position_embeddings)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    inputs = transformers.VitPoseImageProcessorPil()(image, boxes=[xywh], return_tensors="pt")
    seen: list[Tensor] = []
    hook = model.head.conv.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(**inputs, **size.first_expert(len(boxes)))
        hook.remove()
        fit(model.head.conv, seen[0], peaks(*seen[0].shape[2:]))
    model.save_pretrained(folder)
    return folder


def peaks(height: int, width: int) -> Tensor:
    """Gaussian heatmaps (17, h, w) of a standing person's keypoints, at the same places of every crop."""
    y = torch.linspace(0.12, 0.92, 17) * height
    x = width * (0.5 + 0.2 * torch.cos(torch.arange(17) * 2.4))
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    squared = (rows - y[:, None, None]) ** 2 + (columns - x[:, None, None]) ** 2
    return torch.exp(-squared / (2 * 2.0**2))


def fit(layer: nn.Conv2d, features: Tensor, targets: Tensor) -> None:
    """Set a convolution so that features (B, D, h, w) give the same targets (K, h, w) for every crop, nearly.

    A larger kernel than 1x1 is a fitted 1x1 kernel of features that a random one, the same for all keypoints, mixes.
    """
    channels = features.shape[1]
    mixing = torch.rand(channels, 1, *layer.kernel_size)
    mixing /= mixing.sum((2, 3), keepdim=True)
    features = F.conv2d(features, mixing, padding=layer.padding, groups=channels)
    columns = features.movedim(1, -1).flatten(0, -2).double()
    columns = torch.cat([columns, torch.ones(len(columns), 1, dtype=torch.float64)], dim=1)
    wanted = targets.flatten(1).T.repeat(len(features), 1).double()
    gram = columns.T @ columns
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    weights = torch.linalg.solve(gram, columns.T @ wanted)
    # Peaks of 1, so that people are confident: the fit alone flattens them.
    weights = (weights / (columns @ weights).amax(0)).float()
    layer.weight.copy_(weights[:-1].T[:, :, None, None] * mixing[:, 0])
    assert layer.bias is not None
    layer.bias.copy_(weights[-1])


def layer(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, batch normalization and SiLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.SiLU())


class Block(nn.Module):
    """A residual block of CSPNeXt: a 3x3 convolution, then a depthwise 5x5 and a pointwise one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        parts = layer(channels, channels, 3), layer(channels, channels, 5, groups=channels), layer(channels, channels)
        self.layers = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, h, w) to the same shape."""
        y: Tensor = x + self.layers(x)
        return y


class Stage(nn.Module):
    """A stage of CSPNeXt: blocks on half of the channels, at half of the resolution."""

    def __init__(self, inputs: int, outputs: int, blocks: int) -> None:
        super().__init__()
        half = outputs // 2
        self.down = layer(inputs, outputs, 3, stride=2)
        self.long = nn.Sequential(layer(outputs, half), *(Block(half) for _ in range(blocks)))
        self.short = layer(outputs, half)
        self.join = layer(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, h, w) to (B, D', h / 2, w / 2)."""
        x = self.down(x)
        y: Tensor = self.join(torch.cat([self.long(x), self.short(x)], dim=1))
        return y


class RTMPoseShaped(nn.Module):
    """A network of RTMPose-m's input, outputs and strides, and of about its FLOPs."""

    def __init__(self) -> None:
        super().__init__()
        stem = layer(3, 24, 3, stride=2), layer(24, 24, 3), layer(24, 48, 3)
        stages = Stage(48, 96, 2), Stage(96, 192, 4), Stage(192, 384, 4), Stage(384, 768, 2)
        self.backbone = nn.Sequential(*stem, *stages)
        self.keypoints = nn.Conv2d(768, 17, 7, padding=3)
        self.tokens = nn.Linear(PIXELS[0] * PIXELS[1] // 32**2, 256)
        self.x, self.y = nn.Linear(256, 2 * PIXELS[0]), nn.Linear(256, 2 * PIXELS[1])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 256, 192) to scores of x (B, 17, 384) and of y (B, 17, 512)."""
        tokens = self.tokens(self.keypoints(self.backbone(images)).flatten(2))
        return self.x(tokens), self.y(tokens)

    def write(self, path: Path) -> None:
        """Write the ONNX file, for any number of crops."""
        names = "input", "simcc_x", "simcc_y"
        torch.onnx.export(
            self,
            (torch.zeros(1, 3, PIXELS[1], PIXELS[0]),),
            str(path),
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "batch"} for name in names},
            dynamo=False,
        )
        model = onnx.load(path)
        for output, length in zip(model.graph.output, (2 * PIXELS[0], 2 * PIXELS[1]), strict=True):
            # Tracing leaves these sizes open; RTMPose's releases state them.
            _, keypoints, scores = output.type.tensor_type.shape.dim
            keypoints.dim_value, scores.dim_value = 17, length
        onnx.save(model, path)
