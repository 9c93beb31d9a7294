"""What the plugin does to tests, seen from outside."""

import importlib
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest


def test_expectations(pytester):
    pytester.makepyfile("""
        import urllib.request
        import pytest

        @pytest.mark.upgrademock("happy-path")
        def test_unmet():
            urllib.request.urlopen("https://upgrade.odoo.com/database/v1/status")

        @pytest.mark.upgrademock("happy-path", verify=False)
        def test_allowed(upgrademock):
            assert upgrademock.journal() == []

        @pytest.mark.upgrademock("happy-path")
        @pytest.mark.xfail(strict=True)
        def test_known():
            pass

        @pytest.mark.upgrademock("happy-path")
        class TestOfAClass:
            def test_own_failure(self):
                assert 1 == 2

        @pytest.mark.upgrademock("happy-paht")
        def test_misspelt():
            pass

        def test_without():
            pass
    """)
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=2, xfailed=1, errors=1)
    result.stdout.fnmatch_lines([
        '*unknown scenario "happy-paht", did you mean "happy-path"?',
        "happy-path: calls.create: wanted *; saw *",
        "  a good client *",
        "*upgrademock journal*",
        "* status 200 *",
    ])
    result.stdout.no_fnmatch_line("*outcomes*")  # no traceback into the plugin


def test_flags(pytester):
    pytester.makepyfile("""
        import pytest

        @pytest.mark.upgrademock(doc="13.0", contract=["A*", "B*"], clock="virtual")
        def test_doc(upgrademock):
            upgrademock.advance("1h")

        @pytest.mark.upgrademock(colour="red")
        def test_unknown():
            pass
    """)
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the emulator did not start: *--colour*"])


def test_dies(pytester):
    """A test whose emulator ends says so; the next one has another."""
    pytester.makepyfile("""
        import pytest

        @pytest.mark.upgrademock("happy-path")
        def test_unasked(upgrademock):
            upgrademock._process.kill()
            upgrademock._process.wait()

        def test_after(upgrademock):
            assert upgrademock.requests() == []

        def test_asked(upgrademock):
            upgrademock._process.kill()
            upgrademock._process.wait()
            upgrademock.requests()
    """)
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["the emulator has ended with status *", "*it could not be read: the emulator has ended *"])


def test_no_program(pytester, monkeypatch):
    """A test that cannot have an emulator says so in a line."""
    monkeypatch.setenv("UPGRADEMOCK_BIN", "no/such/program")
    pytester.makepyfile("def test(upgrademock): pass")
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["UPGRADEMOCK_BIN is no/such/program: there is no such program"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_beside_plugins_that_watch_connections(pytester):
    """What others put in place of sockets and connections is not for the control API."""
    pytester.makepyfile("""
        import http.client, socket
        import pytest

        class Refuse(socket.socket):
            def __new__(cls, *args, **kwargs):
                raise RuntimeError("no network in tests")

        @pytest.fixture(autouse=True)
        def refused(monkeypatch):
            monkeypatch.setattr(http.client, "HTTPConnection", Refuse)
            monkeypatch.setattr(socket, "socket", Refuse)

        def test_control(refused, upgrademock):
            assert upgrademock.requests() == []

        @pytest.mark.upgrademock("happy-path")
        def test_unmet():
            pass

        def test_call(upgrademock):
            socket.socket()
    """)
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["happy-path: calls.create: *", "*RuntimeError: no network in tests"])
    result.stdout.no_fnmatch_line("*could not be read*")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no such signal")
def test_ends_with_the_tests(pytester):
    """An emulator does not outlive tests that are killed."""
    pytester.makepyfile("""
        import os, signal

        def test_killed(upgrademock):
            with open("address", "w") as f:
                f.write(upgrademock.url)
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert pytester.runpytest_subprocess("-p", "no:cacheprovider").ret == -signal.SIGKILL

    address = urlsplit((pytester.path / "address").read_text())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection((address.hostname, address.port)).close()
        except OSError:
            return
        time.sleep(0.02)
    pytest.fail("the emulator still accepts")


def test_project_file():
    """What an installation reads of the project leads to the plugin."""
    tomllib = pytest.importorskip("tomllib")

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    for module in project["entry-points"]["pytest11"].values():
        assert hasattr(importlib.import_module(module), "upgrademock")
    assert project["dependencies"] == ["pytest>=7.0"]
