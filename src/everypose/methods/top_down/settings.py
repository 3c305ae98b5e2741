"""Settings that top-down methods share: crops, training samples, inference; and those of the two baselines."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, field_validator, model_validator

from everypose.backbones.settings import HRNetPoseBackbone, HRNetSettings, ResNetSettings, SimpleBaselineBackbone
from everypose.core.arrays import Float32, Float64, Int64
from everypose.core.decoder_names import UDP_DECODERS, Decoder
from everypose.core.geometry import Size
from everypose.core.settings import Channels, NoneWord, Probability, Settings
from everypose.methods.method import InferenceSettings, Method, MethodTraining, NetworkSettings, Task

Convention = Literal["classic", "udp"]
"""How pixels of an image and of a crop correspond; see :mod:`everypose.methods.top_down.crops`."""
CropRule = Literal["box", "mpii"]
"""How a box becomes the region of a crop; see :class:`everypose.methods.top_down.crops.CropGeometry`."""


LARGEST_CROP = 4096
"""Largest side of a crop, in pixels."""


def require_possible(size: Size) -> Size:
    """Return a size of crops, or raise ValueError if it is empty or larger than :data:`LARGEST_CROP`.

    >>> require_possible(Size(192, 256))
    Size(width=192, height=256)
    """
    if min(size) < 1 or max(size) > LARGEST_CROP:
        raise ValueError(f"width and height must be above 0, and {LARGEST_CROP} at most")
    return size


class TopDownNetworkSettings(NetworkSettings):
    """Base of the settings of a network that takes a crop for each box.

    >>> SimpleBaselineSettings().people_per_crop, SimpleBaselineSettings().task
    (1, 'top-down')
    """

    task: ClassVar[Task] = "top-down"

    @property
    def people_per_crop(self) -> int:
        """How many people the network finds in one crop, N."""
        return 1


class CropAugmentation(Settings):
    """Ranges of the random augmentation of crops; the defaults are those of HRNet and MIPNet.

    Attributes:
        scale: standard deviation of the region's size around 1, and its largest change.
        rotation: standard deviation, in degrees; clipped to twice this to either side.
        rotation_probability: probability of a rotated sample.
        flip: probability of a mirrored sample.
        half_body: probability of cropping half a body, if more than 8 keypoints are labeled.
        shift: largest translation of the region's center, as a share of the box's width and height.
        shift_probability: probability of a translated center.

    >>> CropAugmentation(rotation=0).scale
    0.35
    """

    scale: Annotated[float, Field(ge=0, lt=1)] = 0.35
    rotation: NonNegativeFloat = 45.0
    rotation_probability: Probability = 0.6
    flip: Probability = 0.5
    half_body: Probability = 0.3
    shift: NonNegativeFloat = 0.0
    shift_probability: Probability = 0.0


class ViTPoseAugmentation(CropAugmentation):
    """Ranges of ViTPose and PoseBH; on MPII they use no half bodies and no translation.

    >>> ViTPoseAugmentation().shift
    0.2
    """

    scale: Annotated[float, Field(ge=0, lt=1)] = 0.5
    rotation: NonNegativeFloat = 40.0
    shift: NonNegativeFloat = 0.2
    shift_probability: Probability = 0.3


@dataclass(frozen=True)
class PeopleRule:
    """Which N people a crop's heatmaps show, and which of their keypoints have a target; by default its own person.

    Attributes:
        drop_outside: whether keypoints outside the crop have no target; otherwise a heatmap may show a part of a
            Gaussian whose peak lies outside.
        choose: boxes (P, 4) x1 y1 x2 y2, the same before clipping, and keypoints (P, K, 3) of an image's people
            -> (P, N) people of each box; the first is the box's own. None for the own person alone.
        replace_absent: keypoints (N, K, 3) of a sample, in crop pixels -> the same with people who are not in the
            crop replaced. None to keep all.

    >>> PeopleRule(drop_outside=True).choose is None
    True
    """

    drop_outside: bool = False
    choose: Callable[[Float64, Float64, Float64], Int64] | None = None
    replace_absent: Callable[[Float32], Float32] | None = None


class CropTrainingSettings(Settings):
    """Training samples and targets of top-down methods; how a crop is cut is part of the recipe's ``inference``.

    Attributes:
        sigma: standard deviation of the target Gaussians, in heatmap pixels.
        augmentation: ranges of the random augmentation.

    >>> CropTrainingSettings(sigma=3).people_rule(1).drop_outside
    False
    """

    sigma: PositiveFloat = 2.0
    augmentation: CropAugmentation = CropAugmentation()

    def people_rule(self, people: int) -> PeopleRule:
        """Return the rule for N = ``people`` people to a crop."""
        assert people == 1, "only MIPNet finds several people in one crop"
        return PeopleRule()


class TopDownTraining(MethodTraining):
    """The recipe sections of a method that is trained on crops of one data set.

    >>> TopDownTraining().crops.sigma
    2.0
    """

    crops: CropTrainingSettings = CropTrainingSettings()


class PersonCalibration(Settings):
    """A logistic regression of whether a pose is right: whether its OKS with a person not yet found is 0.5 or more.

    Fitted on training photos; see :func:`everypose.methods.top_down.scoring.calibrated_scores`.

    Attributes:
        bias: constant term.
        slope: weight of the logarithm of the box's score times the mean confidence.
        second: term added for every instance except the primary.
        likeness: weight of the OKS with the box's primary pose, for every instance except the primary.

    >>> PersonCalibration(bias=5.6, slope=3.24).second
    0.0
    """

    bias: float
    slope: PositiveFloat
    second: float = 0.0
    likeness: float = 0.0


class KeypointCalibration(Settings):
    """A logistic regression from a heatmap's peak to the probability that its keypoint is labeled and near the label.

    Near means a distance at which the keypoint's part of the OKS is one half or more.

    Attributes:
        bias: constant term.
        slope: weight of the peak.

    >>> KeypointCalibration(bias=-3, slope=6).slope
    6.0
    """

    bias: float
    slope: float


class CropInference(InferenceSettings):
    """How a top-down model's people are found and scored, whatever the convention of its crops.

    Attributes:
        crop_size: width and height of the network's input, in pixels.
        padding: size of the cropped region, as a factor of the box.
        bgr: whether the network takes BGR images.
        decay: factor of the score of people other than the one whose box it is.
        nms: of two poses with a higher OKS than this, the one with the lower score is suppressed; None keeps all.
        soft_nms: whether poses are suppressed by the soft rule
            (:func:`everypose.methods.top_down.scoring.soft_oks_nms`).
        min_score: people with a lower score are not reported.
        confident: keypoints with a higher confidence count for a person's score.
        calibration: turns the product of box score and mean confidence into a probability; None leaves the product.
        keypoint_calibration: turns confidences into the keypoints' scores; None leaves them.
        box_threshold: lowest score of a detector's box for people from ``min_score`` on; None leaves it to the
            detector. See :func:`everypose.methods.top_down.scoring.default_box_threshold`.

    >>> settings = CropInference(crop_size=(192, 256))
    >>> settings.crop_size, settings.padding, settings.nms
    (Size(width=192, height=256), 1.25, 0.9)
    """

    tasks: ClassVar[tuple[Task, ...]] = ("top-down", "mixture")
    example: ClassVar[str] = "crop_size = [WIDTH, HEIGHT]"
    crop_size: Annotated[Size, AfterValidator(require_possible)]
    padding: PositiveFloat = 1.25
    bgr: bool = False
    decay: Probability = 0.5
    nms: Annotated[Annotated[float, Field(gt=0, le=1)] | None, NoneWord] = 0.9
    soft_nms: bool = False
    min_score: Probability = 0.05
    confident: Probability = 0.2
    calibration: Annotated[PersonCalibration | None, NoneWord] = None
    keypoint_calibration: Annotated[KeypointCalibration | None, NoneWord] = None
    box_threshold: Annotated[Probability | None, NoneWord] = None


class TopDownInference(CropInference):
    """How a top-down model is run on crops: :class:`CropInference`, and how crops are cut and heatmaps decoded.

    Attributes:
        convention: how pixels of the image and of the crop correspond.
        crop: how a box becomes the region of a crop.
        decoder: sub-pixel refinement of a peak, see :func:`everypose.methods.top_down.decoding.decode`; or
            simcc, for networks without heatmaps (:mod:`everypose.methods.simcc`).
    """

    convention: Convention = "classic"
    crop: CropRule = "box"
    decoder: Decoder | Literal["simcc"] = "quarter"

    @model_validator(mode="after")
    def _decoder_fits_the_crops(self) -> Self:
        if (self.convention == "udp") != (self.decoder in UDP_DECODERS):
            raise ValueError("the udp decoders go with crops of the udp convention, and with no others")
        return self

    def with_decoder(self, decoder: Decoder) -> Self:
        """Return the settings with another decoder and the crops of its convention.

        >>> TopDownInference(crop_size=Size(192, 256)).with_decoder("udp").convention
        'udp'
        """
        convention: Convention = "udp" if decoder in UDP_DECODERS else "classic"
        return self.model_copy(update={"decoder": decoder, "convention": convention})


class SimpleBaselineSettings(TopDownNetworkSettings):
    """SimpleBaseline; see :class:`everypose.methods.top_down.baselines.SimpleBaseline`.

    >>> SimpleBaselineSettings().backbone.kind
    'resnet'
    """

    family: Literal["simple-baseline"] = "simple-baseline"
    backbone: SimpleBaselineBackbone = ResNetSettings()
    deconv: Channels = 256

    @field_validator("backbone", mode="before")
    @classmethod
    def _resnet_by_default(cls, backbone: object) -> object:
        return {"kind": "resnet", **backbone} if isinstance(backbone, dict) else backbone


class HRNetPoseSettings(TopDownNetworkSettings):
    """A backbone at stride 4 on crops; see :class:`everypose.methods.top_down.baselines.HRNetPose`.

    >>> HRNetPoseSettings(backbone={"kind": "lite-hrnet"}).family
    'hrnet'
    """

    family: Literal["hrnet"] = "hrnet"
    backbone: HRNetPoseBackbone = HRNetSettings()

    @field_validator("backbone", mode="before")
    @classmethod
    def _hrnet_by_default(cls, backbone: object) -> object:
        return {"kind": "hrnet", **backbone} if isinstance(backbone, dict) else backbone


SIMPLE_BASELINE = Method(SimpleBaselineSettings, TopDownTraining, "everypose.methods.top_down.method:SIMPLE_BASELINE")
HRNET = Method(HRNetPoseSettings, TopDownTraining, "everypose.methods.top_down.method:HRNET")
