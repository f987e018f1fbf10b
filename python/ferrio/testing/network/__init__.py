"""A simulated network for tests: hosts, links and faults, in virtual time and by a seed.

`network` has `Network`, which a test makes, and `hosts` what runs on it. Below are `links` (what lies between two
hosts), `pipe` (one direction of a connection), `connection` and `listening`: TCP without sockets. `datagrams` is UDP.
On top of these stand `stream_transport`, `server` and `datagram_transport`, and `installing` gives them to the loop.
`transport` is what the transports have in common. `names` looks up addresses. `sockets` are what programs make or see
of it, `descriptions` what is behind them, and `socket_calls` the methods of the loop that take one. `polling` is
`select` for them.
"""

from ferrio.testing.network.connection import Connection
from ferrio.testing.network.hosts import Host
from ferrio.testing.network.network import Event, Network

__all__ = ("Connection", "Event", "Host", "Network")
