"""opentelemetry-instrumentation-asyncio, opentelemetry-sdk: spans and metrics of coroutines, futures and functions in
threads, by every function that it wraps; errors, cancellation, time-outs, spans inside spans; it takes itself away.
"""

import asyncio
import collections
import os

from common import report_loop
from opentelemetry import trace
from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

NAMES = ("plain", "failing", "endless", "outer", "inner", "sleep", "gather_in_group")
os.environ["OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE"] = ",".join(NAMES)
os.environ["OTEL_PYTHON_ASYNCIO_FUTURE_TRACE_ENABLED"] = "true"
os.environ["OTEL_PYTHON_ASYNCIO_TO_THREAD_FUNCTION_NAMES_TO_TRACE"] = "blocking,refusing"

spans = InMemorySpanExporter()
metrics = InMemoryMetricReader()
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(spans))
tracer = tracers.get_tracer(__name__)


async def plain(value):
    await asyncio.sleep(0)
    return value


async def failing():
    await asyncio.sleep(0)
    raise ValueError("refused")


async def endless():
    await asyncio.Event().wait()


async def inner():
    with tracer.start_as_current_span("in the inner"):
        await asyncio.sleep(0)


async def outer():
    with tracer.start_as_current_span("in the outer"):
        await asyncio.create_task(inner())


def blocking(value):
    return value


def refusing():
    raise OSError("refused")


async def by_functions():
    print("create_task:", await asyncio.create_task(plain(1)))
    print("ensure_future:", await asyncio.ensure_future(plain(2)))
    print("wait_for:", await asyncio.wait_for(plain(3), 60))
    done, pending = await asyncio.wait([asyncio.create_task(plain(4)), asyncio.ensure_future(plain(5))])
    print("wait:", sorted(task.result() for task in done), len(pending))
    print("as_completed:", sorted([await each for each in asyncio.as_completed([plain(6), plain(7)])]))
    print("gather:", await asyncio.gather(plain(8), asyncio.create_task(plain(9)), return_exceptions=True))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(plain(10)), group.create_task(plain(11), name="eleven")]
    print("TaskGroup:", [(task.result(), task.get_name() == "eleven") for task in tasks])
    loop = asyncio.get_running_loop()
    waiting = asyncio.run_coroutine_threadsafe
    print("run_coroutine_threadsafe:", await asyncio.to_thread(lambda: waiting(plain(12), loop).result()))
    print("to_thread:", await asyncio.to_thread(blocking, 13))


async def by_futures():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, 14)
    print("future:", await asyncio.ensure_future(future))
    failed, cancelled = loop.create_future(), loop.create_future()
    loop.call_soon(failed.set_exception, KeyError("missing"))
    loop.call_soon(cancelled.cancel)
    print("futures:", [repr(outcome) for outcome in await asyncio.gather(failed, cancelled, return_exceptions=True)])
    operation = asyncio.create_task(asyncio.sleep(0, 15))
    print("sleep:", await operation)


async def unlucky():
    print([repr(outcome) for outcome in await asyncio.gather(failing(), plain(16), return_exceptions=True)])
    try:
        await asyncio.wait_for(endless(), 0.001)
    except TimeoutError:
        print("timed out")
    task = asyncio.create_task(endless())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    print("cancelled:", task.cancelled())
    try:
        await asyncio.to_thread(refusing)
    except OSError as error:
        print("in the thread:", error)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
            group.create_task(endless())
    except* ValueError as refused:
        print("in the group:", refused.exceptions)


async def inside_others():
    with tracer.start_as_current_span("root"):
        async with asyncio.TaskGroup() as group:
            group.create_task(outer())
            group.create_task(plain(17))


def show_spans(text):
    """Prints the spans since the last call: how often each occurred, inside which, and how it ended."""
    found = spans.get_finished_spans()
    names = {span.context.span_id: span.name for span in found}
    shown = collections.Counter(
        f"{span.name} in {names.get(span.parent.span_id) if span.parent else None}: {span.status.status_code.name}"
        f" {[event.attributes['exception.type'] for event in span.events]}"
        for span in found
    )
    print(text, *(f"  {number} {name}" for name, number in sorted(shown.items())), sep="\n")
    spans.clear()


def show_metrics():
    """Prints the points of both metrics, without the durations."""
    for resource in metrics.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in sorted(scope.metrics, key=lambda metric: metric.name):
                for point in sorted(metric.data.data_points, key=lambda point: sorted(point.attributes.items())):
                    number = getattr(point, "count", None) or point.value
                    print(metric.name, metric.unit, dict(sorted(point.attributes.items())), number)


async def main():
    report_loop()
    for part in (by_functions, by_futures, unlucky, inside_others):
        await part()
        show_spans(f"spans {part.__name__}:")
    show_metrics()
    instrumentor.uninstrument()
    await by_functions()
    show_spans("spans without it:")
    print("names are back:", not any(hasattr(getattr(asyncio, name), "__wrapped__") for name in ("gather", "wait")))


trace.set_tracer_provider(tracers)
instrumentor = AsyncioInstrumentor()
instrumentor.instrument(tracer_provider=tracers, meter_provider=MeterProvider([metrics]))

if __name__ == "__main__":
    asyncio.run(main())
