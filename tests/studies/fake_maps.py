"""A model whose inner maps a test chooses."""

from evaluation.tiny_crops import tiny


class FakeMaps:
    """Gives the same maps (N, C, h, w) for every input, with the configuration of a tiny model."""

    def __init__(self, maps, family):
        self.config = tiny(family)[1]
        self._maps = maps

    def maps(self, image):  # noqa: ARG002  # every input has the same maps
        return self._maps
