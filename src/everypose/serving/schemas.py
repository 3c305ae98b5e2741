"""Options and answers of the service, as its OpenAPI description shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from everypose.serving.rendering import Format
from everypose.skeleton.skeleton import Skeleton

Point = tuple[float, float, float]


class ModelRequest(BaseModel):
    """Options that requests for images, videos and streams share.

    >>> ModelRequest(min_score=0.5).model is None
    True
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, max_length=200, description="Name of a loaded model. Default: the first.")
    min_score: float | None = Field(None, ge=0, le=1, description="Lowest person score. Default: the model's.")
    skeleton: str | None = Field(
        None,
        max_length=100,
        description="Known skeleton of the answer, matched by keypoint names.",
        json_schema_extra={"enum": [*Skeleton.names(), None]},
    )


class PoseOptions(ModelRequest):
    """Options of an image request; each is a query parameter or a field of the form.

    >>> PoseOptions(format="coco", image_id=7).format
    'coco'
    """

    format: Format = Field("json", description="Format of the answer.")
    image_id: int = Field(1, ge=0, le=2**53, description="The image's id in COCO results.")


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str = Field(description="What is wrong, in one line.")


class ImageSize(BaseModel):
    """Size of an image."""

    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")


class PersonAnswer(BaseModel):
    """One person."""

    score: float
    box: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in image pixels.")
    keypoints: dict[str, Point] = Field(description="x, y in image pixels and score of each keypoint by name.")
    id: int | None = Field(None, description="Identity over time, in videos and streams.")


class Weights(BaseModel):
    """Which weights a model has."""

    name: str = Field(description="Name in the catalog, hub id or file name.")
    revision: str | None = Field(description="Commit of a hub repository.")
    sha256: str | None


class PosesAnswer(BaseModel):
    """The people of one image, as JSON."""

    model: str
    weights: Weights
    image: ImageSize
    skeleton: dict[str, Any] = Field(description="Keypoint names, links, flip pairs and sigmas.")
    people: list[PersonAnswer]


class CocoResult(BaseModel):
    """One person as a COCO result."""

    image_id: int
    category_id: int
    keypoints: list[float]
    score: float
    bbox: list[float]


class OpenPosePerson(BaseModel):
    """One person as OpenPose writes it; lists of x, y, score."""

    person_id: list[int]
    pose_keypoints_2d: list[float]
    face_keypoints_2d: list[float]
    hand_left_keypoints_2d: list[float]
    hand_right_keypoints_2d: list[float]


class OpenPoseAnswer(BaseModel):
    """The people of one image as OpenPose writes them."""

    version: float
    people: list[OpenPosePerson]


class ModelDescription(BaseModel):
    """A loaded model."""

    name: str
    skeleton: str
    keypoints: list[str]
    links: list[tuple[int, int]] = Field(description="Limbs, as pairs of keypoint indices.")
    sides: list[str] = Field(description="left, right or empty for each keypoint.")
    top_down: bool
    size: int | tuple[int, int] | None = Field(description="Short side of the input, or width and height of a crop.")
    min_score: float
    batch_size: int
    weights: Weights
    ready: bool


class ModelList(BaseModel):
    """The loaded models; the first is the default."""

    models: list[ModelDescription]
    skeletons: list[str] = Field(description="Known skeletons that an answer can be given in.")


class Health(BaseModel):
    """The service is running."""

    status: str
    model_class: str


class Readiness(BaseModel):
    """Whether every model can answer."""

    ready: bool
    models: dict[str, str] = Field(description="ready, or why it is not, for each model.")


class Limits(BaseModel):
    """The most that a request may hold."""

    max_bytes: int
    max_pixels: int
    max_video_bytes: int
    queue: int
    timeout: float


class Info(BaseModel):
    """The service and its limits."""

    name: str
    version: str
    models: list[str]
    formats: list[str]
    limits: Limits
    token_required: bool
