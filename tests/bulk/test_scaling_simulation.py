"""The simulation of many workers where its result is known."""

import pytest
from benchmarks.bulk.simulation import PLANS, Plan, Store, Worker, simulate

WORKER = Worker(image_seconds=0.1, start_seconds=2.0, image_bytes=1e5, row_bytes=1e3)
TABLE = Plan("table", listed_by_each=False, in_tars=False, shards_of_a_worker=1)


def run(images, workers, plan=TABLE, store=None, slow_share=0.0):
    return simulate(images, workers, worker=WORKER, store=store or Store(), plan=plan, slow_share=slow_share)


def test_one_worker_computes_all_the_time():
    outcome = run(25_600, 1)
    assert outcome.seconds == pytest.approx(2.0 + 1.0 + 25_600 * 0.1, rel=1e-2)
    assert outcome.efficiency > 0.99


def test_requests_or_bytes_of_the_store_limit_many_workers():
    by_requests = run(1_000_000, 1000, store=Store(requests=1000))
    assert by_requests.images_a_second == pytest.approx(1000, rel=0.05)
    assert by_requests.store_busy > 0.95
    by_bytes = run(1_000_000, 1000, store=Store(bandwidth=1e8))
    assert by_bytes.images_a_second == pytest.approx(1000, rel=0.05)


def test_listing_by_each_worker_takes_its_time():
    alone = run(1_000_000, 10, PLANS[0])
    assert alone.listing_share * alone.seconds == pytest.approx(2 + 1000 * 0.1)
    together = run(1_000_000, 1000, PLANS[0])
    assert together.listing_share * together.seconds == pytest.approx(2 + 1000 * 1000 / 5500)


def test_small_shards_even_out_slow_workers():
    fixed, small = (run(200_000, 20, plan, slow_share=0.1) for plan in PLANS[2:])
    assert fixed.efficiency < 0.76
    assert small.efficiency > 0.93
