"""``everypose push``: publish a model on the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer


def push(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A model folder: config.json and model.safetensors.")
    ],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository; made if there is none.")],
    *,
    license_id: Annotated[
        str, typer.Option("--license", metavar="ID", help="License of the weights as the hub spells it: apache-2.0.")
    ],
    records: Annotated[
        list[Path] | None,
        typer.Option("--record", metavar="FILE", help="An evaluation of these weights, for the card; repeatable."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the card and upload nothing.")] = False,
) -> None:
    """Publish a model folder on the Hugging Face hub, with a card generated from evaluation records.

    Everyone with access then loads it by its id: everypose predict crowd.jpg -m OWNER/NAME. The token is that of
    HF_TOKEN or of 'hf auth login'. ONNX files in the folder are published, too.

    Example: everypose push models/mine me/mine --license apache-2.0 --record evaluation/record.json
    """
    from everypose.integrations.hub_push import prepare_publication, publish

    publication = prepare_publication(folder, repository, records or (), license_id=license_id)
    if dry_run:
        print(publication.card, end="")
        return
    print(publish(publication, private=private))
