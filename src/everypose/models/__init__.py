"""From a model's name to its files, configuration and network, and back."""
