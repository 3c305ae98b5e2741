"""Pose models in ONNX files of other projects: recognized by inputs and outputs, or by a named family."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from everypose.errors import EveryposeError, UsageError
from everypose.inference.opened import CropModel, ImageModel
from everypose.inference.runtimes.fixed_input import (
    DETRPOSE_INPUTS,
    DETRPOSE_OUTPUTS,
    RTMO_OUTPUTS,
    DetrPoseRuntime,
    FixedInputRuntime,
    RtmoRuntime,
    detrpose_config,
    is_detrpose,
    is_rtmo,
    rtmo_config,
)
from everypose.inference.runtimes.heatmaps import OUTPUT as HEATMAPS
from everypose.inference.runtimes.heatmaps import HeatmapRuntime, heatmap_config, is_heatmaps
from everypose.inference.runtimes.normalized_crops import takes_batches
from everypose.inference.runtimes.protocols import Arrays, ModelMeta, Node, Session
from everypose.inference.runtimes.simcc import OUTPUTS as SIMCC_OUTPUTS
from everypose.inference.runtimes.simcc import SimCCRuntime, is_simcc, simcc_config
from everypose.models.config import ModelConfig

Kind = Literal["simcc", "rtmo", "detrpose", "heatmaps"]
"""How a file is read."""
FAMILIES: dict[str, Kind] = {
    "rtmpose": "simcc",
    "rtmw": "simcc",
    "rtmo": "rtmo",
    "detrpose": "detrpose",
    "easy-vitpose": "heatmaps",
}
"""The families of pose models in files of other projects, and how such a file is read."""


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """How files of one kind are read.

    Attributes:
        contract: their inputs and outputs, in words.
        recognizes: whether an open file of ONNX Runtime has the names of their inputs and outputs.
        read_config: reads the configuration of an open file, by its path and the skeleton's name if it is given.
        runtime: runs them.
        outputs: names of the outputs, in the order of files with other names.
        ranks: number of dimensions of these outputs.
    """

    contract: str
    recognizes: Callable[[Any], bool]
    read_config: Callable[[Any, Path, str | None], ModelConfig]
    runtime: type[SimCCRuntime] | type[HeatmapRuntime] | type[RtmoRuntime] | type[DetrPoseRuntime]
    outputs: Sequence[str]
    ranks: tuple[int, ...]


READERS: dict[Kind, _Reader] = {
    "simcc": _Reader(
        contract="one image to simcc_x and simcc_y, the scores of x and of y, each (images, keypoints, places)",
        recognizes=is_simcc,
        read_config=simcc_config,
        runtime=SimCCRuntime,
        outputs=SIMCC_OUTPUTS,
        ranks=(3, 3),
    ),
    "rtmo": _Reader(
        contract="one image to dets (images, people, 5) and keypoints (images, people, keypoints, 3)",
        recognizes=is_rtmo,
        read_config=rtmo_config,
        runtime=RtmoRuntime,
        outputs=RTMO_OUTPUTS,
        ranks=(3, 4),
    ),
    "heatmaps": _Reader(
        contract="one image to heatmaps (images, keypoints, height, width)",
        recognizes=is_heatmaps,
        read_config=heatmap_config,
        runtime=HeatmapRuntime,
        outputs=(HEATMAPS,),
        ranks=(4,),
    ),
    "detrpose": _Reader(
        contract="images and orig_target_sizes to scores, labels and keypoints (images, people, keypoints, 2)",
        recognizes=is_detrpose,
        read_config=detrpose_config,
        runtime=DetrPoseRuntime,
        outputs=DETRPOSE_OUTPUTS,
        ranks=(2, 2, 4),
    ),
}


@dataclass(frozen=True)
class ForeignFile:
    """A pose model of another project in an open ``.onnx`` file.

    Attributes:
        path: the file.
        kind: how it is read.
        session: what runs it, with the names of its kind.
        declared: the same file open in ONNX Runtime, which states shapes, with the names of its kind.

    >>> from types import SimpleNamespace as File
    >>> image, x = RenamedNode("image", [1, 3, 256, 192], "tensor(float)"), RenamedNode("simcc_x", [1, 17, 384], "")
    >>> session = File(get_inputs=lambda: [image], get_outputs=lambda: [x, RenamedNode("simcc_y", [1, 17, 512], "")])
    >>> file = ForeignFile(Path("rtmpose.onnx"), "simcc", session, session)
    >>> file.config().skeleton.name, file.config().on_crops.crop_size
    ('coco', Size(width=192, height=256))
    """

    path: Path
    kind: Kind
    session: Session
    declared: Any

    def config(self, skeleton: str | None = None) -> ModelConfig:
        """Read the model's configuration from the file's inputs and outputs.

        Raises:
            UsageError: if the skeleton does not fit, or must be named.
            EveryposeError: if the file leaves open what is needed.
        """
        return READERS[self.kind].read_config(self.declared, self.path, skeleton)

    def own_names(self) -> dict[str, str]:
        """Return the file's own name of each input and output that its kind has."""
        if isinstance(self.session, _RenamedSession):
            return self.session.own_names
        return {node.name: node.name for nodes in _nodes(self.declared) for node in nodes}

    def open(self, skeleton: str | None = None, *, flip: bool = False) -> ImageModel | CropModel:
        """Make what runs the model; errors as :meth:`config`.

        Raises:
            UsageError: if a flip test is wanted of a model that has none.
        """
        config, batches = self.config(skeleton), takes_batches(self.declared)
        runtime = READERS[self.kind].runtime
        if issubclass(runtime, FixedInputRuntime):
            require_no_flip_test(config, flip=flip)
            return ImageModel(runtime(self.session, config, self.path, batches=batches), config)
        return CropModel(runtime(self.session, config, self.path, batches=batches, flip=flip), config)


