"""Settings that single-stage methods share: the input, the training samples, and how a model is run on an image."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, field_validator, model_validator

from everypose.backbones.settings import BackboneSettings, HRNetSettings, SingleStageBackbone
from everypose.core.settings import Count, Probability, Settings
from everypose.methods.method import InferenceSettings, NetworkSettings, Task

SMALLEST_SIDE, LARGEST_SIDE = 64, 4096
"""Smallest side of a single-stage model's input, in pixels: its maps must hold the tiles of a coarse search."""
RELEASED_DIVISOR = 20
"""What the released training code of BoIR and CID divides losses by: the images of one of its processes."""
Step = Literal[16, 32, 64]
"""The sides of a single-stage model's input are multiples of this many pixels."""


class SingleStageNetworkSettings(NetworkSettings):
    """Base of the settings of a network that takes whole images.

    Attributes:
        backbone: makes a feature at stride 4.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> issubclass(CIDSettings, SingleStageNetworkSettings), CIDSettings().task
    (True, 'single-stage')
    """

    task: ClassVar[Task] = "single-stage"
    backbone: SingleStageBackbone = HRNetSettings()


class ImageAugmentation(Settings):
    """Ranges of the random augmentation of whole images; the defaults are those of BoIR and CID.

    Attributes:
        scale: smallest and largest side of the sampled region, as a factor of the image's short side.
        rotation: largest rotation to either side, in degrees.
        translation: largest translation to either side, in pixels of a 200-pixel region; scales with the region.
        flip: probability of a mirrored sample.
        brightness: largest change, as a share of the whole range; 0 is off.
        contrast: largest change of the contrast factor from 1; 0 is off.
        saturation: largest change of the saturation factor from 1; 0 is off.

    >>> ImageAugmentation(rotation=0).scale
    (0.75, 1.5)
    """

    scale: tuple[float, float] = (0.75, 1.5)
    rotation: NonNegativeFloat = 30.0
    translation: Count = 40
    flip: Probability = 0.5
    brightness: Probability = 0.0
    contrast: Probability = 0.0
    saturation: Probability = 0.0


class ImageSampleSettings(Settings):
    """How an image becomes a training sample.

    Attributes:
        size: side of the square input, in pixels; a multiple of 64.
        minimum_area: people with a smaller box, in square input pixels, are not instances to decode; 0 on CrowdPose.
        mask_unlabeled: whether people without keypoints are masked out (COCO's rule) or treated as background.
        exact_flip: whether the targets of a mirrored sample match its image; in the released code they lie 3 pixels
            to the left.
        augmentation: ranges of the random augmentation.

    >>> ImageSampleSettings(size=256).minimum_area
    1024.0
    """

    size: Annotated[int, Field(ge=1, le=LARGEST_SIDE)] = 512
    minimum_area: NonNegativeFloat = 1024.0
    mask_unlabeled: bool = True
    exact_flip: bool = False
    augmentation: ImageAugmentation = ImageAugmentation()

    @model_validator(mode="after")
    def _size_fits_the_network(self) -> Self:
        if self.size % 64:
            raise ValueError(f"size must be a multiple of 64, not {self.size}")
        return self


class SingleStageInference(InferenceSettings):
    """How a single-stage model is run on an image.

    Attributes:
        size: short side of the network's input, in pixels.
        step: both sides of the input are multiples of this many pixels. The published inference uses twice what
            HRNet's deepest branch needs.
        pool: window of the average pooling that smooths the heatmaps, in output pixels; odd.
        nms: of two poses with a higher OKS than this, the one with the lower score is suppressed.
        min_score: people with a lower score are not reported.
        decoder: sub-pixel refinement of a peak, see :func:`everypose.methods.single_stage.decoding.decode`.
        scoring: which keypoints count for a person's score, see
            :func:`everypose.methods.single_stage.decoding.keypoint_score_factor`.
        search: ``full`` decodes full-resolution heatmaps; ``coarse`` decodes every second pixel and refines the peaks.

    >>> SingleStageInference(size=384).min_score
    0.05
    """

    tasks: ClassVar[tuple[Task, ...]] = ("single-stage",)
    example: ClassVar[str] = "size = PIXELS"
    size: Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)] = 512
    step: Step = 64
    pool: Annotated[int, Field(ge=1, le=99)] = 3
    nms: Annotated[float, Field(gt=0, le=1)] = 0.8
    min_score: Probability = 0.05
    decoder: Literal["quarter", "parabola"] = "quarter"
    scoring: Literal["all", "found"] = "all"
    search: Literal["full", "coarse"] = "full"

    @model_validator(mode="after")
    def _size_is_in_steps(self) -> Self:
        if self.size % self.step:
            raise ValueError(f"size must be a multiple of {self.step}, not {self.size}")
        return self

    @field_validator("pool")
    @classmethod
    def _window_has_a_center(cls, pool: int) -> int:
        if pool % 2 == 0:
            raise ValueError(f"pool must be odd, so that a window has a middle, not {pool}")
        return pool

    @model_validator(mode="after")
    def _tile_holds_the_window(self) -> Self:
        if self.search == "coarse" and self.pool > 3:
            raise ValueError(
                f"a coarse search smooths by 3 pixels at most, not {self.pool}: give inference.search=full"
            )
        return self

    def unfit(self, backbone: BackboneSettings) -> str | None:
        """Return why the step does not fit the backbone."""
        if self.step % backbone.step == 0:
            return None
        return f"inference.step must be {backbone.step} at least with the backbone {backbone.kind}"


def released_inference(settings: NetworkSettings) -> SingleStageInference:
    """Return how the authors of CID and BoIR run a network: at 640 pixels with HRNet-W48, at 512 otherwise.

    >>> from everypose.methods.boir.settings import BoIRSettings
    >>> released_inference(BoIRSettings(backbone={"kind": "hrnet", "width": 48})).size
    640
    """
    wide = isinstance(settings.backbone, HRNetSettings) and settings.backbone.width >= 48
    return SingleStageInference(size=640 if wide else 512)
