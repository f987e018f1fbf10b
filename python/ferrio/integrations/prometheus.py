"""The numbers of the program's loops for Prometheus, through `prometheus_client`: `pip install ferrio[prometheus]`.

    from ferrio.integrations import prometheus
    from prometheus_client import REGISTRY, start_http_server

    REGISTRY.register(prometheus.Collector())
    start_http_server(9464)

Numbers are read when Prometheus asks, and at no other time. The label `loop` is a small number that is used again, so
that the series stay few (`ferrio.sight.ledger`).
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable, Iterator

try:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector as _Collector
    from prometheus_client.utils import floatToGoString
except ImportError as error:
    raise ImportError(
        f"metrics for Prometheus need prometheus_client, which can't be imported ({error}): "
        "pip install ferrio[prometheus]"
    ) from error

from ferrio.sight import exported, ledger
from ferrio.sight.metrics import Histogram, Metrics

__all__ = ("Collector", "serve")

# The bounds of the histograms' buckets in seconds: powers of two of a nanosecond, from 16 µs to 8.6 s. At these the
# loop's own, finer buckets have bounds, too, so the counts are exact.
BOUNDS = tuple(2**power / 1e9 for power in range(14, 34))

_LABELS = ("loop",)
_UNITS = {"s": "_seconds", "By": "_bytes"}


class Collector(_Collector):  # type: ignore[misc]  # it is Any where prometheus_client isn't installed
    """A collector for a `prometheus_client.CollectorRegistry`. From the moment it is made, all loops are metered."""

    def __init__(self) -> None:
        self._metering = ledger.keep_all()

    def stop(self) -> None:
        """Ends the metering, unless something else needs it. Unregister the collector as well."""
        self._metering.stop()

    def describe(self) -> Iterable[Metric]:
        """The families without samples, so that registering reads nothing."""
        return self._families({})

    def collect(self) -> Iterable[Metric]:
        """The families, as they are now."""
        return self._families(ledger.collect())

    def _families(self, found: dict[int, Metrics]) -> Iterator[Metric]:
        for number in exported.TABLE:
            name = _name(number.name) + _UNITS.get(number.unit, "")
            make = CounterMetricFamily if number.kind == "counter" else GaugeMetricFamily
            family = make(name, number.description, labels=_LABELS)
            for loop, metrics in found.items():
                family.add_metric([str(loop)], getattr(metrics, number.field))
            yield family
        time = CounterMetricFamily(
            _name("time_seconds"), "Time in which the loop had something to do, or not.", labels=(*_LABELS, "state")
        )
        for loop, metrics in found.items():
            time.add_metric([str(loop), "active"], metrics.busy + metrics.resuming)
            time.add_metric([str(loop), "idle"], metrics.polling)
        yield time
        for field, kind, description in exported.DELAYS:
            delay = HistogramMetricFamily(_name(f"{kind}_delay_seconds"), description, labels=_LABELS)
            for loop, metrics in found.items():
                histogram: Histogram = getattr(metrics, field)
                delay.add_metric([str(loop)], _buckets(histogram), histogram.sum)
            yield delay


def serve(address: str) -> None:
    """Serves the metrics of the program over HTTP, in a thread of its own. `address` is "PORT" or "HOST:PORT".

    Without a host, other machines can't connect. Raises `ValueError` for another address, `OSError` if it is in use.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError("an address is needed, such as 9464 or 0.0.0.0:9464")
    registry = CollectorRegistry()
    try:
        start_http_server(int(port), host, registry)
    except socket.gaierror as error:
        raise ValueError(f"there is no host {host!r}: {error}") from error
    registry.register(Collector())


def _name(name: str) -> str:
    return f"{exported.PREFIX}.{name}".replace(".", "_")


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """How many durations don't exceed each bound."""
    bounds = [*BOUNDS, float("inf")]
    counts = [0] * len(bounds)
    at = 0
    for _, high, count in histogram.buckets:
        while high > bounds[at]:
            at += 1
        counts[at] += count
    return list(zip(map(floatToGoString, bounds), map(float, itertools.accumulate(counts)), strict=True))
