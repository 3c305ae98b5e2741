"""What a model is, and where it lies: a model is a typed configuration with weights beside it.

On disk a model is a folder with ``config.json`` and ``model.safetensors``, or one ``.onnx`` file that carries the same
configuration in its metadata under the key ``everypose``. Nothing here needs torch.
"""

import difflib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from everypose.errors import EveryposeError, MissingDependencyError, UsageError
from everypose.files import read_json
from everypose.model_names import MODELS
from everypose.skeleton import Skeleton

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
METADATA_KEY = "everypose"
ALL_SKELETONS = "all"
"""What asks a PoseBH for the keypoints of all its data sets."""
SMALLEST_SIDE = 64
"""Of a single-stage model's input, in pixels: its maps have room for all peaks and for a coarse search's tiles."""
Step = Literal[16, 32, 64]
"""What the sides of a single-stage model's input may be multiples of, in pixels."""
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar", ".pkl", ".bin", ".ckpt")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HRNetSettings(_Settings):
    """HRNet; see :class:`everypose.backbones.hrnet.HRNet`."""

    kind: Literal["hrnet"] = "hrnet"
    width: int = 32
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4
    stem_blocks: int = 4


class LiteSettings(_Settings):
    """The small trunk of the default model; see :class:`everypose.backbones.lite.Lite`."""

    kind: Literal["lite"] = "lite"


class OpenPoseLightSettings(_Settings):
    """Lightweight OpenPose's trunk; see :class:`everypose.backbones.openpose_light.OpenPoseLight`."""

    kind: Literal["openpose-light"] = "openpose-light"


class ResNetSettings(_Settings):
    """ResNet; ``blocks`` of its four layers, (3, 4, 23, 3) for 101 and (3, 8, 36, 3) for 152."""

    kind: Literal["resnet"] = "resnet"
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)


class ViTSettings(_Settings):
    """The plain vision transformer, base size; see :class:`everypose.backbones.vit.ViT`."""

    kind: Literal["vit"] = "vit"
    width: int = 768
    depth: int = 12
    heads: int = 12
    drop_path: float = 0.3
    image_size: tuple[int, int] = (192, 256)
    experts: int = 0
    expert_part: int = 0


Backbone = Annotated[HRNetSettings | LiteSettings | OpenPoseLightSettings, Field(discriminator="kind")]


class BoIRSettings(_Settings):
    """BoIR; see :class:`everypose.boir.network.BoIR`."""

    family: Literal["boir"] = "boir"
    backbone: Backbone = HRNetSettings()
    instance: int = 64
    neck_squeeze: Annotated[int, Field(ge=0)] = 0
    neck_branch: int = 128
    neck: int = 256
    head: int = 128
    embedding: int = 128
    auxiliary: bool = True


class CIDSettings(_Settings):
    """CID; see :class:`everypose.cid.network.CID`."""

    family: Literal["cid"] = "cid"
    backbone: Backbone = HRNetSettings()
    instance: int = 32


class SimpleBaselineSettings(_Settings):
    """SimpleBaseline; see :class:`everypose.topdown.network.SimpleBaseline`."""

    family: Literal["simple-baseline"] = "simple-baseline"
    backbone: ResNetSettings = ResNetSettings()
    deconv: int = 256


class HRNetPoseSettings(_Settings):
    """HRNet on crops; see :class:`everypose.topdown.network.HRNetPose`."""

    family: Literal["hrnet"] = "hrnet"
    backbone: HRNetSettings = HRNetSettings()


class MIPNetSettings(_Settings):
    """MIPNet; see :class:`everypose.mipnet.network.MIPNet`. ``deconv`` belongs to a ResNet."""

    family: Literal["mipnet"] = "mipnet"
    backbone: Annotated[HRNetSettings | ResNetSettings, Field(discriminator="kind")] = HRNetSettings()
    deconv: int = 256
    sites: tuple[bool, bool, bool, bool] = (False, False, True, True)
    instances: Annotated[int, Field(ge=1)] = 2


class ViTPoseSettings(_Settings):
    """ViTPose; see :class:`everypose.posebh.vitpose.ViTPose`."""

    family: Literal["vitpose"] = "vitpose"
    backbone: ViTSettings = ViTSettings()
    channels: int = 256


class DataSetSettings(_Settings):
    """One data set of a PoseBH: its name, its skeleton and how its crops are cut; see :class:`TopDownInference`."""

    name: str
    skeleton: dict[str, Any]
    convention: Literal["classic", "udp"] = "classic"
    crop: Literal["box", "mpii"] = "box"


