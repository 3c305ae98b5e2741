"""What the command line leaves behind."""

import json


def results(tmp_path):
    return json.loads((tmp_path / "out" / "results.json").read_text())
