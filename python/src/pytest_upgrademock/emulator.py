"""The emulator: a process, and its control API."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import socket
import sys
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Mapping, Sequence, Union
from urllib.parse import urlencode, urlsplit

Scenario = Union[str, "os.PathLike[str]", Mapping[str, Any]]
"""A built-in scenario's name, a file, the text of one in YAML, or its keys as a dictionary."""

Object = Mapping[str, Any]
"""What the control API shows: an event, a request, an outcome. ``/_mock/openapi.yaml`` has the keys."""

Duration = Union[str, float, datetime.timedelta]

# What the emulator's child does: it says which environment `exec` gave it, and ends with its standard input, which
# ends with this process, however that ends.
_CHILD = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"

# Variables that the child's start sets, or that would have its processes ended together with the emulator.
_NOT_OURS = {"LC_CTYPE", "PWD", "OLDPWD", "SHLVL", "_", "UPGRADEMOCK_RUN"}


class ControlError(RuntimeError):
    """The control API refuses a call; the text says why."""


class StartError(RuntimeError):
    """The emulator did not start; the text has what it said."""


class UnmetExpectations(AssertionError):
    """The program under test did not do what a scenario expects of a good client."""


def find_program() -> str:
    """The program ``upgrademock``: ``UPGRADEMOCK_BIN``, the one of ``PATH``, or the one that came with this package."""
    named = os.environ.get("UPGRADEMOCK_BIN")
    if named:
        found = shutil.which(named)
        if not found:
            raise FileNotFoundError(f"UPGRADEMOCK_BIN is {named}: there is no such program")
        return found
    bundled = Path(__file__).with_name("bin") / ("upgrademock.exe" if os.name == "nt" else "upgrademock")
    found = shutil.which("upgrademock") or shutil.which(str(bundled))
    if not found:
        raise FileNotFoundError("upgrademock was not found: put it on PATH, or name it in UPGRADEMOCK_BIN")
    return found


# As they were when this was imported: what others put in their place, to record calls or to refuse them, is not for
# the control API.
Socket, _connect = socket.socket, socket.socket.connect


def _connected(host: str, port: int, timeout: float) -> socket.socket:
    connection = Socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        _connect(connection, (host, port))
    except BaseException:
        connection.close()
        raise
    return connection


