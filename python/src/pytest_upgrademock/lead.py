"""Leads what this process does for the platform's URL to an emulator.

The variables of ``upgrademock exec`` are enough for requests, httpx and urllib, and for programs that a test starts.
http.client, urllib3, aiohttp and paramiko look at no proxy: for them connections to the platform's name are led to the
emulator's own listeners, and its authority is trusted where they begin TLS with that name.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import ssl
import urllib.request
from typing import Any, Iterator
from urllib.parse import urlsplit

import pytest

from .emulator import Socket, Upgrademock


@contextlib.contextmanager
def led(emulator: Upgrademock) -> Iterator[None]:
    """Lead this process to the emulator until the end of the context."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.env.items():
            patch.setenv(name, value)
        for name in emulator.unset:
            patch.delenv(name, raising=False)
        hosts = set(filter(None, emulator.env.get("UPGRADEMOCK_HOSTS", "upgrade.odoo.com").split(",")))
        _lead_connections(patch, hosts, emulator)
        _trust(patch, hosts | {urlsplit(emulator.https_url).hostname or ""}, emulator.ca_file)
        _trust_by_pycurl(patch, emulator.env.get("SSL_CERT_FILE"))
        yield


# What the platform's name is looked up as: an address of this machine that nothing listens at, so that a library which
# connects to the address with a port of its own is recognized, and nothing leaves where it is not.
_PLATFORM = "127.85.80.71"


def _lead_connections(patch: pytest.MonkeyPatch, hosts: set[str], emulator: Upgrademock) -> None:
    listeners = {22: emulator.sftp_address}
    for port, url in ((443, urlsplit(emulator.https_url)), (80, urlsplit(emulator.url))):
        if url.hostname and url.port:
            listeners[port] = (url.hostname, url.port)
    plain_getaddrinfo = socket.getaddrinfo
    plain_connect, plain_connect_ex = Socket.connect, Socket.connect_ex

    def platforms(host: Any) -> bool:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        return isinstance(name, str) and (name == _PLATFORM or name.lower().rstrip(".") in hosts)

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return plain_getaddrinfo(_PLATFORM if platforms(host) else host, port, *args, **kwargs)

    def to(address: Any) -> Any:
        """The emulator's address in place of the platform's, and every other as it is."""
        if not isinstance(address, tuple) or len(address) != 2 or not platforms(address[0]):
            return address
        if address[1] not in listeners:
            ports = ", ".join(str(port) for port in sorted(listeners))
            raise ConnectionRefusedError(f"port {address[1]}: the emulator stands for the platform's ports {ports}")
        return listeners[address[1]]

    def connect(self: socket.socket, address: Any) -> None:
        plain_connect(self, to(address))

    def connect_ex(self: socket.socket, address: Any) -> int:
        return plain_connect_ex(self, to(address))

    patch.setattr(socket, "getaddrinfo", getaddrinfo)
    patch.setattr(Socket, "connect", connect)
    patch.setattr(Socket, "connect_ex", connect_ex)
    # urlopen keeps what it made of the variables: its next call after this context reads them anew.
    patch.setattr(urllib.request, "_opener", getattr(urllib.request, "_opener", None), raising=False)


def _trust(patch: pytest.MonkeyPatch, hosts: set[str], ca_file: str) -> None:
    plain_socket, plain_bio = ssl.SSLContext.wrap_socket, ssl.SSLContext.wrap_bio

    def trust(context: ssl.SSLContext, server_hostname: Any) -> None:
        if server_hostname in hosts and context.verify_mode != ssl.CERT_NONE and os.path.exists(ca_file):
            context.load_verify_locations(ca_file)

    def wrap_socket(self: ssl.SSLContext, sock: socket.socket, server_side: bool = False,
                    do_handshake_on_connect: bool = True, suppress_ragged_eofs: bool = True,
                    server_hostname: Any = None, session: Any = None) -> ssl.SSLSocket:
        trust(self, server_hostname)
        return plain_socket(self, sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, server_hostname,
                            session)

    def wrap_bio(self: ssl.SSLContext, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool = False,
                 server_hostname: Any = None, session: Any = None) -> ssl.SSLObject:
        trust(self, server_hostname)
        return plain_bio(self, incoming, outgoing, server_side, server_hostname, session)

    patch.setattr(ssl.SSLContext, "wrap_socket", wrap_socket)
    patch.setattr(ssl.SSLContext, "wrap_bio", wrap_bio)


def _trust_by_pycurl(patch: pytest.MonkeyPatch, bundle: str | None) -> None:
    """Give handles of PycURL the authorities: libcurl reads the variables of proxies, and none of authorities."""
    try:
        pycurl: Any = importlib.import_module("pycurl")
    except ImportError:
        return
    plain = pycurl.Curl

    def trust(handle: Any) -> None:
        if bundle and os.path.exists(bundle):
            handle.setopt(pycurl.CAINFO, bundle)

    def init(self: Any, *args: Any) -> None:
        plain.__init__(self, *args)
        trust(self)

    def reset(self: Any) -> None:
        plain.reset(self)
        trust(self)

    with contextlib.suppress(TypeError):  # before 7.45 nothing can be derived from it
        patch.setattr(pycurl, "Curl", type("Curl", (plain,), {"__init__": init, "reset": reset, "__module__": "pycurl"}))