def decoder_of(convention: Literal["classic", "udp"]) -> Literal["quarter", "udp"]:
    """How the heatmaps of a PoseBH are decoded, by the convention that a data set's crops are cut by."""
    return "udp" if convention == "udp" else "quarter"


class PoseBHSettings(_Settings):
    """PoseBH, and ViTPose++ where ``embedding`` is 0; see :class:`everypose.posebh.network.PoseBH`."""

    family: Literal["posebh"] = "posebh"
    backbone: ViTSettings = ViTSettings()
    datasets: tuple[DataSetSettings, ...] = ()
    embedding: int = 64
    prototypes: int = 3
    channels: int = 256


SingleStageSettings = BoIRSettings | CIDSettings
TopDownSettings = SimpleBaselineSettings | HRNetPoseSettings | MIPNetSettings | ViTPoseSettings | PoseBHSettings
Network = Annotated[SingleStageSettings | TopDownSettings, Field(discriminator="family")]


class InferenceSettings(_Settings):
    """How an image is prepared for a single-stage model and what is kept.

    ``size``: the short side of the network's input, in pixels; ``step``: what its sides are multiples of, in the
    published inference twice what HRNet's deepest branch needs; ``pool``: the window that smooths the maps;
    ``nms``: poses more alike than this OKS are one person; ``min_score``: people below are not shown; ``decoder``,
    ``scoring`` and ``search``: see :mod:`everypose.single_stage.decoding`.
    """

    size: Annotated[int, Field(ge=SMALLEST_SIDE)] = 512
    step: Step = 64
    pool: Annotated[int, Field(gt=0)] = 3
    nms: Annotated[float, Field(gt=0, le=1)] = 0.8
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.05
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
    def _has_a_middle(cls, pool: int) -> int:
        if pool % 2 == 0:
            raise ValueError(f"pool must be odd, so that a window has a middle, not {pool}")
        return pool

    @model_validator(mode="after")
    def _a_tile_is_wide_enough(self) -> Self:
        if self.search == "coarse" and self.pool > 3:
            raise ValueError(
                f"a coarse search smooths by 3 pixels at most, not {self.pool}: give inference.search=full"
            )
        return self


class TopDownInference(_Settings):
    """How a top-down model's crops are cut, its heatmaps decoded and its people scored.

    ``crop_size``: width, height of the network's input, in pixels; ``padding``, ``convention`` and ``crop``, its rule:
    see :class:`everypose.topdown.crops.CropGeometry`; ``decoder``: see :func:`everypose.topdown.decoding.decode`;
    ``bgr``: whether the network wants BGR; ``decay``: factor of the scores of people who are not the one whose box it
    is; ``nms``: poses more alike than this OKS are one person, None keeps all; ``soft_nms``: whether such poses only
    lose their turn (:func:`everypose.topdown.scoring.soft_oks_nms`); ``min_score``: people below are not
    shown.
    """

    crop_size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
    padding: Annotated[float, Field(gt=0)] = 1.25
    convention: Literal["classic", "udp"] = "classic"
    crop: Literal["box", "mpii"] = "box"
    decoder: Literal["quarter", "dark", "udp"] = "quarter"
    bgr: bool = False
    decay: Annotated[float, Field(ge=0, le=1)] = 0.5
    nms: Annotated[float, Field(gt=0, le=1)] | None = 0.9
    soft_nms: bool = False
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.05

    @model_validator(mode="after")
    def _decoder_fits_the_crops(self) -> Self:
        if (self.convention == "udp") != (self.decoder == "udp"):
            raise ValueError("the udp decoder goes with crops of the udp convention, and with no others")
        return self


def _kind_of_inference(values: Any) -> str:
    """Which settings a table of inference holds: those for crops name a crop size."""
    named = values if isinstance(values, dict) else type(values).model_fields
    return "crops" if "crop_size" in named else "images"


Inference = Annotated[
    Annotated[InferenceSettings, Tag("images")] | Annotated[TopDownInference, Tag("crops")],
    Discriminator(_kind_of_inference),
]


def check_step(network: Network, inference: Inference) -> None:
    """Refuse steps of the input's sides that the backbone cannot take: Lightweight OpenPose needs 8 pixels, others 32.

    Raises:
        ValueError: they are too small.
    """
    kind = network.backbone.kind
    if isinstance(inference, InferenceSettings) and inference.step < 32 and kind != "openpose-light":
        raise ValueError(f"inference.step must be 32 at least with the backbone {kind}")