class Upgrademock:
    """A running emulator. It must be closed, once.

    Its methods may be called from any thread. Each raises :class:`ControlError` for a call that the emulator refuses.
    """

    env: Mapping[str, str]
    """The variables that ``upgrademock exec`` gives to a program, as far as they differ from this process's."""

    unset: Sequence[str]
    """Those that it takes away."""

    def __init__(self, flags: Sequence[str] = ()) -> None:
        """Start an emulator with flags of ``upgrademock exec``, and wait until it accepts."""
        self._program = find_program()
        self._stderr = tempfile.TemporaryFile()
        # A session of its own, so that an interrupt of the tests is not one of the emulator, which they still ask.
        self._process = subprocess.Popen(
            [self._program, "exec", *flags, "--", sys.executable, "-E", "-S", "-c", _CHILD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, start_new_session=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            text = self._last_words()
            self.close()
            raise StartError(f"the emulator did not start: {text}")
        given = json.loads(line)
        self.env = {name: value for name, value in given.items()
                    if name not in _NOT_OURS and os.environ.get(name) != value}
        self.unset = [name for name in os.environ if name not in given]

    def close(self) -> None:
        """Stop the emulator."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._stderr.close()

    @property
    def alive(self) -> bool:
        """Whether the emulator runs."""
        return self._process.poll() is None

    def _last_words(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace").strip()

    @property
    def url(self) -> str:
        """Its address, such as ``http://127.0.0.1:43210``. The production URL leads to the same place."""
        return self.env["UPGRADEMOCK_URL"]

    @property
    def https_url(self) -> str:
        """Its address for https, with a certificate of the authority in :attr:`ca_file`."""
        return self.env["UPGRADEMOCK_HTTPS_URL"]

    @property
    def admin_url(self) -> str:
        """The base of the control API."""
        return self.env["UPGRADEMOCK_ADMIN_URL"]

    @property
    def sftp_address(self) -> tuple[str, int]:
        """Host and port of the SFTP server."""
        return self.env["UPGRADEMOCK_SFTP_HOST"], int(self.env["UPGRADEMOCK_SFTP_PORT"])

    @property
    def known_hosts(self) -> str:
        """A file in OpenSSH's form with the SFTP server's host key."""
        return self.env["UPGRADEMOCK_KNOWN_HOSTS"]

    @property
    def ca_file(self) -> str:
        """A PEM file with the emulator's certificate authority, alone."""
        return self.env["UPGRADEMOCK_CA_FILE"]

    def control(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None, *,
                timeout: float = 60) -> Any:
        """Call the control API, and return its answer; ``/_mock/openapi.yaml`` describes it.

        The body is a text, or an object for JSON. Query parameters that are None are left out. The call may take that
        many seconds.
        """
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        base = urlsplit(self.admin_url)
        target = base.path + path + ("?" + urlencode(given) if given else "")
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        connection = HTTPConnection(base.hostname or "", base.port, timeout=timeout)
        try:
            connection.sock = _connected(base.hostname or "", base.port or 80, timeout)
            connection.request(method, target, data.encode() if data is not None else None)
            response = connection.getresponse()
            text = response.read().decode()
        except OSError:
            if self.alive:
                raise
            words = self._last_words()
            status = self._process.returncode
        else:
            status = None
        finally:
            connection.close()
        if status is not None:
            raise ConnectionError(f"the emulator has ended with status {status}: {words or 'it said nothing'}")
        answer = json.loads(text) if response.headers.get_content_type() == "application/json" else text
        if response.status == 408:
            raise TimeoutError(answer["error"])
        if response.status >= 400:
            raise ControlError(f"{method} {path}: {answer['error']}")
        return answer

    def use(self, *scenarios: Scenario) -> None:
        """Have these scenarios drive the requests to come; the first that matches a request drives it.

        Relative names in a scenario are looked up in the directory in which the tests were started.
        """
        for scenario in reversed(scenarios):  # each is put before those that are there
            self.control("POST", "/scenarios", self._text(scenario))

    def _text(self, scenario: Scenario) -> str:
        if isinstance(scenario, Mapping):
            return json.dumps(scenario)
        if isinstance(scenario, str) and "\n" in scenario:
            return scenario
        if os.path.exists(scenario):
            return Path(scenario).read_text(encoding="utf-8")
        shown = subprocess.run([self._program, "scenario", "show", os.fspath(scenario)],
                               stdin=subprocess.DEVNULL, capture_output=True)
        if shown.returncode != 0:
            raise ValueError(shown.stderr.decode().strip())
        return shown.stdout.decode()

    def requests(self) -> list[Object]:
        """All requests, as ``GET /_mock/requests`` shows them."""
        found: list[Object] = self.control("GET", "/requests")["requests"]
        return found

    def journal(self, on: str | None = None, *, request: int | None = None, contract: str | None = None,
                since: int | str | None = None) -> list[Object]:
        """What happened, oldest first: everything, or what is of one kind, request or contract."""
        query = {"on": on, "request": request, "contract": contract, "since": since}
        events: list[Object] = self.control("GET", "/journal", query=query)["events"]
        return events

    def wait(self, on: str, *, request: int | None = None, contract: str | None = None,
             since: int | str | None = None, timeout: float = 30) -> Object:
        """Wait for an event of that kind, and return it; one that has happened counts.

        It raises TimeoutError if there is none within that many seconds.
        """
        query = {"on": on, "request": request, "contract": contract, "since": since, "timeout": f"{timeout:f}s"}
        event: Object = self.control("GET", "/wait", query=query, timeout=timeout + 60)["event"]
        return event

    def advance(self, by: Duration | None = None, *, until: str | None = None,
                request: int | None = None) -> datetime.datetime:
        """Let time pass on a virtual clock, and return what it says then.

        A duration is a timedelta, a number of seconds, or a text such as ``"8h"``. With ``until``, time passes until
        the request has been in that state, or if none is given, each that is under way.
        """
        if isinstance(by, datetime.timedelta):
            by = by.total_seconds()
        text = by if isinstance(by, str) or by is None else f"{by:f}s"
        body = {"by": text, "until": until, "request": request}
        body = {name: value for name, value in body.items() if value is not None}
        now = self.control("POST", "/clock/advance", body)["now"]
        return datetime.datetime.fromisoformat(now.replace("Z", "+00:00"))

    def release(self, request: int) -> Object:
        """Let a request go on that a step ``for: released`` holds, and return it."""
        released: Object = self.control("POST", f"/requests/{request}/release")
        return released

    def reset(self) -> None:
        """Forget requests, dumps, the journal, counted faults and scenarios."""
        self.control("POST", "/reset")

    def verify(self) -> list[Object]:
        """Return what came of the expectations of all scenarios in use.

        It raises :class:`UnmetExpectations` with the words of ``upgrademock exec --expect`` if one was not met.
        """
        outcomes: list[Object] = self.control("GET", "/verify")["results"]
        unmet = []
        for outcome in outcomes:
            if outcome["verdict"] == "fail":
                unmet.append("{scenario}: {expect}: wanted {wanted}; saw {saw}".format(**{"saw": "", **outcome}))
                if outcome.get("hint"):
                    unmet.append("  " + outcome["hint"])
        if unmet:
            raise UnmetExpectations("\n".join(unmet))
        return outcomes
