"""A model run by torch: model folders and released checkpoints."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from everypose.core.arrays import Float32, Mask
from everypose.errors import EveryposeError, UsageError
from everypose.inference.runtimes.input_checks import check_batch, check_crops
from everypose.inference.runtimes.protocols import RawPoses
from everypose.models.build import build_graph
from everypose.models.config import ModelConfig
from everypose.models.import_checkpoint import import_checkpoint
from everypose.models.locate import ModelFile
from everypose.models.skeleton_choice import select_skeleton
from everypose.models.storage import load_model


def read_network(file: ModelFile, skeleton: str | None = None) -> tuple[nn.Module, ModelConfig]:
    """Load a model folder, or import a released checkpoint.

    Args:
        file: where the model is.
        skeleton: which one of a model with several; see :func:`everypose.models.skeleton_choice.select_skeleton`.

    Raises:
        EveryposeError: if the files are damaged or do not fit.
        UsageError: if the model has no such skeleton.

    >>> from pathlib import Path
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.build import build_network
    >>> from everypose.models.storage import save_model
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = CIDSettings(backbone=backbone, instance=4)
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"))
    >>> saved = save_model(build_network(settings, 17), config, Path("small"))
    >>> network, config = read_network(ModelFile("folder", Path("small")))
    >>> type(network).__name__, config.name
    ('CID', 'small')
    """
    return select_skeleton(*read_whole_network(file), skeleton)


def read_whole_network(file: ModelFile) -> tuple[nn.Module, ModelConfig]:
    """Load a model folder, or import a released checkpoint, with all its skeletons.

    >>> from pathlib import Path
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.build import build_network
    >>> from everypose.models.storage import save_model
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = CIDSettings(backbone=backbone, instance=4)
    >>> config = ModelConfig(name="whole", network=settings, skeleton=Skeleton.named("coco"))
    >>> saved = save_model(build_network(settings, 17), config, Path("whole"))
    >>> read_whole_network(ModelFile("folder", Path("whole")))[1].name
    'whole'
    """
    return import_checkpoint(file.path) if file.kind == "checkpoint" else load_model(file.path)


def fastest_device() -> str:
    """The first GPU, or the CPU where torch can use none.

    >>> fastest_device() in ("cuda", "cpu")
    True
    """
    return "cuda" if torch.cuda.is_available() else "cpu"


class _TorchModel:
    """A model's graph in torch: what both kinds of model share.

    Attributes:
        config: the model's configuration.
    """

    def __init__(
        self,
        network: nn.Module,
        config: ModelConfig,
        *,
        device: str = "cpu",
        flip: bool = False,
        threads: int | None = None,
    ) -> None:
        """Put the graph around a network that is in memory.

        Args:
            network: the network.
            config: its configuration.
            device: a torch device, such as "cpu", "cuda" or "cuda:1".
            flip: whether to use test-time flip augmentation.
            threads: CPU threads of torch, for the whole process; by default torch chooses.

        Raises:
            UsageError: if the device cannot be used.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self.config = config
        try:
            self._device = torch.device(device)
            self._graph = build_graph(network, config).to(self._device)
            for weight in (weight for weight in self._graph.parameters() if weight.dim() == 4):
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
            self._mirrored = torch.zeros(int(flip), device=self._device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"torch cannot use the device {device!r} here: {reason}") from error

    def _run(self, images: npt.NDArray[np.uint8], **more: torch.Tensor) -> tuple[npt.NDArray[np.generic], ...]:
        """Run the graph; returns its outputs."""
        try:
            with torch.inference_mode():
                found = self._graph(torch.from_numpy(images).to(self._device), mirrored=self._mirrored, **more)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise EveryposeError(f"{self.config.name} failed on images of shape {images.shape}: {reason}") from error
        outputs = found if isinstance(found, tuple) else (found,)
        return tuple(value.cpu().numpy() for value in outputs)


class TorchRuntime(_TorchModel):
    """A single-stage model in torch.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.build import build_network
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = CIDSettings(backbone=backbone, instance=4)
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"))
    >>> runtime = TorchRuntime(build_network(settings, 17).eval(), config)
    >>> keypoints, scores, image_index = runtime.run(np.zeros((1, 64, 64, 3), np.uint8), min_score=0.9)
    >>> keypoints.shape  # an untrained network finds no people
    (0, 17, 3)
    """

    def run(self, images: npt.NDArray[np.uint8], min_score: float = 0.0) -> RawPoses:
        """Find the people in a batch; see :class:`everypose.inference.runtimes.protocols.Runtime`."""
        check_batch(images, self.config.on_images.step)
        least = torch.tensor(min_score, dtype=torch.float32, device=self._device)
        keypoints, scores, image_index = self._run(images, min_score=least)
        return np.asarray(keypoints, np.float32), np.asarray(scores, np.float32), np.asarray(image_index, np.int64)


class TorchCropRuntime(_TorchModel):
    """A top-down model in torch.

    >>> from everypose.methods.top_down.settings import HRNetPoseSettings, TopDownInference
    >>> from everypose.models.build import build_network
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings, inference = HRNetPoseSettings(backbone=backbone), TopDownInference(crop_size=(64, 64))
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    >>> TorchCropRuntime(build_network(settings, 17).eval(), config).run(np.zeros((2, 64, 64, 3), np.uint8)).shape
    (2, 1, 17, 3)
    """

    def run(self, crops: npt.NDArray[np.uint8], with_others: Mask | None = None) -> Float32:  # noqa: ARG002
        """Find all people of a batch of crops; see :class:`everypose.inference.runtimes.protocols.CropRuntime`."""
        check_crops(crops)
        return np.asarray(self._run(crops)[0], np.float32)


class TorchRefinementRuntime(_TorchModel):
    """A refinement model in torch.

    >>> from everypose.methods.posefix.settings import PoseFixSettings, RefinementInference
    >>> from everypose.models.build import build_network
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> settings = PoseFixSettings(backbone={"kind": "resnet", "blocks": (1, 1, 1, 1)}, deconv=8)
    >>> inference = RefinementInference(crop_size=(64, 64))
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    >>> runtime = TorchRefinementRuntime(build_network(settings, 17).eval(), config)
    >>> runtime.run(np.zeros((1, 64, 64, 3), np.uint8), np.full((1, 17, 3), 32.0, np.float32)).shape
    (1, 17, 2)
    """

    def run(self, crops: npt.NDArray[np.uint8], poses: Float32) -> Float32:
        """Refine one pose in each crop; see :class:`everypose.inference.runtimes.protocols.RefinementRuntime`."""
        check_crops(crops)
        given = torch.from_numpy(poses).to(self._device)
        return np.asarray(self._run(crops, poses=given)[0], np.float32)
