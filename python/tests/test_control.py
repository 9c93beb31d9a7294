"""What a test can ask of the emulator, and have it do."""

import datetime
import json
import urllib.error
import urllib.request

import pytest

from pytest_upgrademock import ControlError, UnmetExpectations
from pytest_upgrademock.emulator import find_program

BASE = "https://upgrade.odoo.com/database/v1"


def call(method, **params):
    with urllib.request.urlopen(f"{BASE}/{method}?{urllib.parse.urlencode(params)}") as response:
        return json.load(response)


def create():
    answer = call("create", contract="M123456-abcdef", email="a@example.com", target="8.0", aim="test",
                  filename="a.dump")
    return {"request": answer["request"]["id"], "key": answer["request"]["key"]}


def upload(request):
    urllib.request.urlopen(urllib.request.Request(
        f"{BASE}/upload?{urllib.parse.urlencode(request)}", b"PGDMP", {"Content-Type": "application/octet-stream"}))


@pytest.mark.upgrademock("bad-gateway", clock="virtual", verify=False)
def test_built_in_scenario(upgrademock):
    request = create()
    statuses = []
    for _ in range(8):
        try:
            statuses.append(call("status", **request)["request"]["state"])
        except urllib.error.HTTPError as e:
            statuses.append(e.code)
    assert 502 in statuses and "draft" in statuses
    assert any(e.get("fault") for e in upgrademock.journal("status"))


@pytest.mark.upgrademock("""
name: hours
steps:
  - {state: processing, for: 8h}
  - {state: testing, for: released}
  - {state: done}
""", clock="virtual")
def test_text_and_time(upgrademock):
    request = create()
    upload(request)
    call("process", **request)
    assert call("status", **request)["request"]["state"] == "processing"
    now = upgrademock.advance("1h")
    assert upgrademock.advance(3600) - now == datetime.timedelta(hours=1)
    assert upgrademock.advance(datetime.timedelta(hours=6)) - now == datetime.timedelta(hours=7)
    assert call("status", **request)["request"]["state"] == "testing"
    with pytest.raises(ControlError, match="request %d is testing, and no request changes" % request["request"]):
        upgrademock.advance(until="done")
    assert upgrademock.release(request["request"])["state"] == "done"
    upgrademock.advance(until="done", request=request["request"])
    assert upgrademock.wait("state", request=request["request"])["to"] == "processing"


@pytest.mark.upgrademock({"name": "closed", "when": {"contract": "M9*"}, "steps": [{"state": "invalid"}]})
@pytest.mark.upgrademock({"name": "open", "steps": [{"state": "done"}]})
def test_dictionaries_in_their_order(upgrademock):
    create()
    assert [r["scenario"] for r in upgrademock.requests()] == ["open"]
    assert [s["name"] for s in upgrademock.control("GET", "/scenarios")["scenarios"]] == ["open", "closed"]


def test_file(upgrademock, tmp_path):
    file = tmp_path / "tuesday.yaml"
    file.write_text("name: tuesday\nsteps: [{state: done}]\n")
    upgrademock.use(file)
    create()
    assert upgrademock.requests()[0]["scenario"] == "tuesday"
    upgrademock.use(str(file), {"name": "wednesday", "steps": [{"state": "done"}]})


def test_journal_and_wait(upgrademock):
    request = create()
    first = upgrademock.journal("create")[0]
    assert first["request"] == request["request"] and first["status"] == 200
    assert upgrademock.journal(since=first["seq"]) == []
    assert upgrademock.wait("create")["seq"] == first["seq"]
    with pytest.raises(TimeoutError, match="nothing like that happened within 10ms"):
        upgrademock.wait("process", timeout=0.01)
    upgrademock.reset()
    assert upgrademock.journal() == [] and upgrademock.requests() == []


def test_addresses(upgrademock):
    with urllib.request.urlopen(upgrademock.url + "/_mock/healthz") as response:
        assert json.load(response)["status"] == "ok"
    with urllib.request.urlopen(upgrademock.https_url + "/database/v1/status") as response:
        assert json.load(response)["failures"]
    with open(upgrademock.ca_file) as ca, open(upgrademock.known_hosts) as keys:
        assert "BEGIN CERTIFICATE" in ca.read() and "ecdsa" in keys.read()


def test_refusals(upgrademock):
    with pytest.raises(ValueError, match="did you mean \"bad-gateway\""):
        upgrademock.use("bad-gatway")
    with pytest.raises(ControlError, match="POST /scenarios: .*stepps"):
        upgrademock.use({"name": "x", "stepps": []})
    with pytest.raises(ControlError, match="the clock is the system.s"):
        upgrademock.advance("1h")
    with pytest.raises(ControlError, match="did you mean"):
        upgrademock.journal("statos")


@pytest.mark.upgrademock("happy-path", verify=False)
def test_verify(upgrademock):
    with pytest.raises(UnmetExpectations, match=r"happy-path: calls.create: wanted .*; saw "):
        upgrademock.verify()
    upgrademock.control("DELETE", "/scenarios")
    assert upgrademock.verify() == []


def test_program(monkeypatch, tmp_path):
    monkeypatch.setenv("UPGRADEMOCK_BIN", str(tmp_path / "no"))
    with pytest.raises(FileNotFoundError, match="UPGRADEMOCK_BIN is .*no: there is no such program"):
        find_program()
    monkeypatch.delenv("UPGRADEMOCK_BIN")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="put it on PATH, or name it in UPGRADEMOCK_BIN"):
        find_program()
    (tmp_path / "upgrademock").write_text("#!/bin/sh\n")
    (tmp_path / "upgrademock").chmod(0o700)
    assert find_program() == str(tmp_path / "upgrademock")
