"""Prometheus metrics of the service."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCHES = (1, 2, 4, 8, 16)


class Queue(Protocol):
    """The attributes of a model's pool that the metrics report.

    >>> from types import SimpleNamespace
    >>> queue: Queue = SimpleNamespace(waiting=3, pids=[4711])
    >>> b'everypose_queue_images{model="boir-lite"} 3.0' in Metrics({"boir-lite": queue}).to_text()
    True
    """

    @property
    def waiting(self) -> int:
        """Number of tasks in the queue."""
        ...

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        ...


class Metrics:
    """Counters and histograms of one service, in a registry of its own.

    >>> metrics = Metrics({})
    >>> metrics.received.inc(100)
    >>> b"everypose_received_bytes_total 100.0" in metrics.to_text()
    True

    Args:
        queues: the pools by model name.
    """

    def __init__(self, queues: Mapping[str, Queue]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "everypose_requests", "Answered requests.", ["route", "method", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "everypose_request_seconds",
            "Seconds from a request's header to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.received = Counter("everypose_received_bytes", "Bytes of request bodies.", registry=self._registry)
        self.people = Counter("everypose_people", "People in answers.", ["model"], registry=self._registry)
        self.batches = Histogram(
            "everypose_batch_images",
            "Images in the batch that an answered image was part of.",
            ["model"],
            buckets=BATCHES,
            registry=self._registry,
        )
        self.restarts = Counter(
            "everypose_worker_restarts", "Workers that ended unexpectedly.", ["model"], registry=self._registry
        )
        self._registry.register(_QueueCollector(queues))

    def to_text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class _QueueCollector:
    """Gauges that are read from the pools when the metrics are."""

    def __init__(self, queues: Mapping[str, Queue]) -> None:
        self._queues = queues

    def collect(self) -> Iterator[Metric]:
        """One gauge for the queue and one for the workers, for each model."""
        waiting = GaugeMetricFamily("everypose_queue_images", "Images that wait for a worker.", labels=["model"])
        workers = GaugeMetricFamily("everypose_workers", "Running workers.", labels=["model"])
        for name, queue in self._queues.items():
            waiting.add_metric([name], queue.waiting)
            workers.add_metric([name], len(queue.pids))
        yield waiting
        yield workers
