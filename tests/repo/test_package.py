"""What the package in Python consists of: nothing that runs per callback, task or packet.

Every class and coroutine of it is listed here with how often it runs.
"""

import ast
from pathlib import Path

from tests.repo.sources import name, own_files

PACKAGE = "python/ferrio/"

# Classes and coroutines of the package: what runs once a program, a loop or a prompt, and never per callback or task.
PYTHON_CLASSES = {
    "_connect.Connecting": "methods of the loop, once a connection that the program asks for",
    "_datagram.Datagrams": "a method of the loop, once a datagram endpoint",
    "_loop.EventLoop": "the native loop with AbstractEventLoop as its base; adds no method",
    "_policy.EventLoopPolicy": "asked once a loop",
    "_serve.Serving": "methods of the loop, once a server",
    "_standard._TasksOfAllLoops": "what asyncio.all_tasks() of the standard library looks into",
    "_tls.Upgrading": "a method of the loop, once a connection at most",
    "_server.Server": "what is waited for, once a server; connections are accepted natively",
    "cli.options.Options": "the command line",
    "cli.lines.Lines": "a prompt, without CPython's console",
    "cli.lines._Editing": "a prompt, without CPython's console",
    "cli.prompt.Prompt": "the prompt",
    "cli.prompt._State": "a line or a statement of the prompt",
    "cli.prompt._TerminalState": "a prompt",
    "cli.repl.Console": "a prompt, with CPython's console",
    "cli.spawned._Message": "once a process that multiprocessing starts",
    "cli.spawned._WaitForSpawn": "once a program",
    "executor.ThreadPool": "the executor's methods; the loop's own calls go past them",
    "graph.FrameCallGraphEntry": "what a call graph is made of, built when one asks for it",
    "graph.FutureCallGraph": "what a call graph is made of, built when one asks for it",
    "integrations.gunicorn.Worker": "once a process of gunicorn; adds a setting",
    "queues.QueueShutDown": "the exception, for Pythons whose asyncio has none",
    "runners.Runner": "once a program",
    "staggered._Race": "a few tasks a race",
    "_launch._Launched": "a standard class with one step of its own, once a child",
    "_process.Spawning": "methods of the loop that run once a child",
    "subprocess.Process": "what a program holds of a child; reads and writes are those of streams",
    "subprocess.SubprocessStreamProtocol": "a child's beginning and end; data goes past it",
    "tempfile.TemporaryDirectory": "once a folder",
    "_sendfile.Sending": "a method of the loop that runs once a file",
    "_sendfile._FallbackProtocol": "a file that is sent in pieces",
}
PYTHON_COROUTINES = {
    "_standard._operation": "never runs: only its code object is shown",
    "streams._start_tls": "once a connection",
    "streams.open_connection": "once a connection",
    "streams.open_unix_connection": "once a connection",
    "streams.start_server": "once a server",
    "streams.start_unix_server": "once a server",
    "_connect._on_socket": "once a connection that the program asks for",
    "_connect._connect_to_any": "once a connection that the program asks for",
    "_connect._connect_to": "once a connection that the program asks for",
    "_connect.create_connection": "once a connection that the program asks for",
    "_connect.create_unix_connection": "once a connection that the program asks for",
    "_connect.connect_accepted_socket": "once a connection that the program asks for",
    "_connect.connect_read_pipe": "once a connection that the program asks for",
    "_connect.connect_write_pipe": "once a connection that the program asks for",
    "_serve._serve": "once a server",
    "_serve._resolve_all": "once a server",
    "_serve._resolve": "once a server",
    "_serve.create_server": "once a server",
    "_serve.create_unix_server": "once a server",
    "_datagram._candidates": "once a datagram endpoint",
    "_datagram._open_any": "once a datagram endpoint",
    "_datagram._open": "once a datagram endpoint",
    "_datagram.create_datagram_endpoint": "once a datagram endpoint",
    "_sockets.resolve": "once a connection, server or endpoint",
    "_sockets.open_transport": "once a connection, server or endpoint",
    "_server.start_serving": "once a server",
    "_server.serve_forever": "once a server",
    "_server.wait_closed": "once a server",
    "_sendfile._sendfile_native": "once a file",
    "_sendfile._send_pieces": "once a file that the system can't send; a thread reads each piece of it",
    "_sendfile.wait_for_room": "once a piece of such a file",
    "_sendfile.sendfile": "once a file",
    "tempfile.__aenter__": "once a folder",
    "tempfile.__aexit__": "once a folder",
    "_tls.start_tls": "once a connection at most",
    "_launch.start": "once a child",
    "_process._give_up": "once a child that could not be looked after",
    "_process._make_subprocess_transport": "once a child",
    "_process._start": "once a child",
    "_process.subprocess_exec": "once a child",
    "_process.subprocess_shell": "once a child",
    "subprocess._feed_stdin": "once a child",
    "subprocess._nothing": "once a child",
    "subprocess._read_stream": "once a child",
    "subprocess.communicate": "once a child",
    "subprocess.wait": "once a child",
    "subprocess.create_subprocess_exec": "once a child",
    "subprocess.create_subprocess_shell": "once a child",
    "_standard.await_it": "the coroutine that CPython's ensure_future makes of an awaitable",
    "_standard.close_asyncgens": "once a loop, at its end",
    "executor.shut_down": "once a loop, at its end",
    "runners._await": "once a program, for run() of an awaitable",
    "runners._wait_for_all": "once a loop, at its end",
    "staggered._attempt": "an attempt of a race",
    "staggered.end": "once a race",
    "staggered.wait_for": "once an attempt",
    "staggered.staggered_race": "once a race",
}


def _definitions(kind: tuple[type, ...]) -> set[str]:
    found = set()
    for path in own_files(".py"):
        if name(path).startswith(PACKAGE):
            module = ".".join(Path(name(path)[len(PACKAGE) :]).with_suffix("").parts)
            tree = ast.parse(path.read_text())
            found |= {f"{module}.{node.name}" for node in ast.walk(tree) if isinstance(node, kind)}
    return found


def test_the_packages_classes_are_the_listed_ones():
    assert _definitions((ast.ClassDef,)) == set(PYTHON_CLASSES)


def test_the_packages_coroutines_are_the_listed_ones():
    # A coroutine in Python is a frame per call: tasks, sleeps, queues and locks must not go through one.
    assert _definitions((ast.AsyncFunctionDef,)) == set(PYTHON_COROUTINES)
