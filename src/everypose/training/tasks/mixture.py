"""Training of PoseBH and ViTPose++: one network from several data sets with different skeletons."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from everypose.backbones.normalization import normalize
from everypose.errors import EveryposeError
from everypose.methods.posebh.clusters import Clusters, choose_count, cluster_prototypes
from everypose.methods.posebh.network import PoseBH
from everypose.methods.posebh.objective import losses
from everypose.methods.posebh.phases import freeze
from everypose.methods.posebh.settings import DataSetSettings, PoseBHSettings, decoder_of
from everypose.methods.posebh.targets import render_targets
from everypose.methods.top_down.settings import TopDownInference
from everypose.training.datasets import require_same_skeleton
from everypose.training.initial_weights import make_network, model_config
from everypose.training.optimizer_groups import ParameterGroup, parameter_groups
from everypose.training.recipe import MixtureRecipe
from everypose.training.tasks.mixture_samples import MixedBatch, MixedSamples, SetPeople
from everypose.training.validation import Validator, read_source


class MixtureTask:
    """A crop for each person, of any data set: the network is called as ``network(images, dataset)``.

    Attributes:
        config: the configuration of the trained model.
        samples: the training samples.
        validators: one for each validation set.
        sets: the training sets.

    Raises:
        UsageError: if data sets and network do not fit.
        EveryposeError: if data or the weights to start from cannot be used.

    >>> from everypose.training.recipe import parse_recipe
    >>> sets = [{"name": "people", "train": [{"annotations": "people.json", "images": "."}]}]
    >>> table = {"model": {"family": "posebh"}, "inference": {"crop_size": [192, 256]}, "data": {"sets": sets}}
    >>> task = MixtureTask(parse_recipe(table | {"schedule": {"epochs": 100}}))
    >>> len(task.samples), task.config.skeleton.name
    (1, 'coco')
    """

    leaves_parameters_unused = True

    def __init__(self, recipe: MixtureRecipe) -> None:
        root = Path(recipe.data.root)
        people = [SetPeople(own, root, recipe.inference) for own in recipe.data.sets]
        self._recipe = recipe
        self._network, inference = _with_sets(recipe, people)
        self.config = model_config(recipe, people[0].skeleton, network=self._network, inference=inference)
        if inference.nms is not None:
            for own in people:
                _require_sigmas(own, "for the NMS of duplicate detections", "give --set inference.nms=none")
        self.samples = MixedSamples(people, recipe.trainer.seed)
        self.validators = [validator for own in people for validator in self._validators(own, root)]
        self.sets = [one for own in people for one in own.training]
        self._phase = recipe.phases.phase(0)
        self._clusters: Clusters | None = None
        self._generator = torch.Generator()
        self._bank: Tensor | None = None

    def make_network(self) -> PoseBH:
        """Make the recipe's network with its initial weights; the phases determine what is trained."""
        return cast(PoseBH, make_network(self._recipe, len(self.config.skeleton), settings=self._network))

    def parameter_groups(self, network: PoseBH) -> list[ParameterGroup]:
        """Return all parameters, also those that are frozen in the first phase; those of the backbone by block."""
        return parameter_groups(network, self._recipe.optim)

    def begin_step(self, network: PoseBH, epoch: float) -> None:
        """Freeze what is not trained in this epoch."""
        self._phase = self._recipe.phases.phase(epoch)
        freeze(network, self._phase)
        # A function of the step, so that a resumed run draws what it would have drawn.
        draws = np.random.default_rng((self._recipe.trainer.seed, 3, round(epoch * len(self.samples))))
        self._generator.manual_seed(int(draws.integers(2**63)))
        if self._phase.clusters and self._clusters is None and network.prototypes is not None:
            bank = network.prototypes.of()
            count = self._recipe.prototypes.cluster_count
            chosen = min(count, len(bank)) if isinstance(count, int) else choose_count(bank, count)
            self._clusters = cluster_prototypes(bank, chosen)

    def losses(self, network: PoseBH, batch: MixedBatch) -> dict[str, Tensor]:
        """Return the method's losses; targets are rendered here, on the device. Those of later phases are 0 until then.

        The moved prototypes are kept for :meth:`end_step`.
        """
        targets = render_targets(batch.crops, batch.rows, network.datasets)
        images = normalize(batch.crops.images, bgr=self.config.on_crops.bgr).contiguous(
            memory_format=torch.channels_last
        )
        outputs = network(images, batch.crops.dataset)
        step = losses(
            network,
            outputs,
            targets,
            phase=self._phase,
            settings=self._recipe.prototypes,
            clusters=self._clusters,
            generator=self._generator,
        )
        self._bank = step.bank
        zero = images.new_zeros(())
        return dict.fromkeys(self._names_of_later_losses(), zero) | step.losses

    def end_step(self, network: PoseBH) -> None:
        """Move the prototypes as the last losses determined."""
        if self._bank is not None and network.prototypes is not None:
            network.prototypes.bank.copy_(self._bank)
        self._bank = None

    def sample_counts(self, batch: MixedBatch) -> dict[str, int]:
        """Return the number of people of each data set: the heatmap loss of each counts all others as 0."""
        names = [f"heatmap_{own.name}" for own in self._recipe.data.sets]
        return {name: len(rows) for name, rows in zip(names, batch.rows, strict=True)}

    def _names_of_later_losses(self) -> Sequence[str]:
        if not self._network.embedding:
            return []
        phases = self._recipe.phases
        starts = {"cross_type": phases.cross_type_from, "clusters": phases.clusters_from}
        return [name for name, start in starts.items() if start is not None]

    def _validators(self, own: SetPeople, root: Path) -> list[Validator]:
        """Make the validator of a data set, by its own skeleton, crops and decoder."""
        found = []
        for source in own.settings.val:
            _require_sigmas(own, "to be validated by AP", "leave out its val")
            annotated = read_source(source, root, skeleton=own.skeleton, settings=self._recipe.validation)
            require_same_skeleton(own.training[0], str(annotated.layout.annotation_file), annotated.skeleton)
            found.append(Validator(annotated, self.config, self._recipe.validation, name=own.settings.name))
        return found


def _with_sets(recipe: MixtureRecipe, people: Sequence[SetPeople]) -> tuple[PoseBHSettings, TopDownInference]:
    """Return the network with the data sets and an expert for each, and how it is run on the first one's crops."""
    model = recipe.model
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
    inference = TopDownInference(
        **recipe.inference.model_dump(),
        convention=first.convention,
        decoder=decoder_of(first.convention),
        crop=first.crop,
    )
    return model.model_copy(update={"datasets": datasets, "backbone": backbone}), inference


def _require_sigmas(own: SetPeople, purpose: str, otherwise: str) -> None:
    if own.skeleton.sigmas is None:
        raise EveryposeError(
            f"the set {own.settings.name} needs the sigmas of its skeleton {own.skeleton.name!r} {purpose}, and they "
            f"are unknown: 'everypose data sigmas' writes a TOML file with them, to be given as the set's skeleton; "
            f"or {otherwise}"
        )
