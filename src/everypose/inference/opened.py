"""An open model: what runs it, and its configuration."""

from dataclasses import dataclass, replace

from everypose.errors import UsageError
from everypose.inference.fixed_input import FixedInputEstimator
from everypose.inference.runtimes.protocols import CropRuntime, Runtime
from everypose.inference.single_stage import LARGEST_SIZE, SingleStageEstimator
from everypose.methods.single_stage.settings import SMALLEST_SIDE
from everypose.models.config import ModelConfig


@dataclass(frozen=True)
class ImageModel:
    """An open model that finds the people of whole images by itself.

    Attributes:
        runtime: what runs it.
        config: its configuration.

    >>> from everypose.inference.runtimes.onnx import OnnxRuntime
    >>> from everypose.models.locate import bundled
    >>> runtime = OnnxRuntime.open(bundled("boir-lite.onnx"), threads=1)
    >>> ImageModel(runtime, runtime.config).at_size(512).estimator(min_score=0.4).min_score
    0.4
    """

    runtime: Runtime
    config: ModelConfig

    def at_size(self, size: int) -> "ImageModel":
        """Return the model with another short side of its input, in pixels.

        Raises:
            UsageError: if it has only one size, or cannot have this one.
        """
        if self.config.has_fixed_input:
            width, height = self.config.on_fixed_input.input_size
            raise UsageError(f"{self.config.name} takes images of {width} x {height} pixels: it has no other size")
        step = self.config.on_images.step
        if not SMALLEST_SIDE <= size <= LARGEST_SIZE or size % step:
            raise UsageError(
                f"a size of {size} pixels is not possible: give a multiple of {step} from {SMALLEST_SIDE} to "
                f"{LARGEST_SIZE}"
            )
        settings = self.config.on_images.model_copy(update={"size": size})
        return replace(self, config=self.config.model_copy(update={"inference": settings}))

    def estimator(
        self, min_score: float | None = None, batch_size: int = 1, runs_at_once: int = 1
    ) -> SingleStageEstimator | FixedInputEstimator:
        """Return the estimator that finds people by this model; arguments as in the estimators."""
        if self.config.has_fixed_input:
            return FixedInputEstimator(self.runtime, self.config, min_score, batch_size)
        return SingleStageEstimator(self.runtime, self.config, min_score, batch_size, runs_at_once=runs_at_once)


@dataclass(frozen=True)
class CropModel:
    """An open top-down model, which finds the people of crops around boxes.

    Attributes:
        runtime: what runs it.
        config: its configuration.

    >>> from everypose.inference.runtimes.onnx import OnnxCropRuntime
    >>> from everypose.models.locate import bundled
    >>> runtime = OnnxCropRuntime.open(bundled("mipnet-lite.onnx"), threads=1)
    >>> CropModel(runtime, runtime.config).config.is_top_down
    True
    """

    runtime: CropRuntime
    config: ModelConfig
