"""docs/integrations.md does what it says: each block of the page runs as written, with the real programs.

`written()` takes a block from the page by its text, and the last test finds blocks that no test took. Servers get a
port that the system chooses and are asked over HTTP which loop they run on.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FILES = pathlib.Path(__file__).parent / "integrations"
PAGE = (ROOT / "docs" / "integrations.md").read_text()
BLOCKS = [block.strip() for block in re.findall(r"^```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
_taken = set()

pytestmark = pytest.mark.timeout(240)


def written(text):
    """Returns the page's block with this text. Fails if the page has none."""
    assert text in BLOCKS, f"docs/integrations.md has no block {text!r}"
    _taken.add(text)
    return text


def environment(**more):
    """Returns a command's variables: it finds this environment's programs, no proxy, and nothing of this pytest."""
    unwanted = {"http_proxy", "https_proxy", "all_proxy", "pytest_disable_plugin_autoload", "pytest_addopts"}
    kept = {name: value for name, value in os.environ.items() if name.lower() not in unwanted}
    kept["PATH"] = os.pathsep.join([str(pathlib.Path(sys.executable).parent), kept.get("PATH", "")])
    return kept | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"} | more


def free_port():
    """Returns a port that nothing listens on, for servers that don't tell which one they got."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def connected(port):
    """Returns a connection to a server that may still be starting: some print their address before they listen."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.connect()
            return connection
        except ConnectionRefusedError:
            time.sleep(0.05)  # the test's own limit ends this


