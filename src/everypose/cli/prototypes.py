"""``everypose prototypes``: draw the keypoint prototypes of a PoseBH model."""

from pathlib import Path
from typing import Annotated

import typer

from everypose.errors import MissingDependencyError, UsageError


def prototypes(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A PoseBH model: a folder, a released checkpoint or a hub id.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The image file to write.")] = Path("prototypes.png"),
) -> None:
    """Draw the keypoint prototypes of a PoseBH model in two dimensions.

    Equal body parts of different data sets have one color; prototypes that the model has learned to align are close to
    each other. The marker's shape is the data set.

    Example: everypose prototypes models/posebh-b -o prototypes.png
    """
    from everypose.drawing import Drawing
    from everypose.methods.posebh.settings import PoseBHSettings
    from everypose.models.locate import resolve
    from everypose.skeleton.skeleton import Skeleton
    from everypose.studies.prototype_map import prototype_picture

    file = resolve(model)
    if file.kind == "onnx":
        raise UsageError(
            f"{file.path} is an ONNX file, which has no prototypes: give the model that it was exported from"
        )
    try:
        from everypose.inference.runtimes.torch import read_whole_network
    except ImportError as error:
        raise MissingDependencyError("reading prototypes", "train") from error
    network, config = read_whole_network(file)
    if not isinstance(config.network, PoseBHSettings) or not config.network.embedding:
        raise UsageError(f"{model} has no prototypes: it is not a PoseBH model")
    bank = network.state_dict()["prototypes.bank"]
    unit = bank / bank.norm(dim=-1, keepdim=True)
    skeletons = {own.name: Skeleton.from_dict(own.skeleton) for own in config.network.datasets}
    Drawing(prototype_picture(unit.numpy(), skeletons)).save(out)
    print(f"{out}: {len(bank)} keypoints of {len(skeletons)} data sets, {bank.shape[1]} prototypes each")
