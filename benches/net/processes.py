"""The processes of a measurement: the C programs, servers, and runs of the load generator.

Statistics are in `table.py`, the rows in `cells.py`. `run.py` and `memory.py` use this.

Invariant: every server that was started is ended, whatever fails, and what it printed to standard error is reported.
"""

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import beside  # noqa: F401 - makes the modules of benches/ importable
import cells
import implementations
import workers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = ROOT / "target" / "bench-net"
LIMIT_NAME = "C"
"""The name of the column of `echo.c`."""
START_SECONDS = 30


class CannotMeasure(Exception):
    """A measurement can't be made or failed; the message says why."""


def build() -> bool:
    """Compile the C programs if they are out of date; returns whether they support TLS.

    Ends the program if there is no C compiler.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        sys.exit("the load generator is C and there is no C compiler on PATH: apt install gcc")
    BUILT.mkdir(parents=True, exist_ok=True)
    tls = shutil.which("openssl") is not None and compiles(compiler, "#include <openssl/ssl.h>\n", "-lssl")
    flags, libraries = (["-DWITH_TLS"], ["-lssl", "-lcrypto"]) if tls else ([], [])
    for name in ("load", "echo"):
        source, program, built_as = HERE / f"{name}.c", BUILT / name, BUILT / f"{name}.flags"
        command = [compiler, "-O2", "-Wall", *flags, str(source), "-o", str(program), *libraries]
        fresh = program.exists() and program.stat().st_mtime > source.stat().st_mtime
        if fresh and built_as.exists() and built_as.read_text() == " ".join(command):
            continue
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
        built_as.write_text(" ".join(command))
    return tls


def compiles(compiler: str, source: str, *libraries: str) -> bool:
    """Return whether a C file with `source` and an empty main compiles and links."""
    command = [compiler, "-x", "c", "-", "-x", "none", "-o", os.devnull, *libraries]
    return subprocess.run(command, input=source + "int main(void){}", text=True, capture_output=True).returncode == 0


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost that is valid for two days; returns its file and its key's."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    extension = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *extension, *files], check=True, capture_output=True)
    return certificate, key


class Server:
    """A running server process."""

    def __init__(
        self,
        python: str,
        name: str,
        server: cells.Server,
        cpu: str,
        folder: Path,
        control: bool = False,
        variables: dict[str, str] | None = None,
    ):
        """Start `server` on the implementation `name`, or the C program if that is `LIMIT_NAME`; wait until it listens.

        `cpu` is the CPU it is pinned to ("": none), `folder` holds its Unix path and the certificate. `variables` are
        added to its environment. Raises CannotMeasure if it doesn't start.
        """
        self.name, self.server, self.path = name, server, None
        place = []
        if server.unix:
            self.path = str(folder / f"{name}-{server.name}")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
        if name == LIMIT_NAME:
            place += ["--unix", self.path] if self.path else ["--udp" if server.name == "datagrams" else "--tcp"]
            place += ["--tls", certificate, key] if server.tls else []
            command = ["taskset", "-c", cpu] if cpu else []
            command += [str(BUILT / "echo"), *place, "--program", server.limit]
        else:
            place += ["--path", self.path] if self.path else []
            place += ["--certificate", certificate, "--key", key] if server.tls else []
            place += ["--control"] if control else []
            command = [python, str(HERE / "server.py"), name, server.name, cpu, *place]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `stop` closes it
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=workers.clean_environment() | (variables or {}),
        )
        try:
            hello = self.hear()
            if "missing" in hello:
                install = implementations.IMPLEMENTATIONS[name].install
                raise CannotMeasure(f"{hello['missing']}; install it with {python} {install}")
        except CannotMeasure:
            self.stop()
            raise
        self.port, self.version = hello["port"], hello["version"]

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def hear(self) -> dict:
        """Return the next line of the process; raises CannotMeasure if it ends or says nothing."""
        if not select.select([self._process.stdout], [], [], START_SECONDS)[0]:
            raise CannotMeasure(f"{self.name} printed nothing for {START_SECONDS} s")
        line = self._process.stdout.readline()
        if not line:
            raise CannotMeasure(f"{self.name} ended: {self.said() or 'no message'}")
        return json.loads(line)

    def collect_garbage(self) -> None:
        """Make a server that was started with `control` collect its garbage."""
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        self.hear()

    def resident(self) -> int:
        """Return the bytes of memory that the process has."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def said(self) -> str:
        """Return the last line that the process wrote to standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def stop(self) -> str:
        """End the process; returns the last line that it wrote to standard error."""
        self._process.kill()
        self._process.wait()
        said = self.said()
        self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()
        return said


def load(server: Server, cell: cells.Cell, seconds: float, warm: float, cpu: str, folder: Path) -> dict:
    """Put the load of a cell on a server and return what the generator measured.

    Raises CannotMeasure if a reply was lost, wrong or of the wrong length.
    """
    where = ["--unix", server.path] if server.path else ["--udp" if cell.datagrams else "--tcp", str(server.port)]
    command = ["taskset", "-c", cpu] if cpu else []
    command += [str(BUILT / "load"), *where, "--connections", str(cell.connections), "--pid", str(server.pid)]
    command += ["--seconds", str(seconds), "--warm", str(warm)]
    command += ["--tls"] if cell.server.tls else []
    command += ["--churn"] if cell.churn else []
    if cell.request is None:
        command += ["--size", str(cell.size)]
    else:
        reply = cell.reply or http_reply_length(server.port, cell.request)
        (folder / "request").write_bytes(cell.request)
        command += ["--request", str(folder / "request"), "--reply", str(reply)]
        command += ["--begins", cell.begins] if cell.begins else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 + seconds + warm)
    except subprocess.TimeoutExpired:
        raise CannotMeasure("the load generator doesn't end") from None
    if done.returncode:
        raise CannotMeasure(f"{done.stderr.strip()}{'; server: ' if server.said() else ''}{server.said()}")
    return json.loads(done.stdout)


def http_reply_length(port: int, request: bytes) -> int:
    """Return the size of the reply to an HTTP request; all replies have the same size, including their date."""
    with socket.create_connection((cells.HOST, port), 5) as sock:
        sock.sendall(request)
        reply = b""
        while (head := reply.find(b"\r\n\r\n")) < 0 or len(reply) < head + 4 + len(cells.HELLO):
            part = sock.recv(65536)
            if not part:
                raise CannotMeasure(f"the HTTP server closed the connection after {reply!r}")
            reply += part
    return len(reply)
