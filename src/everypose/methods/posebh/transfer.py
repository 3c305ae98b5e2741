"""A new skeleton from a trained PoseBH: what it knows of embeddings stays, head and prototypes are made anew."""

from everypose.methods.posebh.network import DataSet, PoseBH


def transfer(source: PoseBH, skeleton: DataSet, like: str) -> PoseBH:
    """The network that learns a new data set; train it by one of the transfer schedules, with a frozen embedding.

    The expert of the data set ``like`` is merged into the backbone. The new head starts as that set's head, but for its
    last layer, and the prototypes start at random. Weights are shared with ``source``.

    Raises:
        UsageError: ``source`` knows no data set ``like``, or the new one has no keypoints.
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
