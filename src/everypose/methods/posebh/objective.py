"""What a training step of PoseBH minimises, and how the prototypes move with it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from everypose.methods.posebh.clusters import Clusters, cluster_loss
from everypose.methods.posebh.cross_type import cross_type_loss
from everypose.methods.posebh.losses import LossSettings, heatmap_loss, prototype_losses
from everypose.methods.posebh.network import PoseBH, TrainingOutputs
from everypose.methods.posebh.phases import Phase
from everypose.methods.posebh.prototypes import Prototypes
from everypose.methods.posebh.targets import Target


def losses(
    network: PoseBH,
    outputs: TrainingOutputs,
    targets: Sequence[Target],
    phase: Phase,
    settings: LossSettings,
    clusters: Clusters | None = None,
) -> dict[str, Tensor]:
    """The weighted losses of a batch; training minimises their sum.

    While the phase says so, the network's prototypes move towards the embeddings, and in the end all processes hold
    the same ones. All is in float32, even under mixed precision: the gradients of the prototypes' losses are tiny.

    Args:
        network: in training mode.
        outputs: the network's, of the whole batch.
        targets: one for each data set.
        phase: what happens in this epoch.
        settings: weights and limits.
        clusters: those of the prototypes, where the phase uses them.

    Returns:
        ``heatmap_NAME`` of each data set; with an embedding ``prototype`` and ``prototype_heatmap``, and in the second
        phase ``cross_type`` and ``clusters``.
    """
    with torch.autocast(outputs.heatmaps[0].device.type, enabled=False):
        values = {
            f"heatmap_{dataset.name}": heatmap_loss(maps, target)
            for dataset, maps, target in zip(network.datasets, outputs.heatmaps, targets, strict=True)
        }
        if outputs.embedding is None or network.prototypes is None:
            return values
        values |= _learn_prototypes(outputs.embedding, targets, network.prototypes, phase, settings)
        if phase.cross_type:
            rows = [target.rows for target in targets]
            values["cross_type"] = cross_type_loss(
                outputs.heatmaps, outputs.embedding, rows, network.prototypes, settings
            )
        if phase.clusters:
            assert clusters is not None, "the phase asks for clusters"
            values["clusters"] = cluster_loss(outputs.embedding, targets, clusters, settings)
        return values


def _learn_prototypes(
    embedding: Tensor, targets: Sequence[Target], prototypes: Prototypes, phase: Phase, settings: LossSettings
) -> dict[str, Tensor]:
    """The two losses of every data set's own samples; the prototypes move after each, if they do in this phase."""
    contrast, heatmap = embedding.new_zeros(()), embedding.new_zeros(())
    for dataset, target in enumerate(targets):
        if not len(target.rows):
            continue
        own = embedding[target.rows]
        found = prototype_losses(own, target, prototypes, dataset, settings)
        contrast, heatmap = contrast + found.prototype, heatmap + found.prototype_heatmap
        if phase.prototypes:
            counts = found.assignment.confidence if settings.pixel_weight == "confidence" else 1.0
            weight = found.recognised * counts
            prototypes.follow(dataset, own, found.assignment.prototype, weight, settings.momentum)
    if phase.prototypes:
        prototypes.synchronise()
    return {"prototype": contrast, "prototype_heatmap": heatmap}
