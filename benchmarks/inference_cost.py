"""Time per image: the papers' literal form, everypose in torch and in ONNX Runtime, as ratios in one run.

    python -m benchmarks.inference_cost --size 512 --people 1 10 30 --threads 2 --repeats 5

"Literal" is BoIR-W32 as the papers write it: eager torch, one image, every person's channel and spatial path computed
in full and concatenated before the fusion. Weights are random; after its computation the center map is replaced by
one with a given number of peaks. The forms alternate, so that other load on the machine affects all of them.
`python -m benchmarks --only boir` measures the same for the page.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.performance.boir import INT8, LITERAL, SAME, TORCH, forms_of, key, same_keypoints
from benchmarks.performance.timing import Effort, in_turns
from benchmarks.performance.ways import ONNX, config_of
from everypose.errors import exit_on_user_error
from everypose.methods.boir.settings import BoIRSettings

FAST = (TORCH, ONNX, INT8)


def main() -> None:
    """Time the forms alternately and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--people", type=int, nargs="+", default=[1, 10, 30])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        forms = forms_of(config_of(BoIRSettings(auxiliary=False), arguments.size), arguments.threads, Path(folder))
    for people in arguments.people:
        for name in (TORCH, ONNX):
            same = same_keypoints(forms[name], forms[LITERAL], people)
            print(f"{people:3d} people, {name}: {same:.4f} of the keypoints as the literal form's ({SAME} px)")
    runs = {key(name, people): partial(form, people) for people in arguments.people for name, form in forms.items()}
    timings = in_turns(runs, Effort(seconds=0, least=arguments.repeats))
    print(f"| people | {' | '.join(f'{name}, s' for name in forms)} | {' | '.join(f'literal / {n}' for n in FAST)} |")
    print("|---" * (1 + len(forms) + len(FAST)) + "|")
    for people in arguments.people:
        seconds = [f"{timings.of(key(name, people)).median:.2f}" for name in forms]
        ratios = [f"{timings.ratio(key(LITERAL, people), key(name, people)).median:.2f}" for name in FAST]
        print(f"| {people} | {' | '.join([*seconds, *ratios])} |")


if __name__ == "__main__":
    with exit_on_user_error("inference_cost"):
        main()
