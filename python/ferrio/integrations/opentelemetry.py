"""The numbers of the program's loops for OpenTelemetry: `pip install ferrio[opentelemetry]`.

    from ferrio.integrations import opentelemetry

    opentelemetry.instrument()

The instruments are asynchronous ones: numbers are read when a reader collects, and at no other time. Names, units and
kinds are those of `nodejs.eventloop.*` in OpenTelemetry's semantic conventions, with `asyncio` in place of `nodejs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

try:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
except ImportError as error:
    raise ImportError(
        f"metrics for OpenTelemetry need opentelemetry-api, which can't be imported ({error}): "
        "pip install ferrio[opentelemetry]"
    ) from error

import ferrio
from ferrio.sight import exported, ledger
from ferrio.sight.metrics import Histogram, Metrics

__all__ = ("Instrumentation", "instrument")

# The attributes' names.
LOOP = f"{exported.PREFIX}.number"
STATE = f"{exported.PREFIX}.state"
KIND = f"{exported.PREFIX}.delay.kind"

# What is shown of the delays, as Node.js does: the name, what it is, and how to get it.
_FIGURES: tuple[tuple[str, str, Callable[[Histogram], float]], ...] = (
    ("min", "minimum", lambda delay: delay.min),
    ("max", "maximum", lambda delay: delay.max),
    ("mean", "mean", lambda delay: delay.mean),
    ("stddev", "standard deviation of the", lambda delay: delay.stddev),
    ("p50", "50 percentile", lambda delay: delay.percentile(50)),
    ("p90", "90 percentile", lambda delay: delay.percentile(90)),
    ("p99", "99 percentile", lambda delay: delay.percentile(99)),
)

_Observations = Iterable[Observation]


class Instrumentation:
    """What `instrument` returns: `stop()` ends it."""

    def __init__(self, provider: MeterProvider | None) -> None:
        self._metering = ledger.keep_all()
        self._is_on = True
        meter = get_meter("ferrio", ferrio.__version__, meter_provider=provider)
        for number in exported.TABLE:
            create = (
                meter.create_observable_counter if number.kind == "counter" else meter.create_observable_up_down_counter
            )
            create(f"{exported.PREFIX}.{number.name}", [self._reading(number.field)], number.unit, number.description)
        meter.create_observable_counter(
            f"{exported.PREFIX}.time",
            [self._times],
            "s",
            "Cumulative duration of time the loop has been in each state.",
        )
        meter.create_observable_gauge(
            f"{exported.PREFIX}.utilization",
            [self._since_last(_utilization)],
            "1",
            "The share of the time since the last collection in which the loop was active.",
        )
        for name, words, figure in _FIGURES:
            meter.create_observable_gauge(
                f"{exported.PREFIX}.delay.{name}",
                [self._since_last(_delays(figure))],
                "s",
                f"Event loop {words} delay since the last collection.",
            )

    def stop(self) -> None:
        """Reports nothing more, and ends the metering unless something else needs it. The instruments stay."""
        self._is_on = False
        self._metering.stop()

    def _collect(self) -> dict[int, Metrics]:
        return ledger.collect() if self._is_on else {}

    def _reading(self, field: str) -> Callable[[CallbackOptions], _Observations]:
        def read(_options: CallbackOptions) -> _Observations:
            return [Observation(getattr(metrics, field), {LOOP: loop}) for loop, metrics in self._collect().items()]

        return read

    def _times(self, _options: CallbackOptions) -> _Observations:
        for loop, metrics in self._collect().items():
            yield Observation(metrics.busy + metrics.resuming, {LOOP: loop, STATE: "active"})
            yield Observation(metrics.polling, {LOOP: loop, STATE: "idle"})

    def _since_last(
        self, figures: Callable[[int, Metrics], _Observations]
    ) -> Callable[[CallbackOptions], _Observations]:
        """A callback that reports `figures` of what happened since its last call."""
        last: dict[int, Metrics] = {}

        def read(_options: CallbackOptions) -> _Observations:
            found = self._collect()
            for loop, metrics in found.items():
                yield from figures(loop, metrics - last.get(loop, Metrics()))
            last.update(found)

        return read


def _utilization(loop: int, metrics: Metrics) -> _Observations:
    if metrics.busy or metrics.polling:
        yield Observation(metrics.utilization, {LOOP: loop})


def _delays(figure: Callable[[Histogram], float]) -> Callable[[int, Metrics], _Observations]:
    def observe(loop: int, metrics: Metrics) -> _Observations:
        for field, kind, _ in exported.DELAYS:
            histogram: Histogram = getattr(metrics, field)
            if histogram.count:
                yield Observation(figure(histogram), {LOOP: loop, KIND: kind})

    return observe


def instrument(meter_provider: MeterProvider | None = None) -> Instrumentation:
    """Makes OpenTelemetry's instruments for the numbers of all loops; from now on, all loops are metered.

    The meter comes from `meter_provider`, by default the global one. The delays and the utilization are those since the
    last collection, as with Node.js, so they suit one reader. Call it once per provider.
    """
    return Instrumentation(meter_provider)
