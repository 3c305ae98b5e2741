"""MoveNet Lightning (Google, Apache-2.0) as the start of the small backbone."""

from collections.abc import Mapping

from torch import Tensor

from everypose.core.renaming import Renaming

RENAMING = Renaming((("backbone.block", "blocks."), ("backbone.", ""), ("fpn.", "")))


def to_ours(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of :class:`everypose.backbones.lite.Lite`; its ``kpt_offset`` head is left out."""
    return RENAMING.to_ours({name: value for name, value in theirs.items() if not name.startswith("kpt_offset.")})
