"""Initial weights of a PoseBH model from another one: with the same data sets, or transferred to a new skeleton."""

from torch import nn

from everypose.errors import UsageError
from everypose.methods.posebh.network import DataSet, PoseBH


def transfer(source: PoseBH, skeleton: DataSet, like: str) -> PoseBH:
    """Return the network for a new data set; train it by one of the transfer schedules, with a frozen embedding.

    The expert of the data set ``like`` is merged into the backbone. The new head starts as that data set's head, except
    for its last layer; the prototypes start at random. Weights are shared with ``source``.

    Args:
        source: with all its experts and heads.
        skeleton: the new data set.
        like: a data set of ``source``.

    Raises:
        UsageError: if ``source`` has no data set ``like``, or the new one has no keypoints.

    >>> from everypose.backbones.vit import ViT
    >>> backbone = ViT(width=16, depth=1, heads=2, experts=2, expert_part=4)
    >>> source = PoseBH(backbone, [DataSet("coco", 17), DataSet("ap10k", 17)], embedding=8, channels=4)
    >>> network = transfer(source, DataSet("mouse", 5), like="ap10k")
    >>> network.datasets, network.embedding is source.embedding
    ((DataSet(name='mouse', keypoints=5),), True)
    """
    backbone, head = source.backbone.merged(source.index_of(like)), source.head_of(like)
    sizes = {"embedding": 0}
    if source.prototypes is not None:
        _, prototypes, embedding = source.prototypes.bank.shape
        sizes = {"embedding": embedding, "prototypes": prototypes}
    network = PoseBH(backbone, [skeleton], channels=head.final_layer.in_channels, **sizes)
    network.head_of(skeleton.name).deconv_layers.load_state_dict(head.deconv_layers.state_dict())
    network.embedding = source.embedding
    return network


def adapt_source(source: nn.Module, network: PoseBH, name: str, like: str) -> nn.Module:
    """Return a source whose experts and heads are those of the data sets of ``network``: itself, or transferred.

    Args:
        source: the model that training starts from.
        network: the network to train.
        name: the source's name, for messages.
        like: the data set of the source that a new one starts from; empty for the same data sets.

    Raises:
        UsageError: if the data sets are others, or a transfer is not from a PoseBH to one new data set.

    >>> from everypose.backbones.vit import ViT
    >>> source = PoseBH(ViT(width=16, depth=1, heads=2), [DataSet("coco", 17)], embedding=0, channels=4)
    >>> mouse = PoseBH(ViT(width=16, depth=1, heads=2), [DataSet("mouse", 5)], embedding=0, channels=4)
    >>> adapt_source(source, mouse, "posebh-b", like="coco").datasets
    (DataSet(name='mouse', keypoints=5),)
    """
    names = [own.name for own in network.datasets]
    posebh = source if isinstance(source, PoseBH) else None
    if like:
        if posebh is None or len(names) > 1:
            raise UsageError("start.transfer_like goes from a PoseBH or ViTPose++ with all its experts to one new set")
        return transfer(posebh, network.datasets[0], like)
    known = [own.name for own in posebh.datasets] if posebh is not None else []
    if names != known:
        raise UsageError(
            f"{name} has {len(known)} data sets ({', '.join(known) or 'it is not a PoseBH model'}), the recipe "
            f"{len(names)} ({', '.join(names)}): its experts and heads need the same sets in the same order; for one "
            "new set, give start.transfer_like"
        )
    return source
