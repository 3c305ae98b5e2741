"""``everypose study similarity``, ``tsne`` and ``heatmaps``: pictures of the maps inside a network."""

from typing import Annotated, Literal

import typer

from everypose.cli.study_options import (
    OUT,
    BoxesOption,
    BoxOption,
    DetectorOption,
    ImageArgument,
    JsonOption,
    OutOption,
    QuietOption,
    finish,
    one_box,
    several_boxes,
)

ModelsArgument = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Single-stage models: names, folders, files or hub ids.")
]


def similarity(
    models: ModelsArgument,
    image: ImageArgument,
    boxes: BoxesOption = None,
    detector: DetectorOption = None,
    people: Annotated[int, typer.Option(help="The most detections.", min=1)] = 4,
    out: OutOption = OUT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Similarity of the feature map to the feature at each box center, models side by side (BoIR, Fig. 1).

    Example: everypose study similarity boir-lite crowd.jpg
    """
    from everypose.data.images import read_image
    from everypose.studies.inner_maps import open_features
    from everypose.studies.similarity import study_similarity

    pixels = read_image(image)
    opened = [open_features(model) for model in models]
    found = several_boxes(boxes, detector, pixels, people)
    study = study_similarity(opened, pixels, found, name=image.name)
    finish(study, out, as_json=as_json, quiet=quiet)


def tsne(
    models: ModelsArgument,
    image: ImageArgument,
    method: Annotated[
        Literal["tsne", "pca"], typer.Option(help="t-SNE needs minutes and scikit-learn, PCA seconds.")
    ] = "tsne",
    cells: Annotated[int, typer.Option(help="The most pixels of a feature map; larger ones are averaged.")] = 4096,
    out: OutOption = OUT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Backbone features as colors: three values for each pixel by t-SNE (BoIR, Fig. 3).

    Example: everypose study tsne boir-lite crowd.jpg --method pca
    """
    from everypose.data.images import read_image
    from everypose.studies.embedding_colors import study_colors
    from everypose.studies.inner_maps import open_features

    opened = [open_features(model) for model in models]
    study = study_colors(opened, read_image(image), method=method, cells=cells, name=image.name, quiet=quiet)
    finish(study, out, as_json=as_json, quiet=quiet)


def heatmaps(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A MIPNet model: a name, a folder, a file or a hub id.")
    ],
    image: ImageArgument,
    against: Annotated[
        str | None, typer.Option("--against", metavar="BASELINE", help="A top-down model to show next to it.")
    ] = None,
    box: BoxOption = None,
    detector: DetectorOption = None,
    keypoint: Annotated[
        str | None, typer.Option(metavar="NAME", help="Draw one keypoint's map. Default: the maximum over all.")
    ] = None,
    out: OutOption = OUT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Heatmaps of each instance selector in one box, next to a baseline's (MIPNet, Fig. 2).

    Example: everypose study heatmaps mipnet-lite crowd.jpg --box 100,50,400,600
    """
    from everypose.data.images import read_image
    from everypose.studies.heatmaps import study_heatmaps
    from everypose.studies.inner_maps import open_heatmaps

    pixels = read_image(image)
    opened = [open_heatmaps(each) for each in (against, model) if each is not None]
    where = one_box(box, detector, pixels, image)
    study = study_heatmaps(opened, pixels, box=where, keypoint=keypoint, name=image.name)
    finish(study, out, as_json=as_json, quiet=quiet)
