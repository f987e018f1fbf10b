"""What the processes of a soak agree on: where the services are, when they rest, and the certificate for TLS.

A soak alternates between work and rest. At rest no client has a connection, so the server must have exactly as many
descriptors, tasks, timers and connections as at the rest before. Nothing here does input or output but `Plan.save`.
"""

import dataclasses
import json
import ssl
import time
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Plan:
    """A soak's times and places; one file in its folder, which all its processes read."""

    folder: str
    #: When the work begins, by the system's monotonic clock, which all processes share.
    start: float
    #: For how many seconds.
    seconds: float
    #: How many seconds a period of work and rest takes.
    period: float
    #: How much of it is rest, counted from the time when clients should stop.
    rest: float
    #: How many operations the clients begin in a second of work.
    rate: float
    #: After how many seconds the server gives up a silent peer. A rest must be longer.
    idle: float = 2.0
    #: What the server leaks on purpose, to show that it is noticed; "" for nothing.
    leak: str = ""
    #: The server's port of each service, and the path of its Unix socket.
    ports: dict[str, int] = dataclasses.field(default_factory=dict)

    def now(self) -> float:
        """Returns the seconds since the start; negative before it."""
        return time.monotonic() - self.start

    def over(self) -> bool:
        """Whether the soak's time is over."""
        return self.now() >= self.seconds

    def working(self, ahead: float = 0.0) -> bool:
        """Whether clients work, and still will `ahead` seconds from now."""
        at = self.now()
        return 0 <= at < self.seconds - self.rest and (at % self.period) + ahead < self.period - self.rest

    def until_sample(self) -> float:
        """Returns in how many seconds the samples of the next rest are taken: shortly before work begins again."""
        at = (self.now() + 0.3) % self.period
        return self.period - at

    def until_work(self) -> float:
        """Returns in how many seconds the next period of work begins."""
        at = self.now()
        return -at if at < 0 else self.period - at % self.period

    def unix_path(self) -> str:
        """Returns where the Unix socket is."""
        return f"{self.folder}/echo.sock"

    def save(self) -> Path:
        """Writes the plan where its processes find it; returns the path."""
        path = Path(self.folder) / "plan.json"
        path.write_text(json.dumps(dataclasses.asdict(self)))
        return path


def load(path: str) -> Plan:
    """Returns the plan that `Plan.save` wrote."""
    return Plan(**json.loads(Path(path).read_text()))


def make_certificate(folder: Path) -> None:
    """Writes an authority, and its certificate for localhost, into the folder."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(folder / "localhost.pem")
    )


def server_context(folder: str) -> ssl.SSLContext:
    """Returns the server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/localhost.pem")
    return context


def client_context(folder: str) -> ssl.SSLContext:
    """Returns a client's context, which trusts only the soak's authority."""
    return ssl.create_default_context(cafile=f"{folder}/authority.pem")