@contextlib.contextmanager
def serving(command, directory, port=None):
    """Runs a server until the end of the block. Yields a function that returns the server's answer to a path.

    Without a given port, it is the one that the server prints.
    """
    process = subprocess.Popen(
        shlex.split(command),
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = []
    try:
        while port is None:
            line = process.stdout.readline()
            assert line, "".join(said)
            said.append(line)
            if found := re.search(r"(?:http://|TCP address )127\.0\.0\.1:([1-9]\d*)", line):
                port = int(found[1])

        def ask(path="/"):
            with contextlib.closing(connected(port)) as connection:
                connection.request("GET", path)
                response = connection.getresponse()
                body = response.read().decode()
                assert response.status == 200, body + "".join(said)
                return json.loads(body) if "json" in response.headers["content-type"] else body

        yield ask
        process.send_signal(signal.SIGTERM)
        said += process.stdout.readlines()
        process.wait()
        assert "Traceback" not in "".join(said), "".join(said)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


UVICORN = written("uvicorn --loop ferrio:new_event_loop app:app")
GUNICORN = written("gunicorn -k ferrio.integrations.gunicorn.Worker app:app")
HYPERCORN = written("python -m ferrio -m hypercorn app:app")
LOOP_ALONE = {
    "uvicorn": UVICORN + " --port 0",
    "gunicorn": GUNICORN + " --bind 127.0.0.1:0",
}
EVERYTHING = {
    "uvicorn": written("python -m ferrio -m uvicorn --loop asyncio app:app") + " --port 0",
    "uvicorn with workers": written("python -m ferrio -m uvicorn --loop asyncio app:app") + " --port 0 --workers 2",
    "gunicorn": written("python -m ferrio -m gunicorn -k asgi --asgi-loop asyncio app:app") + " --bind 127.0.0.1:0",
    "gunicorn with aiohttp": written("python -m ferrio -m gunicorn -k aiohttp.GunicornWebWorker web:application")
    + " --bind 127.0.0.1:0",
    "hypercorn": HYPERCORN + " --bind 127.0.0.1:0 --access-logfile -",
}


@pytest.mark.parametrize("command", LOOP_ALONE.values(), ids=LOOP_ALONE)
def test_server_runs_on_ferrios_loop(command):
    with serving(command, FILES) as ask:
        answer = ask()
        assert (answer["loop"], answer["names"], answer["slept"]) == ("ferrio", "_asyncio", "slept")


@pytest.mark.parametrize("command", EVERYTHING.values(), ids=EVERYTHING)
def test_server_runs_on_ferrio(command):
    with serving(command, FILES) as ask:
        answer = ask()
        assert (answer["loop"], answer["names"], answer["slept"]) == ("ferrio", "ferrio", "slept")


def test_granian_runs_on_ferrio():
    command = written("python -m ferrio -m granian --interface asgi --loop asyncio app:app")
    # It prints the port that it was given, so the system can't choose this one.
    port = free_port()
    with serving(f"{command} --port {port}", FILES, port) as ask:
        assert (ask()["loop"], ask()["names"]) == ("ferrio", "ferrio")


def test_uvicorns_workers_run_on_the_loop():
    with serving(f"{UVICORN} --port 0 --workers 2", FILES) as ask:
        assert {ask()["loop"] for _ in range(20)} == {"ferrio"}


def test_gunicorn_says_what_its_worker_needs(tmp_path):
    # Hides uvicorn-worker behind a module of the same name that can't be imported.
    (tmp_path / "uvicorn_worker.py").write_text("raise ImportError('not here')")
    shutil.copy(FILES / "app.py", tmp_path)
    done = subprocess.run(
        shlex.split(GUNICORN), cwd=tmp_path, env=environment(PYTHONPATH=str(tmp_path)), capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "pip install gunicorn uvicorn-worker" in done.stdout + done.stderr


@pytest.fixture
def site(tmp_path):
    """Returns a copy of the Django project."""
    return shutil.copytree(FILES / "site", tmp_path / "site")


def check_site(ask):
    """Checks that every view runs on ferrio, and that synchronous functions run in the thread that Django promises."""
    assert ask("/asynchronous") == {"loop": "ferrio", "one thread": True, "other": True}
    assert ask("/synchronous") == {"loop": "ferrio", "running here": False}
    assert ask("/streamed") == "0 ferrio\n1 ferrio\n2 ferrio\n"


DJANGO = {
    "uvicorn": written("uvicorn --loop ferrio:new_event_loop mysite.asgi:application") + " --port 0",
    "daphne": written("python -m ferrio -m daphne mysite.asgi:application") + " -b 127.0.0.1 -p 0",
}


@pytest.mark.parametrize("command", DJANGO.values(), ids=DJANGO)
def test_django_runs_on_ferrio(command, site):
    with serving(command, site) as ask:
        check_site(ask)


def test_djangos_development_server_runs_on_ferrio(site):
    manage = site / "manage.py"
    manage.write_text(written("import ferrio\nferrio.install()") + "\n" + manage.read_text())
    port = free_port()
    # With its reloader: the server is a child of the command.
    with serving(f"python manage.py runserver 127.0.0.1:{port}", site, port) as ask:
        check_site(ask)


def run_suite(directory, *arguments, loop, names):
    """Runs a user's suite in its own directory; returns what pytest printed."""
    shutil.copy(FILES / "suite.py", directory / "test_suite.py")
    done = subprocess.run(
        [*arguments, "-o", "asyncio_default_fixture_loop_scope=function", "-W", "error"],
        cwd=directory,
        env=environment(EXPECTED_LOOP=loop, EXPECTED_NAMES=names),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    return done.stdout


def test_pytest_runs_on_ferrio_by_configuration(tmp_path):
    (tmp_path / "pyproject.toml").write_text(written("[tool.pytest.ini_options]\nferrio = true"))
    assert "asyncio is ferrio" in run_suite(tmp_path, "pytest", loop="ferrio", names="ferrio")


def test_pytest_runs_on_ferrio_by_command_line(tmp_path):
    run_suite(tmp_path, *shlex.split(written("pytest -o ferrio=true")), loop="ferrio", names="ferrio")


def test_pytest_runs_on_ferrio_in_xdist_workers(tmp_path):
    run_suite(tmp_path, "pytest", "-o", "ferrio=true", "-n", "2", loop="ferrio", names="ferrio")


def test_pytest_runs_on_the_loop_alone(tmp_path):
    printed = run_suite(tmp_path, "pytest", "-o", "ferrio_loop=true", loop="ferrio", names="asyncio")
    assert "asyncio on ferrio's loop" in printed


def test_pytest_imports_no_ferrio_unasked(tmp_path):
    (tmp_path / "conftest.py").write_text(
        "import sys\ndef pytest_unconfigure():\n    assert 'ferrio' not in sys.modules"
    )
    run_suite(tmp_path, "pytest", loop="asyncio", names="asyncio")


SHOW = """\
import asyncio
print("on", type(asyncio.get_running_loop()).__module__, asyncio.Task.__module__, await sleep(0))
"""


def run_ipython(directory, lines, *arguments):
    """Types `lines` into IPython; returns what the `SHOW` lines among them printed."""
    done = subprocess.run(
        ["ipython", "--simple-prompt", "--no-banner", "--no-confirm-exit", "--colors=NoColor", *arguments],
        input="from asyncio import sleep\n" + lines,
        env=environment(IPYTHONDIR=str(directory)),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return re.findall(r"on (\S+) (\S+) None", done.stdout)


STANDARD = ("asyncio.unix_events", "_asyncio")
FERRIOS = ("ferrio._loop", "ferrio")


def test_ipython_switches_to_ferrio_and_back(tmp_path):
    lines = [SHOW, written("%load_ext ferrio") + "\n", SHOW, "%unload_ext ferrio\n", SHOW, "%load_ext ferrio\n", SHOW]
    assert run_ipython(tmp_path, "".join(lines)) == [STANDARD, FERRIOS, STANDARD, FERRIOS]


def test_ipython_runs_tasks_between_cells(tmp_path):
    lines = (
        "%load_ext ferrio\nimport asyncio\n"
        "async def work(): return await sleep(0.001, 'done')\n\n"
        "task = await sleep(0) or asyncio.create_task(work())\nprint(await task)\n"
    )
    done = run_ipython(tmp_path, lines + SHOW)
    assert done == [FERRIOS]


EXTENSIONS = written('c.InteractiveShellApp.extensions = ["ferrio"]')


@pytest.fixture
def configured(tmp_path):
    """Returns the directory of an IPython whose configuration loads ferrio."""
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text(EXTENSIONS)
    return profile.parent


def test_ipython_runs_on_ferrio_by_configuration(configured):
    assert run_ipython(configured, SHOW) == [FERRIOS]


NOTEBOOK = """
import json, sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name=sys.argv[1], startup_timeout=120)
for code in json.loads(sys.argv[2]):
    said = []
    hear = lambda message: said.append(message["content"].get("text", ""))
    reply = client.execute_interactive(code, timeout=120, output_hook=hear)
    print(json.dumps([reply["content"].get("ename", "ok"), "".join(said).strip()]), flush=True)
client.stop_channels()
manager.shutdown_kernel()
"""
CELLS = [
    "import asyncio; print(type(asyncio.get_running_loop()).__module__, asyncio.Task.__module__)",
    "task = asyncio.create_task(asyncio.sleep(0.001, 'slept'))",
    "print(await task, await asyncio.to_thread(len, 'four'))",
]


def run_notebook(kernel, cells, **variables):
    """Runs cells in a new kernel; returns each cell's exception name or "ok", and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, kernel, json.dumps(cells)],
        env=environment(**variables),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_notebook_runs_on_ferrio_by_ipythons_configuration(configured):
    answers = run_notebook("python3", CELLS, IPYTHONDIR=str(configured))
    assert answers == [("ok", "ferrio._loop _asyncio"), ("ok", ""), ("ok", "slept 4")]


def test_installed_kernel_runs_notebooks_on_ferrio(tmp_path):
    command = written("python -m ferrio.integrations.jupyter install --sys-prefix")
    # The written command installs into this environment; the test's installs next to it.
    command = command.replace("--sys-prefix", f"--prefix {shlex.quote(str(tmp_path))}")
    done = subprocess.run(shlex.split(command), env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    variables = {"JUPYTER_PATH": str(tmp_path / "share" / "jupyter"), "IPYTHONDIR": str(tmp_path / "ipython")}
    assert run_notebook("ferrio", CELLS, **variables) == [("ok", "ferrio._loop ferrio"), ("ok", ""), ("ok", "slept 4")]


def test_notebook_on_another_loop_says_what_to_do(tmp_path):
    answers = run_notebook("python3", ["%load_ext ferrio", *CELLS], IPYTHONDIR=str(tmp_path))
    assert [status for status, _ in answers] == ["RuntimeError", "ok", "ok", "ok"]


FACTORIES = {
    "asyncio": "import asyncio, ferrio\n{main}\n" + written("asyncio.run(main(), loop_factory=ferrio.new_event_loop)"),
    "anyio": "import asyncio, anyio, ferrio\n{main}\n"
    + written('anyio.run(main, backend_options={"loop_factory": ferrio.new_event_loop})'),
}


@pytest.mark.parametrize("program", FACTORIES.values(), ids=FACTORIES)
def test_loop_factory_in_code_makes_ferrios_loop(program):
    if "asyncio.run" in program and sys.version_info < (3, 12):
        # run() of 3.11 takes no factory, but Runner does.
        program = program.replace("asyncio.run(main(), ", "asyncio.Runner(").replace("loop)", "loop).run(main())")
    main = "async def main():\n    print(type(asyncio.get_running_loop()).__module__)"
    done = subprocess.run([sys.executable, "-c", program.replace("{main}", main)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("ferrio._loop\n", "")


def test_uvicorn_in_code_runs_on_ferrio(tmp_path):
    line = written('uvicorn.run("app:app", loop="ferrio:new_event_loop")').replace(")", ", port=0)")
    shutil.copy(FILES / "app.py", tmp_path)
    (tmp_path / "program.py").write_text(f"import uvicorn\n{line}\n")
    with serving("python program.py", tmp_path) as ask:
        assert ask()["loop"] == "ferrio"


AIOHTTP = """
import asyncio, aiohttp.web, ferrio, socket

async def where(request):
    return aiohttp.web.json_response({{"loop": type(asyncio.get_running_loop()).__module__}})

listening = socket.create_server(("127.0.0.1", 0))
print("http://127.0.0.1:%d" % listening.getsockname()[1], flush=True)
application = aiohttp.web.Application()
application.router.add_get("/", where)
{line}
"""


def test_aiohttp_in_code_runs_on_ferrio(tmp_path):
    line = written("aiohttp.web.run_app(application, loop=ferrio.new_event_loop())")
    (tmp_path / "program.py").write_text(AIOHTTP.format(line=line.replace("())", "(), sock=listening, print=None)")))
    with serving("python program.py", tmp_path) as ask:
        assert ask()["loop"] == "ferrio._loop"


TWISTED = """
import ferrio, twisted.internet.asyncioreactor
{line}
from twisted.internet import reactor, protocol, endpoints

class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data.upper())
        self.transport.loseConnection()

class Ask(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(b"hello")
    def dataReceived(self, data):
        print(data.decode(), type(reactor._asyncioEventloop).__module__)
    def connectionLost(self, reason):
        reactor.stop()

port = reactor.listenTCP(0, protocol.Factory.forProtocol(Echo), interface="127.0.0.1")
reactor.callLater(0.001, endpoints.connectProtocol,
    endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), Ask())
reactor.run()
"""


def test_twisted_in_code_runs_on_ferrio():
    line = written("twisted.internet.asyncioreactor.install(ferrio.new_event_loop())")
    done = subprocess.run([sys.executable, "-c", TWISTED.format(line=line)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("HELLO ferrio._loop\n", "")


def test_every_block_of_the_page_is_tested():
    # Some tests take their blocks only at run time, so we look for the texts in this file.
    source = pathlib.Path(__file__).read_text()
    taken = _taken | {text for text in BLOCKS if repr(text)[1:-1] in source or text in source}
    assert set(BLOCKS) == taken
