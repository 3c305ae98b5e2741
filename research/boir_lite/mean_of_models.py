"""Average the weights of several trainings from the same initial weights.

Wortsman et al., "Model soups", ICML 2022.

python -m research.boir_lite.mean_of_models OUT MODEL MODEL [MODEL ...]
"""

import argparse
from pathlib import Path

import torch

from everypose.errors import exit_on_user_error
from everypose.models.storage import load_model, save_model


def main() -> None:
    """Read, average, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    arguments = parser.parse_args()
    networks, configs = zip(*(load_model(path) for path in arguments.models), strict=True)
    if len(networks) < 2:
        parser.error("give two models or more")
    if any(config.network != configs[0].network for config in configs):
        parser.error("the models have different networks")
    states = [network.state_dict() for network in networks]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    networks[0].load_state_dict(mean)
    provenance = {"mean_of": [config.provenance for config in configs]}
    save_model(networks[0].half(), configs[0].model_copy(update={"provenance": provenance}), arguments.out)


if __name__ == "__main__":
    with exit_on_user_error("mean_of_models"):
        main()
