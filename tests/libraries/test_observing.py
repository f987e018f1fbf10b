"""Other projects' tools show of a program on ferrio what docs/observing.md says; each command runs as written.

What they show in detail is compared with asyncio by their programs in `programs/`.
"""

import json
import re
import socket

import pytest
from tests.docs import observing
from tests.docs.observing import COMMANDS, run, running, until
from tests.libraries.test_integrations import free_port

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def app(tmp_path, monkeypatch):
    """Returns the page's program while it runs."""
    monkeypatch.setattr(observing, "COMMANDS", [*COMMANDS, "python -m ferrio app.py"])
    with running("python -m ferrio app.py", tmp_path) as process:
        yield process


def test_py_spy(tmp_path, app):
    until(["run (ferrio/runners.py"], "py-spy dump --pid PID", tmp_path, app)
    run("py-spy record --duration 1 --output profile.svg --pid PID", tmp_path, PID=app.pid)
    assert "<svg" in (tmp_path / "profile.svg").read_text()


def test_viztracer(tmp_path):
    assert "ferrio.events [0, 1]" in run("python -m ferrio -m viztracer --log_async program.py", tmp_path)
    events = json.loads((tmp_path / "result.json").read_text())["traceEvents"]
    rows = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"MainThread", "Task-1", "step 0", "step 1"} <= rows


def test_yappi(tmp_path):
    printed = run("python -m ferrio -m yappi -c wall program.py", tmp_path)
    assert "ferrio.events [0, 1]" in printed
    assert re.search(r"program\.py:3 step +2 ", printed), printed


def test_debugpy(tmp_path):
    port = free_port()
    command = "python -m ferrio -m debugpy --listen 5678 --wait-for-client app.py"
    with running(command, tmp_path, **{"5678": port}) as process:
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                assert process.poll() is None
        with connection:
            # The adapter introduces itself.
            assert connection.recv(100).startswith(b"Content-Length")


TRACED = {
    "ddtrace-run python -m ferrio app.py": """
import asyncio
from ddtrace.trace import TraceFilter, tracer

class Shown(TraceFilter):
    def process_trace(self, trace):
        names = {span.span_id: span.name for span in trace}
        print(type(loop).__module__, sorted((span.name, names.get(span.parent_id)) for span in trace))

async def step(name):
    with tracer.trace(name):
        await asyncio.sleep(0)

async def main():
    global loop
    loop = asyncio.get_running_loop()
    with tracer.trace("request"):
        await asyncio.gather(step("first"), step("second"))

tracer.configure(trace_processors=[Shown()])
asyncio.run(main())
""",
    "opentelemetry-instrument python -m ferrio app.py": """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

async def step():
    await asyncio.sleep(0)

async def main():
    await asyncio.create_task(step())
    async with asyncio.TaskGroup() as group:
        group.create_task(step())
    await asyncio.gather(step())
    print(type(asyncio.get_running_loop()).__module__, [span.name for span in spans.get_finished_spans()])

spans = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(spans))
asyncio.run(main())
""",
}
EXPECTED = {
    "ddtrace-run python -m ferrio app.py": "[('first', 'request'), ('request', None), ('second', 'request')]",
    "opentelemetry-instrument python -m ferrio app.py": str(["asyncio coro-step"] * 3),
}


@pytest.fixture
def otel(monkeypatch):
    """Makes OpenTelemetry trace the program's coroutine, and send nothing."""
    monkeypatch.setenv("OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE", "step")
    for kind in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{kind}_EXPORTER", "none")


@pytest.mark.parametrize("command", TRACED)
def test_tracers(tmp_path, monkeypatch, otel, command):
    monkeypatch.setattr(observing, "APP", TRACED[command])
    assert f"ferrio.events {EXPECTED[command]}\n" in run(command, tmp_path)


def test_names_of_ferrio_are_not_traced(tmp_path, monkeypatch, otel):
    command = "opentelemetry-instrument python -m ferrio app.py"
    monkeypatch.setattr(observing, "APP", TRACED[command].replace("import asyncio", "import ferrio as asyncio"))
    assert "ferrio.events []\n" in run(command, tmp_path)
