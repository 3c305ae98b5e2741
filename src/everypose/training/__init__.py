"""Training networks from typed TOML recipes, by Lightning.

The modules in the order of a run:

- ``recipes/<family>/*.toml``, ``recipe_files.py``, ``recipe.py``, ``sections.py``: what is trained and how. A recipe's
  class depends on its family; sections that only one method has are in the method's ``settings.py``.
- ``run.py``: `train`, the whole run, and the Lightning ``Trainer``; ``preflight.py``: checks before the first step;
  ``estimate.py``: steps, memory and arithmetic; ``process_setup.py``: threads, seeds, warnings, exit hooks.
- ``tasks/``: data, network and losses of a kind of method: ``single_stage.py`` (whole images), ``top_down.py``
  (crops of one skeleton), ``mixture.py`` (crops of several data sets, PoseBH and ViTPose++).
- ``datasets.py``, ``sample_stream.py``: annotated sets, the stateless stream of samples, the ``DataLoader``.
- ``initial_weights.py``: the network and its initial weights; ``optimizer_groups.py``: learning-rate multipliers.
- ``lightning_module.py``: losses, optimizer, learning rate (``lr_schedule.py``), moving average (``ema.py``), and a
  stop at values that are not finite (``guard.py``).
- ``run_callback.py``: after each step, logs (``run_logs.py``), validation (``validation.py``), checkpoints
  (``checkpoints.py``), models, and progress (``console.py``).

A whole run is one epoch to Lightning. Its progress bar, checkpoints and validation loop are off, because they count in
epochs of a loader and keep states that a resumed run cannot repeat: here everything is a function of the step number.
"""
