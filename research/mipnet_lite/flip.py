"""AP and CPU time of mipnet-lite with and without the flip test, and the difference with its interval.

python -m research.mipnet_lite.flip ANNOTATIONS.json IMAGES
"""

import sys

import everypose
from research.mipnet_lite.precision import average_precision, draw_samples, estimated, interval, match, sampled


def main(annotations: str, images: str) -> None:
    models = [everypose.load(min_score=0.0, threads=1, flip=flip) for flip in (False, True)]
    truth, found, seconds = estimated(models, annotations, images)
    samples = draw_samples(len(truth["images"]), 500)
    for overlapped in (False, True):
        plain, flipped = (match(one, truth, overlapped=overlapped) for one in found)
        low, high = interval(sampled(flipped, samples) - sampled(plain, samples))
        before, after = average_precision(plain), average_precision(flipped)
        print(
            f"{'overlapped people' if overlapped else 'all people'}: AP {before:.3f}, with flip test {after:.3f}, "
            f"difference {after - before:+.3f} ({low:+.3f} to {high:+.3f})"
        )
    print(f"CPU time {seconds[1] / seconds[0]:.2f} times as long")


if __name__ == "__main__":
    main(*sys.argv[1:3])
