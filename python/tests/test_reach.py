"""Programs with the production URL in them reach the emulator."""

import asyncio
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import urllib.request

import pytest

PRODUCTION = "https://upgrade.odoo.com"
CREATE = "/database/v1/create?contract=M123456-abcdef&email=john.doe@example.com&target=8.0&aim=test&filename=db.dump"


def with_urllib():
    return urllib.request.urlopen(PRODUCTION + CREATE).read()


def with_http_client():
    connection = http.client.HTTPSConnection("upgrade.odoo.com")
    connection.request("GET", CREATE)
    return connection.getresponse().read()


def with_urllib3():
    urllib3 = pytest.importorskip("urllib3")
    return urllib3.PoolManager().request("GET", PRODUCTION + CREATE).data


def with_requests():
    requests = pytest.importorskip("requests")
    return requests.get(PRODUCTION + CREATE).content


def with_requests_and_no_environment():
    requests = pytest.importorskip("requests")
    session = requests.Session()
    session.trust_env = False
    return session.get(PRODUCTION + CREATE).content


def with_httpx():
    httpx = pytest.importorskip("httpx")
    return httpx.get(PRODUCTION + CREATE).content


def with_asynchronous_httpx():
    httpx = pytest.importorskip("httpx")

    async def get():
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(PRODUCTION + CREATE)).content

    return asyncio.run(get())


def with_aiohttp():
    aiohttp = pytest.importorskip("aiohttp")

    async def get():
        async with aiohttp.ClientSession() as session:
            async with session.get(PRODUCTION + CREATE) as response:
                return await response.read()

    return asyncio.run(get())


def with_pycurl():
    pycurl = pytest.importorskip("pycurl")
    body = io.BytesIO()
    handle = pycurl.Curl()
    handle.reset()
    handle.setopt(handle.URL, PRODUCTION + CREATE)
    handle.setopt(handle.WRITEDATA, body)
    handle.perform()
    handle.close()
    return body.getvalue()


def with_a_socket():
    with socket.socket() as connection:
        connection.connect(("upgrade.odoo.com", 80))
        connection.sendall(f"GET {CREATE} HTTP/1.0\r\nHost: upgrade.odoo.com\r\n\r\n".encode())
        return connection.makefile("rb").read().partition(b"\r\n\r\n")[2]


def with_a_child():
    program = f"import urllib.request; print(urllib.request.urlopen({PRODUCTION + CREATE!r}).read().decode())"
    return subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE).stdout


@pytest.mark.parametrize("get", [
    with_urllib, with_http_client, with_urllib3, with_requests, with_requests_and_no_environment, with_httpx,
    with_asynchronous_httpx, with_aiohttp, with_pycurl, with_a_socket, with_a_child,
])
def test_clients(upgrademock, get):
    answer = json.loads(get())
    assert answer["failures"] == []
    assert [r["id"] for r in upgrademock.requests()] == [answer["request"]["id"]]


def test_paramiko(upgrademock):
    paramiko = pytest.importorskip("paramiko")
    request = json.loads(with_urllib())["request"]
    key = paramiko.ECDSAKey.generate()
    form = urllib.parse.urlencode({"request": request["id"], "key": request["key"],
                                   "ssh_keys": f"{key.get_name()} {key.get_base64()}"}).encode()
    access = json.load(urllib.request.urlopen(PRODUCTION + "/database/v1/request_sftp_access", form))["request"]
    with paramiko.SSHClient() as ssh:
        ssh.load_host_keys(os.environ["UPGRADEMOCK_KNOWN_HOSTS"])
        ssh.connect(access["hostname"], access["sftp_port"], access["sftp_user"], pkey=key, look_for_keys=False,
                    allow_agent=False)
        with ssh.open_sftp() as sftp:
            sftp.putfo(io.BytesIO(b"PGDMP"), access["shared_file"])
    assert upgrademock.wait("sftp.close", request=request["id"])["written"] == [{"from": 0, "to": 5}]
    assert (access["hostname"], access["sftp_port"]) == upgrademock.sftp_address


def test_other_ports_of_production_lead_nowhere(upgrademock):
    with pytest.raises(OSError, match="port 8069: the emulator stands for the platform's ports 22, 80, 443"):
        socket.create_connection(("upgrade.odoo.com", 8069))


def test_other_hosts_are_left_alone(upgrademock):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(("localhost", server.getsockname()[1])) as connection:
            assert connection.getpeername() == server.getsockname()


def test_nothing_is_left(pytester):
    pytester.makepyfile("""
        import os, socket, ssl

        def state():
            return (dict(os.environ, PYTEST_CURRENT_TEST=""), socket.getaddrinfo, socket.socket.connect,
                    ssl.SSLContext.wrap_socket, ssl.SSLContext.wrap_bio)

        before = state()

        def test_led(upgrademock, monkeypatch):
            monkeypatch.undo()  # ours is another
            assert all(a != b for a, b in zip(before, state()))

        def test_after():
            assert before == state()
    """)
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=2)