def require_no_flip_test(config: ModelConfig, *, flip: bool) -> None:
    """Check that no flip test is wanted of a model that has none.

    Raises:
        UsageError: if it is.

    >>> from everypose.methods.fixed_input.settings import FixedInputInference, RtmoSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> inference = FixedInputInference(input_size=(640, 640))
    >>> config = ModelConfig(name="rtmo", network=RtmoSettings(), skeleton=Skeleton.named("coco"), inference=inference)
    >>> require_no_flip_test(config, flip=True)
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: rtmo: there is no flip test for models of the family rtmo
    """
    if flip:
        raise UsageError(f"{config.name}: there is no flip test for models of the family {config.network.family}")


def recognize(session: Any) -> Kind | None:
    """Return how an open file of ONNX Runtime is read; None if its inputs and outputs are of no known kind.

    >>> from types import SimpleNamespace as File
    >>> outputs = [RenamedNode("dets", [1, 100, 5], ""), RenamedNode("keypoints", [1, 100, 17, 3], "")]
    >>> recognize(File(get_inputs=lambda: [RenamedNode("input", [1, 3, 640, 640], "")], get_outputs=lambda: outputs))
    'rtmo'
    """
    return next((kind for kind, reader in READERS.items() if reader.recognizes(session)), None)


def find_foreign(session: Session, declared: Any, path: Path, family: str | None = None) -> ForeignFile:
    """Determine how the pose model of another project is read.

    Args:
        session: what runs the file.
        declared: the file open in ONNX Runtime, which states shapes.
        path: the file.
        family: its family, one of :data:`FAMILIES`; by default its kind is recognized by the names of its inputs and
            outputs. With a family the names may differ: shapes and order count.

    Raises:
        UsageError: if there is no such family.
        EveryposeError: if the file is not recognized, or cannot be of the family.

    >>> from types import SimpleNamespace as File
    >>> image = [RenamedNode("image", [1, 3, 256, 192], "tensor(float)")]
    >>> outputs = [RenamedNode("simcc_x", [1, 17, 384], ""), RenamedNode("simcc_y", [1, 17, 512], "")]
    >>> session = File(get_inputs=lambda: image, get_outputs=lambda: outputs)
    >>> find_foreign(session, session, Path("end2end.onnx")).kind
    'simcc'
    """
    if family is not None and family not in FAMILIES:
        raise UsageError(f"there is no family {family!r} of ONNX files: choose from {', '.join(FAMILIES)}")
    kind = recognize(declared)
    if family is None:
        if kind is None:
            inputs, outputs = (", ".join(node.name for node in nodes) for nodes in _nodes(declared))
            raise EveryposeError(
                f"{path} is an ONNX file, but not a model of everypose, and its inputs ({inputs}) and outputs "
                f"({outputs}) do not identify it: name its family with --family ({', '.join(FAMILIES)})"
            )
        return ForeignFile(path, kind, session, declared)
    wanted = FAMILIES[family]
    if kind == wanted:
        return ForeignFile(path, kind, session, declared)
    names = _names_by_shape(declared, wanted)
    if names is None:
        raise EveryposeError(f"{path} is no model of the family {family}, whose files have {READERS[wanted].contract}")
    return ForeignFile(path, wanted, _RenamedSession(session, names), _RenamedSession(declared, names))


