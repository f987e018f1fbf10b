"""What the package in Python consists of: nothing that runs per callback, task or packet.

Every class and coroutine of it is listed here with how often it runs.
"""

import ast
from pathlib import Path

from tests.repo.sources import name, own_files

PACKAGE = "python/ferrio/"

# The package's classes and coroutines: they run once per program, loop or prompt, and never per callback or task.
PYTHON_CLASSES = {
    "_connect.Connecting": "methods of the loop, once per connection that the program asks for",
    "_datagram.Datagrams": "a method of the loop, once per datagram endpoint",
    "_loop.EventLoop": "the native loop with AbstractEventLoop as its base; adds no method",
    "_policy.EventLoopPolicy": "called once per loop",
    "_serve.Serving": "methods of the loop, once per server",
    "_standard._TasksOfAllLoops": "what the standard library's asyncio.all_tasks() reads",
    "_tls.Upgrading": "a method of the loop, at most once per connection",
    "_server.Server": "what a program waits for, once per server; connections are accepted natively",
    "cli.options.Options": "the command line",
    "cli.lines.Lines": "a prompt, without CPython's console",
    "cli.lines._Editing": "a prompt, without CPython's console",
    "cli.prompt.Prompt": "the prompt",
    "cli.prompt._State": "a line or a statement of the prompt",
    "cli.prompt._TerminalState": "a prompt",
    "cli.repl.Console": "a prompt, with CPython's console",
    "cli.spawned._Message": "once per process that multiprocessing starts",
    "cli.spawned._WaitForSpawn": "once per program",
    "executor.ThreadPool": "the executor's methods; the loop's own calls bypass them",
    "graph.FrameCallGraphEntry": "part of a call graph, which is built on request",
    "graph.FutureCallGraph": "part of a call graph, which is built on request",
    "integrations.gunicorn.Worker": "once per process of gunicorn; adds a setting",
    "queues.QueueShutDown": "the exception, for Pythons whose asyncio has none",
    "_slow_end.Reporting": "a few per program, at its end",
    "cli.programs.Program": "a program that `ferrio ps` looks at",
    "cli.programs.Unseen": "an error of `ferrio ps`",
    "cli.commands._UnwrittenError": "an error of `ferrio ps`",
    "cli.tables.Branch": "a line of `ferrio tree`",
    "sight.agent.Agent": "once per program that lets others look at it",
    "sight.agent._Client": "once per reader of an agent",
    "sight.order.OrderRecording": "once per recording",
    "sight.meeting.PlaceError": "an error at an agent's start",
    "sight.snapshot.Tables": "once per agent",
    "sight.subjects.Holders": "once per table that a reader asks for",
    "sight.subjects.Subject": "once per row that a reader asks for",
    "cli.top.Top": "the screen of `ferrio top`",
    "cli.watching.Look": "once per table of `ferrio top`",
    "cli.watching.Process": "a program that `ferrio top` shows",
    "cli.watching.Watching": "once per `ferrio top`",
    "sight.caught.Catches": "once per program, at its end, if it is watched",
    "runners.Runner": "once per program",
    "integrations.opentelemetry.Instrumentation": "once per program",
    "integrations.prometheus.Collector": "once per program; its methods run when Prometheus asks",
    "sight.exported.Number": "a table of names",
    "sight.ledger._Account": "once per loop that runs at the same time as others, in exporters",
    "sight.metrics.Histogram": "part of a snapshot, which is taken on request",
    "sight.metrics.Metering": "once per program",
    "sight.metrics.Metrics": "a snapshot, which is taken on request",
    "sight.picture.Poll": "an entry of a trace that is written",
    "sight.picture.Slice": "an entry of a trace that is written",
    "sight.picture.Trace": "once per trace that is written",
    "sight.picture.Wait": "an entry of a trace that is written",
    "sight.picture.Wake": "an entry of a trace that is written",
    "sight.recorder.Recording": "once per recording",
    "sight.stoppable.Stoppable": "what those that are stopped have in common",
    "sight.triggers.Triggers": "once per recording",
    "sight.watchdog.Block": "once per report of the watchdog",
    "sight.watchdog.Watch": "once per watchdog",
    "staggered._Race": "a few tasks per race",
    "_launch._Launched": "a standard class with one additional step, once per child",
    "_process.Spawning": "methods of the loop that run once per child",
    "subprocess.Process": "a program's view of a child; streams do the reads and writes",
    "subprocess.SubprocessStreamProtocol": "a child's start and end; data bypasses it",
    "tempfile.TemporaryDirectory": "once per folder",
    "_sendfile.Sending": "a method of the loop that runs once per file",
    "_sendfile._FallbackProtocol": "a file that is sent in pieces",
}
PYTHON_COROUTINES = {
    "streams._start_tls": "once per connection",
    "streams.open_connection": "once per connection",
    "streams.open_unix_connection": "once per connection",
    "streams.start_server": "once per server",
    "streams.start_unix_server": "once per server",
    "_connect._on_socket": "once per connection that the program asks for",
    "_connect._connect_to_any": "once per connection that the program asks for",
    "_connect._connect_to": "once per connection that the program asks for",
    "_connect.create_connection": "once per connection that the program asks for",
    "_connect.create_unix_connection": "once per connection that the program asks for",
    "_connect.connect_accepted_socket": "once per connection that the program asks for",
    "_connect.connect_read_pipe": "once per connection that the program asks for",
    "_connect.connect_write_pipe": "once per connection that the program asks for",
    "_serve._serve": "once per server",
    "_serve._resolve_all": "once per server",
    "_serve._resolve": "once per server",
    "_serve.create_server": "once per server",
    "_serve.create_unix_server": "once per server",
    "_datagram._candidates": "once per datagram endpoint",
    "_datagram._open_any": "once per datagram endpoint",
    "_datagram._open": "once per datagram endpoint",
    "_datagram.create_datagram_endpoint": "once per datagram endpoint",
    "_sockets.resolve": "once per connection, server or endpoint",
    "_sockets.open_transport": "once per connection, server or endpoint",
    "_server.start_serving": "once per server",
    "_server.serve_forever": "once per server",
    "_server.wait_closed": "once per server",
    "_sendfile._sendfile_native": "once per file",
    "_sendfile._send_pieces": "once per file that the system can't send; a thread reads each piece",
    "_sendfile.wait_for_room": "once per piece of such a file",
    "_sendfile.sendfile": "once per file",
    "tempfile.__aenter__": "once per folder",
    "tempfile.__aexit__": "once per folder",
    "_tls.start_tls": "at most once per connection",
    "_launch.start": "once per child",
    "_process._give_up": "once per child that can't be watched",
    "_process._make_subprocess_transport": "once per child",
    "_process._start": "once per child",
    "_process.subprocess_exec": "once per child",
    "_process.subprocess_shell": "once per child",
    "cli.top.on_mount": "`ferrio top`, not the program that it shows",
    "cli.top.on_unmount": "`ferrio top`, not the program that it shows",
    "cli.top._tick": "`ferrio top`, not the program that it shows",
    "cli.top.look_now": "`ferrio top`, not the program that it shows",
    "cli.top._choose": "`ferrio top`, not the program that it shows",
    "cli.top._show_stack": "`ferrio top`, not the program that it shows",
    "cli.top.on_input_changed": "`ferrio top`, not the program that it shows",
    "cli.top.on_input_submitted": "`ferrio top`, not the program that it shows",
    "cli.top.action_sort": "`ferrio top`, not the program that it shows",
    "cli.top.action_reverse": "`ferrio top`, not the program that it shows",
    "cli.top.on_data_table_header_selected": "`ferrio top`, not the program that it shows",
    "cli.top._sort_by": "`ferrio top`, not the program that it shows",
    "cli.top.action_tree": "`ferrio top`, not the program that it shows",
    "cli.top.action_pause": "`ferrio top`, not the program that it shows",
    "cli.top.action_open": "`ferrio top`, not the program that it shows",
    "cli.top.action_back": "`ferrio top`, not the program that it shows",
    "subprocess._feed_stdin": "once per child",
    "subprocess._nothing": "once per child",
    "subprocess._read_stream": "once per child",
    "subprocess.communicate": "once per child",
    "subprocess.wait": "once per child",
    "subprocess.create_subprocess_exec": "once per child",
    "subprocess.create_subprocess_shell": "once per child",
    "_standard.await_it": "the coroutine that CPython's ensure_future makes from an awaitable",
    "_standard.close_asyncgens": "once per loop, at its end",
    "executor.shut_down": "once per loop, at its end",
    "runners._await": "once per program, for run() of an awaitable",
    "runners._wait_for_all": "once per loop, at its end",
    "staggered._attempt": "an attempt of a race",
    "staggered.end": "once per race",
    "staggered.wait_for": "once per attempt",
    "staggered.staggered_race": "once per race",
}


def _definitions(kind: tuple[type, ...]) -> set[str]:
    found = set()
    for path in own_files(".py"):
        # The test bench is part of no program.
        if name(path).startswith(PACKAGE) and not name(path).startswith(f"{PACKAGE}testing/"):
            module = ".".join(Path(name(path)[len(PACKAGE) :]).with_suffix("").parts)
            tree = ast.parse(path.read_text())
            found |= {f"{module}.{node.name}" for node in ast.walk(tree) if isinstance(node, kind)}
    return found


def test_the_packages_classes_are_the_listed_ones():
    assert _definitions((ast.ClassDef,)) == set(PYTHON_CLASSES)


def test_the_packages_coroutines_are_the_listed_ones():
    # A coroutine in Python is a frame per call: tasks, sleeps, queues and locks must not go through one.
    assert _definitions((ast.AsyncFunctionDef,)) == set(PYTHON_COROUTINES)
