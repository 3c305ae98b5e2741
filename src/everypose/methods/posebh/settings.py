"""Settings of PoseBH: its network, its losses and the phases of its training; without torch."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, NonNegativeFloat, model_validator

from everypose.backbones.settings import ViTSettings
from everypose.core.settings import Channels, Count, NoneWord, PositiveInt, Probability, Settings
from everypose.methods.method import Method, MethodTraining, NetworkSettings, Task
from everypose.methods.top_down.settings import Convention, CropRule

AssignmentRule = Literal["likeliest", "gumbel", "gumbel-released"]
"""Which prototype a pixel moves; see :func:`everypose.methods.posebh.sinkhorn.moving_prototypes`."""
ClusterCount = PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
"""A number of clusters, or several to choose from by their errors."""
OptionalEpoch = Annotated[Count | None, NoneWord]
"""An epoch, counted from 0; None (in a recipe "none") for never."""


class DataSetSettings(Settings):
    """One data set of a PoseBH.

    Attributes:
        name: the data set's name.
        skeleton: the fields of its :class:`everypose.skeleton.skeleton.Skeleton`.
        convention: how pixels of the image and of the crop correspond.
        crop: how a box becomes the region of a crop.

    >>> DataSetSettings(name="ap10k", skeleton={}, convention="udp").crop
    'box'
    """

    name: str
    skeleton: Mapping[str, Any]
    convention: Convention = "classic"
    crop: CropRule = "box"


def decoder_of(convention: Convention) -> Literal["quarter", "udp"]:
    """Return the decoder of a data set whose crops follow ``convention``.

    >>> decoder_of("classic")
    'quarter'
    """
    return "udp" if convention == "udp" else "quarter"


class PoseBHSettings(NetworkSettings):
    """PoseBH, and ViTPose++ if ``embedding`` is 0; see :class:`everypose.methods.posebh.network.PoseBH`.

    Attributes:
        datasets: the data sets, in the order of their experts and heads.
        embedding: length of a pixel's embedding; 0 for a network without embeddings and prototypes.
        prototypes: prototypes of each keypoint.
        channels: inner channels of the heads and of the embedding branch.

    >>> PoseBHSettings(embedding=0).family
    'posebh'
    """

    task: ClassVar[Task] = "mixture"
    family: Literal["posebh"] = "posebh"
    backbone: ViTSettings = ViTSettings()
    datasets: tuple[DataSetSettings, ...] = ()
    embedding: Annotated[int, Field(ge=0, le=65_536)] = 64
    prototypes: Count = 3
    channels: Channels = 256


class PoseBHLosses(Settings):
    """Weights and thresholds of PoseBH's losses; the defaults are those of the published training on six data sets.

    Attributes:
        prototype: weight of ``contrast`` and ``distance`` together.
        contrast: weight of the pixel-prototype contrast (PPC).
        distance: weight of the pixel-prototype distance (PPD).
        prototype_heatmap: weight of the squared error of the prototype heatmaps.
        cross_type: weight of the cross-type self-supervision.
        clusters: weight of the losses of clustered prototypes.
        threshold: pixels whose ground truth heatmap is higher belong to a keypoint.
        pixel_weight: weight of a recognized pixel when its prototype moves: its heatmap's value, or 1.
        momentum: momentum of the prototypes.
        assignment: which of its keypoint's prototypes a pixel moves: the likeliest one, or one drawn at random by the
            probabilities (``gumbel``) or as the released code draws it (``gumbel-released``).
        peak: a heatmap and a prototype heatmap agree on a keypoint if both have a peak higher than this ...
        match: ... and these peaks are at most this many heatmap pixels apart.
        cluster_count: number of clusters, at most the number of keypoints of all data sets; or several numbers, of
            which one is chosen (:func:`everypose.methods.posebh.clusters.choose_count`). The released code has
            [64, 96, 128].

    >>> PoseBHLosses(assignment="gumbel").momentum
    0.999
    """

    prototype: NonNegativeFloat = 1.25e-5
    contrast: NonNegativeFloat = 0.01
    distance: NonNegativeFloat = 0.001
    prototype_heatmap: NonNegativeFloat = 3.33e-6
    cross_type: NonNegativeFloat = 1e-3
    clusters: NonNegativeFloat = 0.01
    threshold: Probability = 0.0
    pixel_weight: Literal["confidence", "equal"] = "confidence"
    momentum: Probability = 0.999
    assignment: AssignmentRule = "likeliest"
    peak: NonNegativeFloat = 0.25
    match: NonNegativeFloat = 2.1
    cluster_count: ClusterCount = 96


class Phase(NamedTuple):
    """What happens at a time of the training.

    Attributes:
        prototypes: the prototypes move.
        embedding: the embedding branch is trained.
        heads: the heatmap heads are trained.
        backbone: the backbone is trained.
        cross_type: the cross-type loss is on.
        clusters: the loss of clustered prototypes is on.

    >>> Phase(prototypes=True, embedding=True, heads=False, backbone=False, cross_type=False, clusters=False).heads
    False
    """

    prototypes: bool
    embedding: bool
    heads: bool
    backbone: bool
    cross_type: bool
    clusters: bool


class PhaseSchedule(Settings):
    """The epochs at whose start parts begin (``from``) or stop (``until``) to be trained.

    The defaults are those of the published training on six data sets, with the backbone unfrozen at the end, as the
    paper describes it. ViTPose++ has heads and a backbone only.

    >>> PhaseSchedule().phase(50).heads
    True
    """

    prototypes_until: OptionalEpoch = 50
    embedding: bool = True
    heads_from: Count = 50
    backbone_from: OptionalEpoch = 90
    backbone_until: OptionalEpoch = None
    cross_type_from: OptionalEpoch = 50
    clusters_from: OptionalEpoch = None

    @model_validator(mode="after")
    def _clusters_need_fixed_prototypes(self) -> Self:
        moving_until = self.prototypes_until
        if self.clusters_from is not None and (moving_until is None or self.clusters_from < moving_until):
            raise ValueError("clusters_from must not be before prototypes_until: clusters need fixed prototypes")
        return self

    def phase(self, epoch: float) -> Phase:
        """Return what happens at a time of the run, in epochs."""

        def begun(start: int | None) -> bool:
            # An epoch computed from steps may miss its beginning by a rounding error.
            return start is not None and epoch > start - 1e-6

        return Phase(
            prototypes=not begun(self.prototypes_until),
            embedding=self.embedding,
            heads=begun(self.heads_from),
            backbone=begun(self.backbone_from) and not begun(self.backbone_until),
            cross_type=begun(self.cross_type_from),
            clusters=begun(self.clusters_from),
        )


class PoseBHTraining(MethodTraining):
    """The recipe sections that only PoseBH and ViTPose++ have.

    >>> PoseBHTraining().prototypes.cluster_count
    96
    """

    phases: PhaseSchedule = PhaseSchedule()
    prototypes: PoseBHLosses = PoseBHLosses()


METHOD = Method(PoseBHSettings, PoseBHTraining, "everypose.methods.posebh.method:SPEC")
