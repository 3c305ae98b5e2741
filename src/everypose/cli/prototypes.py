"""``everypose prototypes``: a picture of what a PoseBH has learned of keypoints."""

from pathlib import Path
from typing import Annotated

import typer

from everypose.errors import MissingDependencyError, UsageError


def prototypes(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A PoseBH: a folder, an authors' checkpoint, a hub id.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write.")] = Path("prototypes.png"),
) -> None:
    """Draw the keypoint prototypes of a PoseBH in two dimensions.

    Keypoints that mean the same in several data sets have one colour; where the model has found out that they do, they
    lie together. The marker tells the data set.

    Example: everypose prototypes models/posebh-b -o prototypes.png
    """
    from everypose.drawing import Drawing
    from everypose.methods.posebh.settings import PoseBHSettings
    from everypose.models.locate import resolve
    from everypose.skeleton.skeleton import Skeleton
    from everypose.studies.prototype_map import prototype_picture

    file = resolve(model)
    if file.kind == "onnx":
        raise UsageError(f"{file.path} is an ONNX file, which has no prototypes: give the model that it was made from")
    try:
        from everypose.inference.runtimes.torch import read_whole_network
    except ImportError as error:
        raise MissingDependencyError("reading prototypes", "train") from error
    network, config = read_whole_network(file)
    if not isinstance(config.network, PoseBHSettings) or not config.network.embedding:
        raise UsageError(f"{model} has no prototypes: it is no PoseBH")
    bank = network.state_dict()["prototypes.bank"]
    unit = bank / bank.norm(dim=-1, keepdim=True)
    skeletons = {own.name: Skeleton.from_dict(own.skeleton) for own in config.network.datasets}
    Drawing(prototype_picture(unit.numpy(), skeletons)).save(out)
    print(f"{out}: {len(bank)} keypoints of {len(skeletons)} data sets, {bank.shape[1]} prototypes each")
