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
    """Why there is no answer.

    >>> Problem(detail="format: unknown").model_dump_json()
    '{"detail":"format: unknown"}'
    """

    detail: str = Field(description="What is wrong, in one line.")


class ImageSize(BaseModel):
    """Size of an image.

    >>> ImageSize(width=640, height=480).width
    640
    """

    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")


class PersonAnswer(BaseModel):
    """One person.

    >>> PersonAnswer(score=0.9, box=(0, 0, 20, 40), keypoints={"nose": (10, 5, 0.8)}).keypoints["nose"]
    (10.0, 5.0, 0.8)
    """

    score: float
    box: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in image pixels.")
    keypoints: dict[str, Point] = Field(description="x, y in image pixels and score of each keypoint by name.")
    id: int | None = Field(None, description="Identity over time, in videos and streams.")


class Weights(BaseModel):
    """Which weights a model has.

    >>> Weights(name="boir-lite", revision=None, sha256="0" * 64).name
    'boir-lite'
    """

    name: str = Field(description="Name in the catalog, hub id or file name.")
    revision: str | None = Field(description="Commit of a hub repository.")
    sha256: str | None


class PosesAnswer(BaseModel):
    """The people of one image, as JSON.

    >>> from everypose.people import People
    >>> from everypose.serving.rendering import to_content
    >>> weights = {"name": "boir-lite", "revision": None, "sha256": None}
    >>> content = to_content(People.empty(Skeleton.named("coco")), "boir-lite", weights)
    >>> PosesAnswer.model_validate(content | {"image": {"width": 64, "height": 48}}).people
    []
    """

    model: str
    weights: Weights
    image: ImageSize
    skeleton: dict[str, Any] = Field(description="Keypoint names, links, flip pairs and sigmas.")
    people: list[PersonAnswer]


class CocoResult(BaseModel):
    """One person as a COCO result.

    >>> CocoResult(image_id=1, category_id=1, keypoints=[5, 5, 0.9], score=0.8, bbox=[0, 0, 10, 10]).score
    0.8
    """

    image_id: int
    category_id: int
    keypoints: list[float]
    score: float
    bbox: list[float]


class OpenPosePerson(BaseModel):
    """One person as OpenPose writes it; lists of x, y, score.

    >>> from everypose.inference.results.openpose import openpose_json
    >>> from everypose.people import People
    >>> import numpy as np
    >>> person = openpose_json(People(np.ones((1, 17, 3)), [0.9], Skeleton.named("coco")))["people"][0]
    >>> len(OpenPosePerson.model_validate(person).pose_keypoints_2d)  # 25 keypoints
    75
    """

    person_id: list[int]
    pose_keypoints_2d: list[float]
    face_keypoints_2d: list[float]
    hand_left_keypoints_2d: list[float]
    hand_right_keypoints_2d: list[float]


class OpenPoseAnswer(BaseModel):
    """The people of one image as OpenPose writes them.

    >>> from everypose.inference.results.openpose import openpose_json
    >>> from everypose.people import People
    >>> OpenPoseAnswer.model_validate(openpose_json(People.empty(Skeleton.named("coco")))).people
    []
    """

    version: float
    people: list[OpenPosePerson]


class ModelDescription(BaseModel):
    """A loaded model.

    >>> description = ModelDescription(
    ...     name="mine", skeleton="pair", keypoints=["nose", "tail"], links=[(0, 1)], sides=["", ""], top_down=False,
    ...     size=256, min_score=0.1, batch_size=1, weights=Weights(name="mine", revision=None, sha256=None), ready=True,
    ... )
    >>> description.links
    [(0, 1)]
    """

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
    """The loaded models; the first is the default.

    >>> ModelList(models=[], skeletons=Skeleton.names()).skeletons[0]
    'aic'
    """

    models: list[ModelDescription]
    skeletons: list[str] = Field(description="Known skeletons that an answer can be given in.")


class Health(BaseModel):
    """The service is running.

    >>> Health(status="UP", model_class="everypose").status
    'UP'
    """

    status: str
    model_class: str


class Readiness(BaseModel):
    """Whether every model can answer.

    >>> Readiness(ready=False, models={"boir-lite": "the worker is starting"}).ready
    False
    """

    ready: bool
    models: dict[str, str] = Field(description="ready, or why it is not, for each model.")


class Limits(BaseModel):
    """The most that a request may hold.

    >>> Limits(max_bytes=20 * 2**20, max_pixels=64_000_000, max_video_bytes=200 * 2**20, queue=64, timeout=60).queue
    64
    """

    max_bytes: int
    max_pixels: int
    max_video_bytes: int
    queue: int
    timeout: float


class Info(BaseModel):
    """The service and its limits.

    >>> limits = Limits(max_bytes=1000, max_pixels=1000, max_video_bytes=1000, queue=64, timeout=60)
    >>> info = Info(
    ...     name="everypose", version="1.0", models=["boir-lite"], formats=["json"], limits=limits, token_required=False
    ... )
    >>> info.models
    ['boir-lite']
    """

    name: str
    version: str
    models: list[str]
    formats: list[str]
    limits: Limits
    token_required: bool
