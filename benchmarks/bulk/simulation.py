"""Simulate a bulk run by many workers that read from one object store.

Events are parts of 256 images. A worker asks the store for a part's data, computes, and asks for the next; reading
overlaps with computing. The store serves one request after the other, at a limited rate of requests and bytes.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PART = 256
KEYS_IN_A_LISTING = 1000
IMAGES_IN_A_TAR = 1000


@dataclass(frozen=True)
class Worker:
    """What one worker costs, measured.

    Attributes:
        image_seconds: computing time of an image on one core.
        start_seconds: from the start of the process to the loaded model.
        image_bytes: size of an image file.
        row_bytes: size of an image's rows in a Parquet part.
    """

    image_seconds: float
    start_seconds: float
    image_bytes: float
    row_bytes: float


@dataclass(frozen=True)
class Store:
    """An object store.

    Attributes:
        requests: requests a second.
        bandwidth: bytes a second.
        latency: seconds until the first byte of a request.
        listing_seconds: seconds of a request that lists 1000 names.
    """

    requests: float = 5500.0
    bandwidth: float = 25e9 / 8
    latency: float = 0.03
    listing_seconds: float = 0.1


@dataclass(frozen=True)
class Plan:
    """How a run is organized.

    Attributes:
        name: for the figure.
        listed_by_each: whether each worker lists all images; otherwise it reads a table or the names of tars.
        in_tars: whether 1000 images are read by one request.
        shards_of_a_worker: 1 for a fixed share of each worker, more if free workers take the next.
    """

    name: str
    listed_by_each: bool
    in_tars: bool
    shards_of_a_worker: int


@dataclass(frozen=True)
class Outcome:
    """The result of a simulated run.

    Attributes:
        seconds: from the start to the last part.
        images_a_second: over the whole run.
        efficiency: of the workers: share of their time in which they compute.
        store_busy: share of the time in which the store is at its limit.
        listing_share: share of the time before the first image is read.
    """

    seconds: float
    images_a_second: float
    efficiency: float
    store_busy: float
    listing_share: float


def simulate(
    images: int,
    workers: int,
    *,
    worker: Worker,
    store: Store,
    plan: Plan,
    slow_share: float = 0.1,
    slow_factor: float = 1.4,
    seed: int = 0,
) -> Outcome:
    """Simulate a run.

    Args:
        images: images of the run.
        workers: number of workers, one core each.
        worker: what a worker costs.
        store: the object store.
        plan: how the run is organized.
        slow_share: share of the workers that are slower, as on shared machines.
        slow_factor: by which they are slower.
        seed: of the sizes of shards and the speeds of workers.
    """
    rng = np.random.default_rng(seed)
    shards = workers * plan.shards_of_a_worker
    # A hash decides an image's shard: sizes are binomial.
    sizes = rng.multinomial(images, np.full(shards, 1 / shards))
    slow = rng.permutation(workers) < slow_share * workers
    image_seconds = worker.image_seconds * np.where(slow, slow_factor, 1.0)
    requests_of_part = PART / IMAGES_IN_A_TAR if plan.in_tars else PART
    served = max(requests_of_part / store.requests, PART * worker.image_bytes / store.bandwidth)
    waits = requests_of_part * store.latency

    listing = max(images / KEYS_IN_A_LISTING * store.listing_seconds, 0.0) if plan.listed_by_each else 1.0
    if plan.listed_by_each:  # all workers' listings share the store's rate of requests
        listing = max(listing, images / KEYS_IN_A_LISTING * workers / store.requests)
    ready = worker.start_seconds + listing

    waiting = [_parts(size) for size in sizes]
    next_shard = workers
    own = {number: waiting[number] for number in range(workers)}
    events = [(ready, number) for number in range(workers)]
    heapq.heapify(events)
    free, busy, computed, end = ready, 0.0, 0.0, ready
    while events:
        now, number = heapq.heappop(events)
        if not own[number] and next_shard < shards:
            own[number] = waiting[next_shard]
            next_shard += 1
        if not own[number]:
            continue
        size = own[number].pop()
        free = max(free, now) + served * size / PART
        busy += served * size / PART
        compute = size * float(image_seconds[number])
        computed += compute
        done = max(now + compute, free, now + waits * size / PART)
        end = max(end, done)
        heapq.heappush(events, (done, number))
    return Outcome(
        seconds=end,
        images_a_second=images / end,
        efficiency=computed / (workers * end),
        store_busy=busy / end,
        listing_share=ready / end,
    )


def _parts(images: int) -> list[int]:
    """Return the sizes of a shard's parts."""
    whole, rest = divmod(int(images), PART)
    return [PART] * whole + ([rest] if rest else [])


PLANS: Sequence[Plan] = (
    Plan("images; each shard lists them", listed_by_each=True, in_tars=False, shards_of_a_worker=1),
    Plan("images named in a table", listed_by_each=False, in_tars=False, shards_of_a_worker=1),
    Plan("tars of 1000 images", listed_by_each=False, in_tars=True, shards_of_a_worker=1),
    Plan("tars, 16 shards a worker (Ray)", listed_by_each=False, in_tars=True, shards_of_a_worker=16),
)
"""Ways to organize a run, from the simplest on."""
