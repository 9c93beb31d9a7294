"""The pytest plugin: the fixture and the marker ``upgrademock``."""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator, TypeVar

import pytest

from .emulator import StartError, UnmetExpectations, Upgrademock
from .lead import led

_Hook = TypeVar("_Hook", bound=Callable[..., Any])
_hookwrapper: Callable[[_Hook], _Hook] = pytest.hookimpl(hookwrapper=True)  # which has no types in older versions

_running = pytest.StashKey[Upgrademock]()  # of an item, while its fixture is set up
_judged = pytest.StashKey[bool]()  # whether unmet expectations fail it


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "upgrademock(*scenarios, verify=True, **flags): run the test against an emulator of the Odoo upgrade platform; "
        "scenarios are built-in names, files, YAML texts or dictionaries, flags are those of `upgrademock exec`, such "
        "as clock='virtual'; with verify=False the test may do otherwise than the scenarios expect")


@pytest.fixture(scope="session")
def _upgrademocks() -> Iterator[Callable[[tuple[str, ...]], Upgrademock]]:
    """An emulator for each set of flags that a test asks for, for as long as the session of this process."""
    running: dict[tuple[str, ...], Upgrademock] = {}

    def get(flags: tuple[str, ...]) -> Upgrademock:
        if flags in running and not running[flags].alive:
            running.pop(flags).close()
        if flags not in running:
            try:
                running[flags] = Upgrademock(flags)
            except (FileNotFoundError, StartError) as error:
                reason = str(error)
            else:
                return running[flags]
            pytest.fail(reason, pytrace=False)
        return running[flags]

    yield get
    for emulator in running.values():
        emulator.close()


@pytest.fixture
def upgrademock(request: pytest.FixtureRequest,
                _upgrademocks: Callable[[tuple[str, ...]], Upgrademock]) -> Iterator[Upgrademock]:
    """A running emulator, to which ``https://upgrade.odoo.com`` leads in this process and in those that it starts.

    Each test finds it empty, with the scenarios of its marker. An expectation of theirs that was not met fails the
    test.
    """
    scenarios: list[Any] = []
    options: dict[str, Any] = {}
    for marker in request.node.iter_markers("upgrademock"):  # the nearest first
        scenarios += marker.args
        options = {**marker.kwargs, **options}
    request.node.stash[_judged] = options.pop("verify", True)
    emulator = _upgrademocks(_flags(options))
    emulator.reset()
    emulator.use(*scenarios)
    request.node.stash[_running] = emulator
    with led(emulator):
        yield emulator
    del request.node.stash[_running]


def _flags(options: dict[str, Any]) -> tuple[str, ...]:
    """The flags that keyword arguments stand for: ``failure_status=400`` is ``--failure-status=400``."""
    flags = []
    for name, value in sorted(options.items()):
        for one in value if isinstance(value, (list, tuple)) else [value]:
            flags.append(f"--{name.replace('_', '-')}={str(one).lower() if isinstance(one, bool) else one}")
    return tuple(flags)


@pytest.fixture(autouse=True)
def _upgrademock_marker(request: pytest.FixtureRequest) -> None:
    """Sets the fixture up for a test that has the marker only."""
    if request.node.get_closest_marker("upgrademock"):
        request.getfixturevalue("upgrademock")


@_hookwrapper
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    emulator = item.stash.get(_running, None)
    if emulator is None or outcome.excinfo is not None or not item.stash[_judged]:
        return
    unmet = ""
    try:
        emulator.verify()
    except (UnmetExpectations, OSError) as error:  # not even asked, if the emulator has ended
        unmet = str(error)
    if unmet:
        failure = pytest.fail.Exception(unmet, pytrace=False)
        if hasattr(outcome, "force_exception"):
            outcome.force_exception(failure)
        else:  # pluggy before 1.1
            outcome._excinfo = (type(failure), failure, None)


@_hookwrapper
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Shows the journal beside the output of a test that failed."""
    emulator = item.stash.get(_running, None)
    if emulator is not None and call.when == "call" and call.excinfo is not None:
        try:
            text = "\n".join(map(_line, emulator.journal()))
        except Exception as error:  # an error of a hook would end the session
            text = f"it could not be read: {error}"
        item.add_report_section("call", "upgrademock journal", text)
    yield


def _line(event: Any) -> str:
    """An event for people: when, what, of which request, and how it went."""
    words = [event["at"][11:23], event["on"]]
    if event.get("request"):
        words.append(f"#{event['request']}")
    words += [str(event[key]) for key in ("status", "state", "fault", "why") if event.get(key)]
    if event.get("failures"):
        words.append(json.dumps(event["failures"]))
    return " ".join(words)
