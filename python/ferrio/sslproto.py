"""TLS between a transport and a protocol, under asyncio's module name (`asyncio.sslproto`)."""

from asyncio.sslproto import AppProtocolState, SSLProtocolState, add_flowcontrol_defaults

from ferrio._ferrio import SSLProtocol, SSLTransport

_SSLProtocolTransport = SSLTransport

__all__ = ("SSLProtocol", "SSLTransport")