@dataclass(frozen=True)
class RenamedNode:
    """An input or output under another name.

    >>> RenamedNode("dets", [1, 100, 5], "tensor(float)").name
    'dets'
    """

    name: str
    shape: list[Any]
    type: str


class _RenamedSession:
    """An open file whose inputs and outputs have the names of its family.

    Attributes:
        own_names: the file's own name of each of them.
    """

    def __init__(self, session: Any, names: dict[str, str]) -> None:
        """Take an open file and, for each of its names that counts, that of the family."""
        self._session = session
        self._names = names
        self.own_names = {other: own for own, other in names.items()}

    def get_inputs(self) -> Sequence[Node]:
        """The inputs that the family has."""
        return self._renamed(self._session.get_inputs())

    def get_outputs(self) -> Sequence[Node]:
        """The outputs that the family has."""
        return self._renamed(self._session.get_outputs())

    def get_overridable_initializers(self) -> Sequence[Node]:
        """Optional inputs: the families have none."""
        return []

    def get_modelmeta(self) -> ModelMeta:
        """The file's metadata."""
        meta: ModelMeta = self._session.get_modelmeta()
        return meta

    def run(self, outputs: Sequence[str], feed: Arrays) -> list[Any]:
        """Run the file."""
        own = {self.own_names[name]: values for name, values in feed.items()}
        found: list[Any] = self._session.run([self.own_names[name] for name in outputs], own)
        return found

    def _renamed(self, nodes: Sequence[Any]) -> list[RenamedNode]:
        return [
            RenamedNode(self._names[node.name], getattr(node, "shape", []), getattr(node, "type", ""))
            for node in nodes
            if node.name in self._names
        ]


def _nodes(session: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    return session.get_inputs(), session.get_outputs()


def _names_by_shape(session: Any, kind: Kind) -> dict[str, str] | None:
    """The family's name of each input and output, by shapes and order; None if they cannot be the family's."""
    inputs, outputs = _nodes(session)
    reader, ranks = READERS[kind], tuple(len(node.shape) for node in outputs)
    if kind == "detrpose":
        if sorted(len(node.shape) for node in inputs) != [2, 4] or tuple(sorted(ranks)) != reader.ranks:
            return None
        # The labels are the one output of whole numbers.
        role = {"tensor(int64)": "labels", "tensor(int32)": "labels"}
        named = {node.name: role.get(node.type, "scores") if len(node.shape) == 2 else "keypoints" for node in outputs}
        named |= {node.name: DETRPOSE_INPUTS[0 if len(node.shape) == 4 else 1] for node in inputs}
        return named if {*named.values()} == {*DETRPOSE_INPUTS, *DETRPOSE_OUTPUTS} else None
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or ranks != reader.ranks:
        return None
    image = inputs[0].name
    return {image: image} | {node.name: name for node, name in zip(outputs, reader.outputs, strict=True)}
