"""What is counted, for Prometheus; no label ever holds a customer's words."""

from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate
from math import nan

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

JOBS = Gauge("squero_jobs", "Jobs that wait or render", ["lane", "state"])
LOST = Counter("squero_lost_attempts_total", "Attempts whose worker fell silent")
BOOKS = Gauge("squero_ledger_in_order", "1 when the last audit found the books in order")
BOOKS.set(nan)  # 0 would be an alarm before anybody has looked

_BOUNDS = Histogram.DEFAULT_BUCKETS


class Answers(Collector):
    """Answered requests, and their times to the first byte.

    All are counted by the one event loop; the library's own counters take three locks for each.
    """

    def __init__(self) -> None:
        self._counts = Tally[tuple[str, int | None]]()
        self._buckets = defaultdict[str, list[int]](lambda: [0] * len(_BOUNDS))
        self._sums = defaultdict[str, float](float)

    def count(self, route: str, status: int | None, seconds: float) -> None:
        """One answer more."""
        self._counts[route, status] += 1
        self._buckets[route][bisect_left(_BOUNDS, seconds)] += 1
        self._sums[route] += seconds

    def collect(self) -> Iterator[Metric]:
        """What Prometheus is told."""
        answers = CounterMetricFamily(
            "squero_http_requests", "Answered requests", labels=["route", "status"]
        )
        for (route, status), count in list(self._counts.items()):
            answers.add_metric([route, str(status)], count)
        yield answers
        times = HistogramMetricFamily(
            "squero_http_request_seconds", "Time to the first byte", labels=["route"]
        )
        for route, buckets in list(self._buckets.items()):
            bounds = [*map(str, _BOUNDS[:-1]), "+Inf"]
            times.add_metric(
                [route], list(zip(bounds, accumulate(buckets), strict=True)), self._sums[route]
            )
        yield times


ANSWERS = Answers()
REGISTRY.register(ANSWERS)
