"""MoveNet Lightning (Google, Apache-2.0) as initial weights of the lite backbone."""

from collections.abc import Mapping

from torch import Tensor

from everypose.core.renaming import Renaming

RENAMING = Renaming((("backbone.block", "blocks."), ("backbone.", ""), ("fpn.", "")))


def to_everypose(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors to those of :class:`everypose.backbones.lite.Lite`, without the ``kpt_offset`` head.

    >>> list(to_everypose({"backbone.block1.weight": None, "fpn.top.weight": None, "kpt_offset.weight": None}))
    ['blocks.1.weight', 'top.weight']
    """
    return RENAMING.to_everypose(
        {name: value for name, value in released.items() if not name.startswith("kpt_offset.")}
    )
