"""The losses of a training step of PoseBH, and the prototypes that it moves."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from everypose.methods.posebh.clusters import Clusters, cluster_loss
from everypose.methods.posebh.cross_type import cross_type_loss
from everypose.methods.posebh.losses import PrototypeLosses, heatmap_loss, prototype_losses
from everypose.methods.posebh.network import PoseBH, PoseBHOutputs
from everypose.methods.posebh.prototypes import Prototypes, mean_over_processes
from everypose.methods.posebh.settings import Phase, PoseBHLosses
from everypose.methods.posebh.sinkhorn import gumbel_noise, moving_prototypes
from everypose.methods.posebh.targets import Target


class PoseBHStep(NamedTuple):
    """What a batch determines.

    Attributes:
        losses: the weighted losses by name; training minimizes their sum.
        bank: the moved prototypes (K, M, D) of all data sets, the same in all processes; None if they do not move.

    >>> step = PoseBHStep({"heatmap_coco": torch.tensor(0.5), "prototype": torch.tensor(0.25)}, bank=None)
    >>> float(sum(step.losses.values()))  # what training minimizes
    0.75
    """

    losses: dict[str, Tensor]
    bank: Tensor | None


def losses(
    network: PoseBH,
    outputs: PoseBHOutputs,
    targets: Sequence[Target],
    *,
    phase: Phase,
    settings: PoseBHLosses,
    clusters: Clusters | None = None,
    generator: torch.Generator | None = None,
) -> PoseBHStep:
    """Return the weighted losses of a batch and the moved prototypes; the network is not changed.

    All is in float32, even under mixed precision: the gradients of the prototypes' losses are tiny.

    Args:
        network: in training mode.
        outputs: the network's, of the whole batch.
        targets: one for each data set.
        phase: what happens in this epoch.
        settings: weights and thresholds.
        clusters: those of the prototypes, if the phase uses them.
        generator: draws the prototypes that pixels move, if the settings ask for a draw; on the CPU. None for torch's
            own.

    Returns:
        ``heatmap_NAME`` of each data set; with an embedding ``prototype`` and ``prototype_heatmap``, and in the second
        phase ``cross_type`` and ``clusters``.

    >>> from everypose.backbones.vit import ViT
    >>> from everypose.methods.posebh.network import DataSet
    >>> from everypose.methods.posebh.settings import PhaseSchedule
    >>> backbone = ViT(width=16, depth=1, heads=2, image_size=(48, 64))
    >>> network = PoseBH(backbone, [DataSet("mouse", 2)], embedding=8, channels=4)
    >>> outputs = network(torch.zeros(2, 3, 64, 48), dataset=torch.tensor([0, 0]))
    >>> target = Target(torch.tensor([0, 1]), torch.rand(2, 2, 16, 12), torch.ones(2, 2))
    >>> step = losses(network, outputs, [target], phase=PhaseSchedule().phase(0), settings=PoseBHLosses())
    >>> list(step.losses), step.bank.shape  # in the first phase the prototypes move
    (['heatmap_mouse', 'prototype', 'prototype_heatmap'], torch.Size([2, 3, 8]))
    """
    with torch.autocast(outputs.heatmaps[0].device.type, enabled=False):
        values = {
            f"heatmap_{dataset.name}": heatmap_loss(maps, target)
            for dataset, maps, target in zip(network.datasets, outputs.heatmaps, targets, strict=True)
        }
        if outputs.embedding is None or network.prototypes is None:
            return PoseBHStep(values, None)
        prototypes, bank = network.prototypes, None
        found = _prototype_losses(outputs.embedding, targets, prototypes, settings)
        zero = outputs.embedding.new_zeros(())
        values["prototype"] = sum((one.prototype for one in found.values()), zero)
        values["prototype_heatmap"] = sum((one.prototype_heatmap for one in found.values()), zero)
        if phase.prototypes:
            bank = _moved_bank(outputs.embedding, targets, prototypes, found, settings=settings, generator=generator)
            prototypes = prototypes.with_bank(bank)
        if phase.cross_type:
            rows = [target.rows for target in targets]
            values["cross_type"] = cross_type_loss(outputs.heatmaps, outputs.embedding, rows, prototypes, settings)
        if phase.clusters:
            assert clusters is not None, "the phase asks for clusters"
            values["clusters"] = cluster_loss(outputs.embedding, targets, clusters, settings)
        return PoseBHStep(values, bank)


def _prototype_losses(
    embedding: Tensor, targets: Sequence[Target], prototypes: Prototypes, settings: PoseBHLosses
) -> dict[int, PrototypeLosses]:
    """Return the losses of every data set's own samples, by data set; none for one without samples."""
    return {
        dataset: prototype_losses(embedding[target.rows], target, prototypes, dataset, settings)
        for dataset, target in enumerate(targets)
        if len(target.rows)
    }


@torch.no_grad()
def _moved_bank(
    embedding: Tensor,
    targets: Sequence[Target],
    prototypes: Prototypes,
    found: dict[int, PrototypeLosses],
    *,
    settings: PoseBHLosses,
    generator: torch.Generator | None,
) -> Tensor:
    """Return the bank after all data sets' prototypes have moved, as the mean over all processes."""
    parts = []
    for dataset, target in enumerate(targets):
        if dataset not in found:
            parts.append(prototypes.raw(dataset))
            continue
        one = found[dataset]
        counts = one.assignment.confidence if settings.pixel_weight == "confidence" else 1.0
        plan = one.assignment.plan
        noise = plan if settings.assignment == "likeliest" else gumbel_noise(plan, generator)
        parts.append(
            prototypes.moved(
                dataset,
                embedding[target.rows],
                moving_prototypes(one.assignment, settings.assignment, noise),
                weight=one.recognized * counts,
                momentum=settings.momentum,
            )
        )
    return mean_over_processes(torch.cat(parts))
