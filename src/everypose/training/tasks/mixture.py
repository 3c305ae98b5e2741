"""Training PoseBH and ViTPose++: one network from several data sets with different skeletons."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from everypose.backbones.colours import normalise
from everypose.errors import EveryposeError
from everypose.methods.posebh.clusters import Clusters, cluster_prototypes
from everypose.methods.posebh.network import PoseBH
from everypose.methods.posebh.objective import losses
from everypose.methods.posebh.phases import freeze
from everypose.methods.posebh.settings import DataSetSettings, PoseBHSettings, decoder_of
from everypose.methods.posebh.targets import render_targets
from everypose.methods.top_down.settings import TopDownInference
from everypose.training.initial_weights import make_network, model_config
from everypose.training.optimizer_groups import parameter_groups
from everypose.training.recipe import Recipe
from everypose.training.tasks.mixture_samples import MixedBatch, MixedSamples, SetPeople
from everypose.training.validation import Validator, read_source, require_same_keypoints


class MixedTask:
    """Crops of one person each, of any data set: the network is called as ``network(images, dataset)``.

    Raises:
        UsageError: sets and network do not belong together.
        EveryposeError: data or the weights to start from cannot be used.
    """

    def __init__(self, recipe: Recipe) -> None:
        model, inference, root = recipe.model, recipe.inference, Path(recipe.data.root)
        assert isinstance(model, PoseBHSettings)
        assert isinstance(inference, TopDownInference)
        people = [SetPeople(own, root, inference) for own in recipe.data.sets]
        self._recipe = with_sets(recipe, people)
        self.config = model_config(self._recipe, people[0].skeleton)
        if self.config.on_crops.nms is not None:
            for own in people:
                _require_sigmas(own, "to leave out people found twice", "give --set inference.nms=none")
        self.samples = MixedSamples(people, recipe.trainer.seed)
        self.validators = [validator for own in people for validator in self._validators(own, root)]
        self.sets = [one for own in people for one in own.training]
        self._schedule = recipe.phases.settings()
        self._settings = recipe.prototypes.settings()
        self._phase = self._schedule.phase(0)
        self._clusters: Clusters | None = None

    def make_network(self) -> nn.Module:
        """The recipe's network with its first weights; the phases say what of it learns."""
        return make_network(self._recipe, len(self.config.read_skeleton()))

    def parameter_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """All parameters, also those that are frozen in the first phase; in the backbone block by block."""
        return parameter_groups(network, self._recipe.optim)

    def begin_step(self, network: nn.Module, epoch: float) -> None:
        """Freeze what does not learn in this epoch."""
        assert isinstance(network, PoseBH)
        self._phase = self._schedule.phase(epoch)
        freeze(network, self._phase)
        if self._phase.clusters and self._clusters is None and network.prototypes is not None:
            bank = network.prototypes.of()
            self._clusters = cluster_prototypes(bank, min(self._recipe.prototypes.cluster_count, len(bank)))

    def losses(self, network: nn.Module, batch: MixedBatch) -> dict[str, Tensor]:
        """The method's losses; targets are rendered here, on the device. Those of later phases are 0 until then."""
        assert isinstance(network, PoseBH)
        targets = render_targets(batch.crops, batch.rows, network.datasets)
        images = normalise(batch.crops.images, bgr=self.config.on_crops.bgr).contiguous(
            memory_format=torch.channels_last
        )
        outputs = network(images, batch.crops.dataset)
        found = losses(network, outputs, targets, self._phase, self._settings, self._clusters)
        zero = images.new_zeros(())
        return dict.fromkeys(self._names_of_later_losses(), zero) | found

    def sample_counts(self, batch: MixedBatch) -> dict[str, int]:
        """How many of the batch's people are of each set: its heatmaps' loss takes all others for faultless."""
        names = [f"heatmap_{own.name}" for own in self._recipe.data.sets]
        return {name: len(rows) for name, rows in zip(names, batch.rows, strict=True)}

    def _names_of_later_losses(self) -> Sequence[str]:
        assert isinstance(self.config.network, PoseBHSettings)
        if not self.config.network.embedding:
            return []
        starts = {"cross_type": self._schedule.cross_type_from, "clusters": self._schedule.clusters_from}
        return [name for name, start in starts.items() if start is not None]

    def _validators(self, own: SetPeople, root: Path) -> list[Validator]:
        """What measures the network on a set, by the set's own skeleton, crops and decoder."""
        found = []
        for source in own.settings.val:
            _require_sigmas(own, "to be validated by AP", "leave out its val")
            annotated = read_source(source, root, skeleton=own.skeleton, settings=self._recipe.validation)
            require_same_keypoints(own.training[0], annotated)
            found.append(Validator(annotated, self.config, self._recipe.validation, name=own.settings.name))
        return found


def with_sets(recipe: Recipe, people: Sequence[SetPeople]) -> Recipe:
    """The recipe with what the sets say: the network's data sets, an expert for each, and the first one's crops."""
    model = recipe.model
    assert isinstance(model, PoseBHSettings)
    datasets = tuple(
        DataSetSettings(
            name=own.settings.name,
            skeleton=own.skeleton.to_dict(),
            convention=own.settings.convention,
            crop=own.settings.crop,
        )
        for own in people
    )
    experts = model.backbone.experts or (len(people) if model.backbone.expert_part else 0)
    backbone = model.backbone.model_copy(update={"experts": experts})
    first = datasets[0]
    cut = {"convention": first.convention, "decoder": decoder_of(first.convention), "crop": first.crop}
    inference = recipe.inference.model_copy(update=cut)
    model = model.model_copy(update={"datasets": datasets, "backbone": backbone})
    return recipe.model_copy(update={"model": model, "inference": inference})


def _require_sigmas(own: SetPeople, purpose: str, otherwise: str) -> None:
    if own.skeleton.sigmas is None:
        raise EveryposeError(
            f"the set {own.settings.name} needs the sigmas of its skeleton {own.skeleton.name!r} {purpose}, and they "
            f"are unknown: 'everypose data sigmas' writes a TOML file with them, to be given as the set's skeleton; "
            f"or {otherwise}"
        )
