"""A model run by torch: folders of weights and the authors' checkpoints."""

import numpy as np
import numpy.typing as npt
import torch

from everypose.errors import EveryposeError, UsageError
from everypose.inference.runtimes import RawPoses, check_batch
from everypose.models import ModelConfig, ModelFile
from everypose.networks import PoseNetwork, build_graph, load_model
from everypose.released.checkpoints import import_checkpoint


class TorchRuntime:
    """A model's graph in torch.

    Attributes:
        config: the model's configuration.
    """

    def __init__(self, file: ModelFile, threads: int | None = None, device: str = "cpu", flip: bool = False) -> None:
        """Load a folder of ours, or import an authors' checkpoint on the fly.

        Args:
            file: where the model lies; see :func:`everypose.models.resolve`.
            threads: CPU threads; by default torch chooses.
            device: a torch device, such as "cpu", "cuda" or "cuda:1".
            flip: whether to look at the mirrored image, too.

        Raises:
            EveryposeError: when the files are damaged or do not fit.
            UsageError: when there is no such device.
        """
        loaded = import_checkpoint(file.path) if file.kind == "checkpoint" else load_model(file.path)
        self._prepare(*loaded, threads, device, flip)

    @classmethod
    def of(cls, network: PoseNetwork, config: ModelConfig, device: str = "cpu", flip: bool = False) -> "TorchRuntime":
        """Run a network that is in memory, as validation does while training."""
        runtime = cls.__new__(cls)
        runtime._prepare(network, config, None, device, flip)
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

    def run(self, images: npt.NDArray[np.uint8]) -> RawPoses:
        """Find the people in a batch; see :class:`everypose.inference.runtimes.Runtime`."""
        check_batch(images)
        try:
            with torch.inference_mode():
                found = self._graph(torch.from_numpy(images).to(self._device), self._mirrored)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise EveryposeError(f"{self.config.name} failed on images of shape {images.shape}: {reason}") from error
        keypoints, scores, image_index = (value.cpu().numpy() for value in found)
        return keypoints, scores, image_index