class ModelConfig(_Settings):
    """Everything about a model but its weights; ``provenance`` says where those come from."""

    format: Literal[1] = 1
    name: str
    network: Network
    skeleton: dict[str, Any]
    inference: Inference = InferenceSettings()
    provenance: dict[str, Any] = {}

    @model_validator(mode="after")
    def _inference_fits_the_family(self) -> Self:
        if self.is_top_down != isinstance(self.inference, TopDownInference):
            wanted = "crops (crop_size)" if self.is_top_down else "whole images (size)"
            raise ValueError(f"the family {self.network.family} needs settings of inference for {wanted}")
        check_step(self.network, self.inference)
        return self

    @property
    def is_top_down(self) -> bool:
        """Whether the model needs boxes; others find people by themselves."""
        return isinstance(self.network, TopDownSettings)

    @property
    def on_images(self) -> InferenceSettings:
        """The settings of inference of a single-stage model."""
        assert isinstance(self.inference, InferenceSettings), f"{self.name} works on crops"
        return self.inference

    @property
    def on_crops(self) -> TopDownInference:
        """The settings of inference of a top-down model."""
        assert isinstance(self.inference, TopDownInference), f"{self.name} works on whole images"
        return self.inference

    def read_skeleton(self) -> Skeleton:
        """The skeleton that the model's keypoints follow."""
        return Skeleton.from_dict(self.skeleton)

    def require_only(self, skeleton: str | None) -> None:
        """See that ``skeleton``, where one is asked for, is the only one that the model has.

        Raises:
            UsageError: it is another one.
        """
        own = self.skeleton["name"]
        if skeleton not in (None, own):
            raise UsageError(f"{self.name} has one skeleton, {own}: it cannot give {skeleton!r}")


@dataclass(frozen=True)
class ModelFile:
    """Where a model lies: an ``onnx`` file, a ``folder`` of ours, or an authors' ``checkpoint`` to import."""

    kind: Literal["onnx", "folder", "checkpoint"]
    path: Path


def bundled(name: str) -> Path:
    """The path of a weights file that comes with the package."""
    return Path(str(resources.files("everypose") / "weights" / name))


def resolve(source: str | Path) -> ModelFile:
    """Find a model by a known name, a folder, a file or a hub id (``owner/name``).

    Raises:
        UsageError: for a name that is not known, or whose weights do not come with the package.
        EveryposeError: for a path that holds no model.
    """
    path = Path(source)
    if path.exists():
        return _at(path)
    known = {model.name: model for model in MODELS}
    name = str(source)
    if name in known:
        if (file := known[name].file) is not None:
            return ModelFile("onnx", bundled(file))
        raise UsageError(
            f"the weights of {name} do not come with everypose: import the authors' checkpoint "
            f"(everypose import FILE -o {name}) or train it (everypose train {name}), then give the folder"
        )
    if path.suffix in (".onnx", ".safetensors", *CHECKPOINT_SUFFIXES) or name.startswith((".", "/", "~")):
        raise UsageError(f"there is no model at {source}")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return _at(_from_hub(name))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known names: {', '.join(known)}"
    raise UsageError(f"there is no model named {name!r}, nor a file or folder of that name; {hint}")


def read_config(path: Path) -> ModelConfig:
    """Read a model's configuration from its ``config.json``."""
    return parse_config(read_json(path), path)


def parse_config(values: Any, where: Path) -> ModelConfig:
    """Validate a configuration read from ``where``."""
    try:
        return ModelConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise EveryposeError(f"{where} is not a model configuration of everypose: {field}: {first['msg']}") from error


def _at(path: Path) -> ModelFile:
    """The model that lies at an existing path."""
    if path.is_dir():
        if (path / CONFIG_FILE).exists() and (path / WEIGHTS_FILE).exists():
            return ModelFile("folder", path)
        graphs = sorted(path.glob("*.onnx"))
        if len(graphs) == 1:
            return ModelFile("onnx", graphs[0])
        raise EveryposeError(f"{path} is not a model: it needs {CONFIG_FILE} and {WEIGHTS_FILE}, or one .onnx file")
    if path.suffix == ".onnx":
        return ModelFile("onnx", path)
    if path.name == WEIGHTS_FILE and (path.parent / CONFIG_FILE).exists():
        return ModelFile("folder", path.parent)
    if path.suffix in CHECKPOINT_SUFFIXES:
        return ModelFile("checkpoint", path)
    raise EveryposeError(f"{path} is not a model: give a folder, an .onnx file or an authors' checkpoint (.pth)")


def _from_hub(name: str) -> Path:
    """Download a model folder from the Hugging Face hub."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingDependencyError(f"{name} is neither a known name nor a path; as a hub id it", "hub") from error
    try:
        patterns = [CONFIG_FILE, WEIGHTS_FILE, "*.onnx"]
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EveryposeError(f"there is no folder {name}, and as a hub id it cannot be downloaded: {reason}") from error
