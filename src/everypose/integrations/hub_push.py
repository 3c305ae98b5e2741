"""Publishing a model folder on the Hugging Face hub."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from everypose.core.files import sha256
from everypose.errors import EveryposeError, MissingDependencyError, UsageError, as_user_error
from everypose.evaluation.report.record import Record
from everypose.integrations.hub_card import model_card
from everypose.models.config import CONFIG_FILE, WEIGHTS_FILE, read_config
from everypose.models.downloads.client import is_offline
from everypose.models.downloads.hub_api import endpoint

CARD_FILE = "README.md"


@dataclass(frozen=True)
class Publication:
    r"""What is to be published.

    Attributes:
        repository: ``owner/name``.
        files: the model's files.
        card: the content of README.md.

    >>> Publication("me/mine", files=(Path("config.json"), Path("model.safetensors")), card="# mine\n").repository
    'me/mine'
    """

    repository: str
    files: tuple[Path, ...]
    card: str


def prepare_publication(folder: Path, repository: str, records: Sequence[Path] = (), *, license_id: str) -> Publication:
    """Check a model folder and its evaluation records, and write the card.

    Args:
        folder: a folder with config.json and model.safetensors; ONNX files in it are published, too.
        repository: ``owner/name``.
        records: files of evaluations of these weights.
        license_id: the weights' license, as the hub spells it, such as apache-2.0.

    Raises:
        EveryposeError: if the folder is no model, or a record is of other weights.
        UsageError: if the repository or the license is not spelled as on the hub.

    >>> import json
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.config import ModelConfig
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> _ = Path(CONFIG_FILE).write_text(json.dumps(config.model_dump(mode="json")))
    >>> _ = Path(WEIGHTS_FILE).write_bytes(b"the weights of a trained model")
    >>> [path.name for path in prepare_publication(Path(), "me/mine", license_id="apache-2.0").files]
    ['config.json', 'model.safetensors']
    """
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository):
        raise UsageError(f"{repository} is not a hub id: give owner/name")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license_id):
        raise UsageError(f"--license {license_id}: give the hub's spelling, such as apache-2.0 or cc-by-nc-4.0")
    weights = folder / WEIGHTS_FILE
    config = read_config(folder / CONFIG_FILE)
    if not weights.is_file():
        raise EveryposeError(f"{folder} has no {WEIGHTS_FILE}: give the folder of a trained or imported model")
    digest = sha256(weights)
    graphs = sorted(folder.glob("*.onnx"))
    hashes = {digest, *(sha256(graph) for graph in graphs)}
    read = [Record.read(path) for path in records]
    for path, record in zip(records, read, strict=True):
        if record.model_sha256 not in hashes:
            raise EveryposeError(f"{path} is an evaluation of other weights than those in {folder}")
    card = model_card(config, read, repository=repository, license_id=license_id, sha256=digest)
    return Publication(repository, (folder / CONFIG_FILE, weights, *graphs), card)


def publish(publication: Publication, *, private: bool = False) -> str:
    r"""Upload a model in one commit; the repository is made if there is none.

    The token is that of ``HF_TOKEN`` or of ``hf auth login``; the hub is that of ``HF_ENDPOINT``.

    Returns:
        The address of the commit.

    Raises:
        MissingDependencyError: if huggingface-hub is not installed.
        EveryposeError: if the hub refuses or cannot be reached.

    >>> import os
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {"HF_HUB_OFFLINE": "1"}):
    ...     publish(Publication("me/mine", files=(), card="# mine\n"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: cannot publish me/mine: HF_HUB_OFFLINE forbids connections
    """
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError as error:
        raise MissingDependencyError(f"publishing {publication.repository}", "hub") from error
    if is_offline():
        raise EveryposeError(f"cannot publish {publication.repository}: HF_HUB_OFFLINE forbids connections")
    operations = [CommitOperationAdd(CARD_FILE, publication.card.encode())]
    operations += [CommitOperationAdd(path.name, str(path)) for path in publication.files]
    with as_user_error(f"cannot publish {publication.repository}"):
        api = HfApi(endpoint=endpoint(), library_name="everypose")
        api.create_repo(publication.repository, private=private, exist_ok=True)
        commit = api.create_commit(publication.repository, operations, commit_message="Model by everypose")
        return str(commit.commit_url)
