"""Put the loop over people into the int8 file of boir-lite, which was exported before exports had it.

    python -m research.boir_lite.loop_over_people BEFORE.onnx boir-lite.onnx

The same nodes with the same weights, some people at a time in large images. A file that is exported today has it.
"""

import argparse
from pathlib import Path

import onnx

from everypose.core.files import written_whole
from everypose.export.people_loop import loop_over_people

CANDIDATES, FOUND = "/Concat_9_output_0", "/Reshape_51_output_0"
"""The centers of all candidates, and their keypoints, in the graph that torch wrote."""
KEYPOINTS = 17


def main() -> None:
    """Read one file, write the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    model = onnx.load(given.before)
    loop_over_people(model.graph, CANDIDATES, FOUND, keypoints=KEYPOINTS)
    onnx.checker.check_model(model)
    with written_whole(given.out) as part:
        onnx.save(model, part)


if __name__ == "__main__":
    main()
