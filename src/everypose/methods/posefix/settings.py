"""Settings of PoseFix: network, samples, inference, and the description for the table of methods; without torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat

from everypose.backbones.settings import PoseFixBackbone, ResNetSettings
from everypose.core.geometry import Size
from everypose.core.settings import Channels, NoneWord, Settings
from everypose.methods.method import InferenceSettings, Method, MethodTraining, NetworkSettings, Task
from everypose.methods.top_down.settings import CropAugmentation, require_possible


class PoseFixSettings(NetworkSettings):
    """PoseFix; see :class:`everypose.methods.posefix.network.PoseFix`.

    Attributes:
        backbone: the paper's is a ResNet-152; Lite-HRNet is everypose's small variant.
        deconv: channels of the transposed convolutions of a ResNet; Lite-HRNet has none.
        sigma: standard deviation of the Gaussian input maps in crop pixels; the paper has 7 for crops of 192 x 256 and
            9 for 288 x 384.

    >>> PoseFixSettings(sigma=9).backbone.blocks
    (3, 8, 36, 3)
    """

    task: ClassVar[Task] = "refinement"
    family: Literal["posefix"] = "posefix"
    backbone: PoseFixBackbone = ResNetSettings(blocks=(3, 8, 36, 3))
    deconv: Channels = 256
    sigma: PositiveFloat = 7.0


class RefinementInference(InferenceSettings):
    """How the poses of an estimator are refined.

    Attributes:
        crop_size: width and height of the network's input, in pixels.
        pose_padding: size of a person's box, as a factor of the extent of the keypoints.
        padding: size of the cropped region, as a factor of the box.
        nms: of two refined poses with a higher OKS than this, the one with the lower score is suppressed; None keeps
            all.

    >>> RefinementInference(crop_size=(192, 256)).pose_padding
    1.2
    """

    tasks: ClassVar[tuple[Task, ...]] = ("refinement",)
    example: ClassVar[str] = "pose_padding"
    crop_size: Annotated[Size, AfterValidator(require_possible)]
    pose_padding: PositiveFloat = 1.2
    padding: PositiveFloat = 1.25
    nms: Annotated[Annotated[float, Field(gt=0, le=1)] | None, NoneWord] = 0.9


class PoseFixAugmentation(CropAugmentation):
    """Ranges of PoseFix's random augmentation.

    >>> PoseFixAugmentation().half_body
    0.0
    """

    scale: Annotated[float, Field(ge=0, lt=1)] = 0.3
    rotation: NonNegativeFloat = 40.0
    half_body: Annotated[float, Field(ge=0, le=1)] = 0.0


class PoseFixCropSettings(Settings):
    """PoseFix's training crops.

    Attributes:
        augmentation: ranges of the random augmentation.

    >>> PoseFixCropSettings().augmentation.rotation
    40.0
    """

    augmentation: PoseFixAugmentation = PoseFixAugmentation()


class PosesSection(Settings):
    """Results of other estimators that the training of a PoseFix uses: COCO results lists, relative to ``data.root``.

    Attributes:
        train: results on the training images. Keypoints without a label start from those of the result whose box
            overlaps the person's most; empty: they are left out of the input.
        val: results on the validation images, which are refined and scored; empty for no validation.

    >>> PosesSection(val="results_val2017.json").train
    ''
    """

    train: str = ""
    val: str = ""


class PoseFixTraining(MethodTraining):
    """The recipe sections of PoseFix.

    >>> PoseFixTraining().poses.train
    ''
    """

    crops: PoseFixCropSettings = PoseFixCropSettings()
    poses: PosesSection = PosesSection()


METHOD = Method(PoseFixSettings, PoseFixTraining, "everypose.methods.posefix.method:SPEC")
