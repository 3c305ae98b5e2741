"""A model run by torch: folders of weights and the authors' checkpoints."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from everypose.errors import EveryposeError, UsageError
from everypose.inference.runtimes.onnx import RawPoses, check_batch, check_crops
from everypose.models.build import PoseNetwork, build_graph
from everypose.models.config import ModelConfig
from everypose.models.import_checkpoint import import_checkpoint
from everypose.models.locate import ModelFile
from everypose.models.skeleton_choice import select_skeleton
from everypose.models.storage import load_model


def read_network(file: ModelFile, skeleton: str | None = None) -> tuple[PoseNetwork, ModelConfig]:
    """Load a folder of ours, or import an authors' checkpoint on the fly.

    Args:
        file: where the model lies.
        skeleton: which of a PoseBH's; see :func:`everypose.models.skeleton_choice.select_skeleton`.

    Raises:
        EveryposeError: when the files are damaged or do not fit.
        UsageError: when the model has no such skeleton.
    """
    return select_skeleton(*read_whole_network(file), skeleton)


def read_whole_network(file: ModelFile) -> tuple[PoseNetwork, ModelConfig]:
    """The same with all data sets of a PoseBH."""
    return import_checkpoint(file.path) if file.kind == "checkpoint" else load_model(file.path)


class TorchModel:
    """A model's graph in torch, made by `of`: what both kinds of model share.

    Attributes:
        config: the model's configuration.
    """

    @classmethod
    def of(
        cls, network: PoseNetwork, config: ModelConfig, device: str = "cpu", flip: bool = False,
        threads: int | None = None,
    ) -> Self:  # fmt: skip
        """Run a network that is in memory, as validation does while training.

        Args:
            network: the network.
            config: its configuration.
            device: a torch device, such as "cpu", "cuda" or "cuda:1".
            flip: whether to look at the mirrored image, too.
            threads: CPU threads; by default torch chooses.

        Raises:
            UsageError: when there is no such device.
        """
        runtime = cls.__new__(cls)
        runtime._prepare(network, config, threads, device, flip)
        return runtime

    def _prepare(self, network: PoseNetwork, config: ModelConfig, threads: int | None, device: str, flip: bool) -> None:
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

    def _run(self, images: npt.NDArray[np.uint8], *more: torch.Tensor) -> Any:
        """What the graph gives: a tensor, or several."""
        try:
            with torch.inference_mode():
                found = self._graph(torch.from_numpy(images).to(self._device), self._mirrored, *more)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise EveryposeError(f"{self.config.name} failed on images of shape {images.shape}: {reason}") from error
        return found


class TorchRuntime(TorchModel):
    """A single-stage model in torch."""

    def run(self, images: npt.NDArray[np.uint8], min_score: float = 0.0) -> RawPoses:
        """Find the people in a batch; see :class:`everypose.inference.runtimes.onnx.Runtime`."""
        check_batch(images, self.config.on_images.step)
        found = self._run(images, torch.tensor(min_score, dtype=torch.float32, device=self._device))
        keypoints, scores, image_index = (value.cpu().numpy() for value in found)
        return keypoints, scores, image_index


class TorchCropRuntime(TorchModel):
    """A top-down model in torch."""

    def run(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Find the people of a batch of crops; see :class:`everypose.inference.runtimes.onnx.CropRuntime`."""
        check_crops(crops)
        keypoints: npt.NDArray[np.float32] = self._run(crops).cpu().numpy()
        return keypoints
