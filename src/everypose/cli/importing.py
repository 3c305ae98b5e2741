"""``everypose import``: convert a released checkpoint to a model folder, and back."""

from pathlib import Path
from typing import Annotated

import typer


def import_model(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The released checkpoint, or a ViTPose folder of transformers."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write config.json and the weights to.")],
    skeleton: Annotated[
        str | None, typer.Option(help="The keypoints' skeleton; needed unless there are 17 (COCO) or 14 (CrowdPose).")
    ] = None,
    crop: Annotated[
        str, typer.Option(metavar="WxH", help="Width and height of the crops, which HRNet's files do not contain.")
    ] = "192x256",
    back: Annotated[
        bool,
        typer.Option(
            "--back", help="The reverse: FILE is a model folder, OUT a checkpoint in the released format (.pth)."
        ),
    ] = False,
) -> None:
    """Convert a released checkpoint to a model folder, or with --back a model folder to the released format.

    Checkpoints of BoIR, CID, MIPNet, HRNet, SimpleBaseline, ViTPose, ViTPose++ and PoseBH are known, and ViTPose and
    ViTPose++ as Hugging Face transformers stores them. Method, width,
    keypoints and training heads are determined from the file. Every tensor must fit. No code in the file is executed:
    a file that contains more than tensors is refused.

    Example: everypose import boir_w32_coco.pth -o models/boir-w32-coco
    """
    from everypose.errors import MissingDependencyError

    try:
        from everypose.models.import_checkpoint import import_checkpoint, write_released
        from everypose.models.storage import load_model, save_model
    except ImportError as error:
        raise MissingDependencyError("importing a checkpoint", "train") from error
    from everypose.models.locate import resolve
    from everypose.skeleton.skeleton import Skeleton

    if back:
        network, config = load_model(file)
        write_released(network, config, out)
        print(f"{out}: {file} under the authors' names")
        return
    if file.is_dir():
        file = resolve(file).path
    network, config = import_checkpoint(file, Skeleton.named(skeleton) if skeleton else None, _size(crop))
    config = save_model(network, config.model_copy(update={"name": out.name}), out)
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    print(
        f"{out}: {type(network).__name__}, {millions:.1f} million parameters, skeleton {config.skeleton.name}, "
        f"sha256 {config.provenance['sha256'][:12]}"
    )


def _size(text: str) -> tuple[int, int]:
    """Width and height from "192x256"."""
    from everypose.errors import UsageError

    width, by, height = text.partition("x")
    if not by or not width.isdecimal() or not height.isdecimal() or max(len(width), len(height)) > 9:
        raise UsageError(f"--crop {text}: write it as WIDTHxHEIGHT, such as 192x256")
    return int(width), int(height)
