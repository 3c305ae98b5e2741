"""The card of a published model, written from its configuration and its evaluation records."""

import re
from collections.abc import Sequence

from everypose.evaluation.report.record import Record, shown
from everypose.models.config import ModelConfig

_PROTOCOL = ("metric", "boxes", "flip", "input_size", "nms", "images", "persons", "annotations")
"""Fields of the protocol in the card; data set and split are in the heading."""


def model_card(config: ModelConfig, records: Sequence[Record], *, repository: str, license_id: str, sha256: str) -> str:
    r"""Return the card in Markdown, with the front matter that the hub reads.

    Args:
        config: the model's configuration.
        records: its evaluations; every number in the card is from them.
        repository: ``owner/name``, for the example.
        license_id: the weights' license, as the hub spells it.
        sha256: of the weights.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> card = model_card(config, [], repository="me/mine", license_id="apache-2.0", sha256="0" * 64)
    >>> print("\n".join(card.splitlines()[:5]))
    ---
    license: apache-2.0
    library_name: everypose
    pipeline_tag: keypoint-detection
    tags: [human-pose-estimation, cid]
    """
    name = repository.partition("/")[2]
    lines = [
        "---",
        f"license: {license_id}",
        "library_name: everypose",
        "pipeline_tag: keypoint-detection",
        f"tags: [human-pose-estimation, {config.network.family}]",
        "---",
        f"# {name}",
        "",
        f"A pose model of the family {config.network.family} with the {len(config.skeleton)} keypoints of "
        f"{_cell(config.skeleton.name)}, for [everypose](https://pypi.org/project/everypose/).",
        "",
        "```bash",
        "pip install 'everypose[train]'",
        f"everypose predict crowd.jpg -m {repository}",
        "```",
        "",
        f"SHA-256 of the weights: `{sha256}`",
        "",
        "## Evaluation",
        "",
    ]
    if not records:
        lines.append("This model comes without an evaluation record.")
    for record in records:
        lines += _evaluation(record)
    lines += ["", "## Origin", ""]
    lines += [f"- {_cell(key.replace('_', ' '))}: {_cell(str(value))}" for key, value in config.provenance.items()]
    return "\n".join(lines).rstrip() + "\n"


def _evaluation(record: Record) -> list[str]:
    """Heading, numbers and protocol of one evaluation."""
    protocol = record.protocol.model_dump()
    lines = [f"### {_cell(protocol['dataset'])}, {_cell(protocol['split'])}", "", "| number | value |", "|---|---|"]
    for part, numbers in record.numbers.items():
        for name, value in numbers.items():
            scale = 1 if name == "EPE" else 100
            text = "–" if value is None else f"{scale * value:.1f}"
            lines.append(f"| {_cell(f'{part} {name}'.strip())} | {text} |")
    lines += ["", "Percent, EPE in pixels. Protocol:", ""]
    lines += [f"- {field.replace('_', ' ')}: {_cell(shown(protocol[field]))}" for field in _PROTOCOL]
    lines += [f"- note: {_cell(note)}" for note in record.notes]
    return [*lines, ""]


def _cell(text: str) -> str:
    """Text without what would end a table's cell or begin markup.

    >>> _cell("a|b<c>")
    'a b c '
    """
    return re.sub(r"[|<>\r\n`]", " ", text)
