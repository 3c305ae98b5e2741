"""Training networks from typed TOML recipes, by Lightning.

The way of a run, file by file:

- ``recipes/*.toml``, ``recipe.py`` and its ``sections.py``: what is trained and how, as typed settings.
- ``run.py``: `train`, the whole run, and the Lightning ``Trainer`` that it makes.
- ``task.py``: what families differ in, data, network and losses: ``single_stage.py`` is the task of BoIR and CID,
  ``top_down.py`` that of the methods on crops of one data set, ``mixed.py`` that of PoseBH and ViTPose++, whose samples
  ``mixed_samples.py`` takes from several.
- ``start.py``: the network and the weights that it starts from; ``parameters.py``: which of them learn, and how fast.
- ``data.py``: annotated sets, the stateless stream of samples, the ``DataLoader``.
- ``module.py``: the ``LightningModule``: losses, optimiser, learning rate by ``schedule.py``, average by ``ema.py``,
  and a stop at what is not finite by ``guard.py``.
- ``callbacks.py``: the ``Callback`` that logs, validates by ``validation.py``, writes ``checkpoints.py`` and models;
  ``display.py`` is what is seen meanwhile.

A whole run is one epoch to Lightning. Its own logger, progress bar, checkpoints and validation loop are off, because
they count in epochs of a loader and keep states that a resumed run cannot repeat: here the step number says all.
"""
