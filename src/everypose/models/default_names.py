"""Names of the default model and detector. Nothing is imported here, so that the command line can show them at once."""

DEFAULT_MODEL = "mipnet-lite"
"""The model that is loaded when none is named."""
DEFAULT_DETECTOR = "picodet-s"
"""The detector that finds boxes for top-down models when none is named."""
