"""The data set of mice that the tutorial of the site draws."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "docs" / "tutorials" / "draw_mice.py"
_spec = importlib.util.spec_from_file_location("draw_mice", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
draw_mice_script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(draw_mice_script)

NAMES, LINKS, PHOTOS = draw_mice_script.NAMES, draw_mice_script.LINKS, draw_mice_script.PHOTOS
draw_data_set = draw_mice_script.draw_data_set
draw_mice = draw_mice_script.draw_mice
relabeled = draw_mice_script.relabeled
