"""The exporters of metrics against the real libraries: OpenTelemetry's SDK, and a scrape over HTTP for Prometheus."""

import contextlib
import math
import os
import socket
import threading
import urllib.request

import prometheus_client
import pytest
from opentelemetry.sdk.metrics import Counter, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.programs import run_program

import ferrio
from ferrio import sight
from ferrio.integrations import opentelemetry, prometheus
from ferrio.sight import exported, ledger, switches


def run_something(count=10):
    """A loop that is closed at the end, and has done each kind of thing."""

    async def echo(reader, writer):
        writer.write(await reader.readexactly(5))
        writer.close()

    async def main():
        for _ in range(count):
            await ferrio.sleep(0)
        await ferrio.sleep(0.001)
        await ferrio.to_thread(int)
        server = await ferrio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    ferrio.run(main())


# ---- Prometheus


@contextlib.contextmanager
def serving():
    """A registry with the collector behind the library's own HTTP server; yields a function that scrapes."""
    registry = prometheus_client.CollectorRegistry()
    collector = prometheus.Collector()
    registry.register(collector)
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)

    def scrape(accept="text/plain"):
        request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode(), answer.headers["Content-Type"]

    try:
        yield scrape
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        registry.unregister(collector)
        collector.stop()


def samples_of(text):
    """The samples of a scrape, summed over all loops: other tests have had some."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted((key, value) for key, value in sample.labels.items() if key != "loop"))
            found[sample.name, labels] = found.get((sample.name, labels), 0) + sample.value
    return found


def test_prometheus_scrapes_every_number():
    with serving() as scrape:
        before = samples_of(scrape()[0])
        run_something()
        after = samples_of(scrape()[0])

    def change(name, **labels):
        key = (f"asyncio_eventloop_{name}", tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    assert change("steps_total") > 10
    assert change("turns_total") > 10
    assert change("received_bytes_total") == change("sent_bytes_total") == 10
    assert change("connections_made_total") == change("connections_accepted_total") == 1
    assert change("tasks_created_total") == change("tasks_finished_total") > 0
    assert change("jobs_finished_total") == 1
    assert change("time_seconds_total", state="active") > 0
    assert change("time_seconds_total", state="idle") > 0
    assert change("timer_delay_seconds_count") == change("timer_delay_seconds_bucket", le="+Inf") == 1
    assert change("timer_delay_seconds_sum") > 0
    assert change("job_delay_seconds_count") == 1
    # Each number of the table is there.
    names = {name for name, _ in after}
    for number in exported.TABLE:
        assert any(name.startswith(prometheus._name(number.name)) for name in names), number


def test_prometheus_histograms_are_whole():
    with serving() as scrape:
        run_something()
        text = scrape()[0]
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name in ("timer_delay", "ready_delay", "job_delay"):
        family = families[f"asyncio_eventloop_{name}_seconds"]
        assert family.type == "histogram"
        buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
        loops = {sample.labels["loop"] for sample in buckets}
        for loop in loops:
            mine = [sample for sample in buckets if sample.labels["loop"] == loop]
            bounds = [float(sample.labels["le"]) for sample in mine]
            counts = [sample.value for sample in mine]
            assert bounds == [*prometheus.BOUNDS, math.inf]
            assert counts == sorted(counts)


def test_prometheus_reads_openmetrics_too():
    with serving() as scrape:
        text, kind = scrape("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    families = {family.name for family in openmetrics_parser.text_string_to_metric_families(text)}
    assert "asyncio_eventloop_turns" in families


def test_buckets_count_what_doesn_t_exceed_their_bounds():
    least, most = prometheus.BOUNDS[0], prometheus.BOUNDS[-1]
    histogram = sight.Histogram(0, 0, 0, ((0.0, least, 3), (least, least * 1.0625, 5), (most, 2 * most, 7)))
    counts = [count for _, count in prometheus._buckets(histogram)]
    assert counts == [3.0, *[8.0] * (len(prometheus.BOUNDS) - 1), 15.0]


def test_registering_reads_nothing(monkeypatch):
    monkeypatch.setattr(ledger, "collect", lambda: pytest.fail("it was read"))
    collector = prometheus.Collector()
    prometheus_client.CollectorRegistry(auto_describe=True).register(collector)
    collector.stop()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.mark.parametrize("way", ["option", "environment"])
def test_the_command_line_serves_the_numbers(way):
    port = free_port()
    source = """
        import asyncio, os, urllib.request

        async def main():
            await asyncio.sleep(0.001)
            url = f"http://127.0.0.1:{os.environ['PORT']}/metrics"
            return await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())

        text = asyncio.run(main())
        assert 'asyncio_eventloop_jobs_running{loop="0"} 1.0' in text, text
        print("served")
    """
    variables = os.environ | {"PORT": str(port), "PYTHONWARNINGS": "ignore::ResourceWarning"}
    options = ["-m", "ferrio"]
    if way == "option":
        options.append(f"--metrics=127.0.0.1:{port}")
    else:
        variables["FERRIO_METRICS"] = str(port)
    assert run_program(source, options=options, env=variables) == "served\n"


def test_child_processes_are_metered_and_don_t_serve(tmp_path):
    source = """
        import multiprocessing, os, sys

        def child(queue):
            import ferrio
            from ferrio import _ferrio
            loop = ferrio.new_event_loop()
            loop.run_until_complete(ferrio.sleep(0))
            queue.put((os.environ["FERRIO_METRICS"], _ferrio._metrics(loop)["turns"] > 0))
            loop.close()

        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(queue.get())
            process.join()
    """
    printed = run_program(
        source, file=tmp_path / "app.py", options=["-m", "ferrio", f"--metrics={free_port()}"], env=os.environ.copy()
    )
    assert printed == "('1', True)\n"


@pytest.mark.parametrize("address", ["nowhere", "1234567", "host.invalid:0", ":"])
def test_a_wrong_address_is_refused(address):
    with pytest.raises(ValueError, match=r"needed, such as|there is no host"):
        switches.meter_program(address)


def test_an_address_in_use_is_reported_and_the_program_runs():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match="in use"):
            switches.meter_program(str(port))
        variables = os.environ | {"FERRIO_METRICS": str(port)}
        printed = run_program("import ferrio; print('it runs')", options=["-W", "default"], env=variables)
    assert f"RuntimeWarning: FERRIO_METRICS={port}: " in printed
    assert printed.endswith("it runs\n")


def test_without_the_library_the_error_says_what_to_install():
    source = """
        import sys
        sys.modules["prometheus_client"] = sys.modules["opentelemetry"] = None
        for name in ("prometheus", "opentelemetry"):
            try:
                __import__(f"ferrio.integrations.{name}")
            except ImportError as error:
                print(str(error).rpartition(": ")[2])
    """
    assert run_program(source) == "pip install ferrio[prometheus]\npip install ferrio[opentelemetry]\n"


# ---- OpenTelemetry


@pytest.fixture
def reader():
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    instrumentation = opentelemetry.instrument(provider)
    yield reader
    instrumentation.stop()
    assert reader.get_metrics_data() is None or not points_of(reader)
    provider.shutdown()


def metrics_of(reader):
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def points_of(reader):
    """The values, summed over all loops, by name and attributes."""
    found = {}
    for name, metric in metrics_of(reader).items():
        for point in metric.data.data_points:
            rest = tuple(sorted(value for key, value in point.attributes.items() if key != "asyncio.eventloop.number"))
            found[name, *rest] = found.get((name, *rest), 0) + point.value
    return found


def test_opentelemetry_collects_every_number(reader):
    before = points_of(reader)
    run_something()
    after = points_of(reader)

    def change(name, *rest):
        return after[f"asyncio.eventloop.{name}", *rest] - before.get((f"asyncio.eventloop.{name}", *rest), 0)

    assert change("steps") > 10
    assert change("received") == change("sent") == 10
    assert change("connections.made") == change("connections.accepted") == 1
    assert change("jobs.finished") == 1
    assert change("time", "active") > 0
    assert change("time", "idle") > 0
    for number in exported.TABLE:
        assert (f"asyncio.eventloop.{number.name}",) in after


def test_delays_and_utilization_are_those_since_the_last_collection(reader):
    points_of(reader)
    run_something()
    with_delays = points_of(reader)
    least, p50, p99, most = (
        with_delays[f"asyncio.eventloop.delay.{name}", "timer"] for name in ("min", "p50", "p99", "max")
    )
    assert 0 < least <= p50 <= p99 <= most
    assert with_delays["asyncio.eventloop.delay.stddev", "timer"] >= 0
    assert ("asyncio.eventloop.delay.mean", "job") in with_delays
    assert 0 < with_delays["asyncio.eventloop.utilization",] <= 1
    # Since then, no loop has run.
    without = points_of(reader)
    assert ("asyncio.eventloop.delay.mean", "timer") not in without
    assert ("asyncio.eventloop.utilization",) not in without


def test_names_units_and_kinds_are_as_for_nodejs(reader):
    run_something()
    found = metrics_of(reader)
    for name in ("min", "max", "mean", "stddev", "p50", "p90", "p99"):
        assert found[f"asyncio.eventloop.delay.{name}"].unit == "s"
    assert found["asyncio.eventloop.utilization"].unit == "1"
    time = found["asyncio.eventloop.time"]
    assert (time.unit, time.data.is_monotonic) == ("s", True)
    assert {point.attributes["asyncio.eventloop.state"] for point in time.data.data_points} == {"active", "idle"}
    assert not found["asyncio.eventloop.tasks.pending"].data.is_monotonic
    assert found["asyncio.eventloop.tasks.created"].data.is_monotonic


def test_changes_since_the_last_collection_if_the_reader_wants_those():
    """Delta temporality: the SDK subtracts, so counters must not go down when a loop closes."""
    temporality = {ObservableCounter: AggregationTemporality.DELTA, Counter: AggregationTemporality.DELTA}
    reader = InMemoryMetricReader(preferred_temporality=temporality)
    provider = MeterProvider(metric_readers=[reader])
    instrumentation = opentelemetry.instrument(provider)
    points_of(reader)
    for _ in range(3):
        run_something(20)
        assert points_of(reader)["asyncio.eventloop.steps",] >= 20
    instrumentation.stop()
    provider.shutdown()


def test_a_collection_in_a_thread_while_loops_run(reader):
    stop, numbers = threading.Event(), len(ledger.collect())

    def run():
        while not stop.is_set():
            run_something(3)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        last = 0
        for _ in range(20):
            steps = points_of(reader)["asyncio.eventloop.steps",]
            assert steps >= last
            last = steps
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    # Two loops at a time need two numbers, however many there have been.
    assert len(ledger.collect()) <= numbers + 2
