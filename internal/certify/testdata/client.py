"""A client of the upgrade platform that does what a good one does, in several styles, or has one bug.

    client.py [--style requests|pycurl] [--bug NAME]

It takes what to do from certify's variables. PATIENCE is how often it tries what fails (default 10).
"""

import argparse
import base64
import gzip
import json
import os
import signal
import sys
import time
import urllib.parse

BASE = "https://upgrade.odoo.com"
PATIENCE = int(os.environ.get("PATIENCE", "10"))
TIMEOUT = 10

parser = argparse.ArgumentParser()
parser.add_argument("--style", default="requests")
parser.add_argument("--bug", default="")
args = parser.parse_args()
bug = args.bug


def told(name):
    return os.environ["UPGRADEMOCK_" + name.upper()]


class Refused(Exception):
    """The platform refuses, with its failures for the user."""


class Trouble(Exception):
    """There was no answer, or none that says anything: it may be better next time."""

    def __init__(self, what, wait=None):
        super().__init__(what)
        self.wait = wait


def exchange_requests(method, url, body, headers):
    import requests

    try:
        answer = requests.request(method, url, data=body, headers=headers, timeout=TIMEOUT)
    except requests.RequestException as e:
        raise Trouble(type(e).__name__)  # its text has the address, and so the key
    return answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content


def exchange_pycurl(method, url, body, headers):
    import io

    import pycurl

    curl, got, lines = pycurl.Curl(), io.BytesIO(), []
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.CUSTOMREQUEST, method)
    curl.setopt(pycurl.NOBODY, method == "HEAD")
    curl.setopt(pycurl.CAINFO, told("ca_file"))
    curl.setopt(pycurl.TIMEOUT, TIMEOUT)
    curl.setopt(pycurl.HTTPHEADER, ["%s: %s" % h for h in headers.items()] + ["Expect:"])
    curl.setopt(pycurl.WRITEFUNCTION, got.write)
    curl.setopt(pycurl.HEADERFUNCTION, lambda line: lines.append(line.decode("latin-1")))
    if body is not None:
        curl.setopt(pycurl.UPLOAD, True)
        curl.setopt(pycurl.READDATA, io.BytesIO(body))
        curl.setopt(pycurl.INFILESIZE_LARGE, len(body))
    try:
        curl.perform()
    except pycurl.error as e:
        raise Trouble("curl %d" % e.args[0])
    status = curl.getinfo(pycurl.RESPONSE_CODE)
    curl.close()
    return status, dict((k.strip().lower(), v.strip()) for k, _, v in (l.partition(":") for l in lines)), got.getvalue()


exchange = {"requests": exchange_requests, "pycurl": exchange_pycurl}[args.style]


def call(name, params, body=None, headers=None):
    """Calls a method, once."""
    headers = dict(headers or {})
    if bug == "key-in-agent" and "key" in params:
        headers["User-Agent"] = "client/1.0 key=" + params["key"]
    if bug == "key-in-header" and "key" in params:
        headers["X-Upgrade-Key"] = params["key"]
    url = BASE + "/database/v1/" + name + "?" + urllib.parse.urlencode(params)
    status, answered, data = exchange("GET" if body is None else "POST", url, body, headers)
    if status >= 500:
        raise Trouble("HTTP %d" % status, float(answered.get("retry-after", 1)))
    try:
        answer = json.loads(data.decode("utf-8"))
        failures = answer["failures"]
    except (ValueError, KeyError):
        raise Trouble("no JSON")
    if failures:
        text = "\n".join("%(reason)s: %(message)s" % f for f in failures[: 1 if bug == "first-failure" else None])
        if all(f["reason"] == "SERVER:ERROR" for f in failures):
            raise Trouble(text)
        raise Refused(text)
    return answer


def again(attempt):
    """Tries something until it works or patience is lost, with pauses that grow."""
    pause = 0.5
    for tries in range(10**9):
        try:
            return attempt()
        except Trouble as e:
            if tries + 1 >= (20 if bug == "hammers-errors" else PATIENCE) and bug not in ("upload-for-ever", "poll-for-ever"):
                raise
            print("trouble (%s), trying again" % e, flush=True)
            wait = pause if e.wait is None else max(e.wait, pause)
            pause = min(pause * 2, 10)
            if bug in ("upload-for-ever", "poll-for-ever"):
                wait = 0.5
            if bug == "hammers-errors":
                wait = 0
            time.sleep(wait)


def create():
    params = {n: told(n) for n in ("contract", "email", "target", "aim", "filename")}
    params["dbname"] = "production"  # which the platform does not know, and ignores
    wrong = {"other-aim": ("aim", "production"), "other-target": ("target", "7.0"), "other-email": ("email", "root@example.com"),
             "other-contract": ("contract", "M1-abc"), "other-filename": ("filename", "dump.sql")}
    if bug in wrong:
        params[wrong[bug][0]] = wrong[bug][1]
    if bug == "create-again":
        return again(lambda: call("create", params))["request"]
    try:
        return call("create", params)["request"]
    except Refused as e:
        if bug != "goes-on":
            raise
        print(e)
        return {"id": None, "key": None}


def body():
    with open(told("dump"), "rb") as f:
        data = f.read()
    if bug == "form":
        data = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + data + b"\r\n--x--\r\n"
    elif bug == "urlencoded":
        data = ("file=" + urllib.parse.quote_plus(data)).encode()
    elif bug == "base64":
        data = base64.b64encode(data)
    elif bug == "half":
        data = data[: len(data) // 2]
    elif bug == "crlf":
        data = data.replace(b"\n", b"\r\n")
    elif bug == "text":
        data = data.decode("utf-8", "ignore").encode()
    elif bug == "latin-1":
        data = data.decode("latin-1").encode("utf-8")
    elif bug == "line-ends":
        data = b"".join(data.split(b"\n"))
    elif bug == "nul":
        data = data.split(b"\0")[0]
    elif bug == "twice":
        data = data + data
    elif bug == "select":
        data = b"SELECT 1;"
    elif bug == "" and args.style == "pycurl":
        data = gzip.compress(data, 1)
    return data


sent = 0  # what a file that is not rewound would go on from


def upload(login):
    data = body()

    def attempt():
        global sent
        rest = data[sent:] if bug == "no-rewind" else data
        sent = 64 << 10
        return call("upload", login, rest, {"Content-Type": "application/octet-stream"})

    try:
        again(attempt)
    except Refused as e:
        if bug != "ignores-upload":
            raise
        print("oh well")
    except Trouble:
        if bug != "ignores-upload":
            raise
        sys.exit(0)


def send_over_sftp(login):
    import logging

    import paramiko

    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    pause = 0.5
    tries = 0
    while True:
        with open(told("ssh_pub")) as f:
            access = again(lambda: call("request_sftp_access", dict(login, ssh_keys=f.read())))["request"]
        client = paramiko.SSHClient()
        client.load_host_keys(told("known_hosts"))
        try:
            client.connect(access["hostname"], int(access["sftp_port"]), access["sftp_user"], key_filename=told("ssh_key"),
                           look_for_keys=False, allow_agent=False, timeout=TIMEOUT)
            sftp = client.open_sftp()
            with open(told("dump"), "rb") as local:
                there = sftp.stat(access["shared_file"]).st_size
                if bug == "hole" and there:
                    there += 1000
                local.seek(there)
                if bug == "whole-again" and there:
                    local.seek(0)
                with sftp.open(access["shared_file"], "r+") as remote:
                    remote.seek(there)
                    while block := local.read(32 << 10):
                        remote.write(block)
            client.close()
            return
        except paramiko.BadHostKeyException:
            sys.exit("the host key has changed")
        except (paramiko.SSHException, EOFError, ConnectionError) as e:
            tries += 1
            if bug != "hammers-logins":
                if tries >= PATIENCE:
                    if bug == "ignores-login":
                        sys.exit(0)
                    raise Trouble("SFTP: " + type(e).__name__)
                print("SFTP trouble (%s), trying again" % type(e).__name__, flush=True)
                time.sleep(pause)
                pause *= 2
        except OSError as e:
            if "closed" not in str(e).lower():
                sys.exit("SFTP: %s" % e)
            tries += 1
            if tries >= PATIENCE:
                raise Trouble("SFTP: closed")
            time.sleep(pause)
        finally:
            client.close()


def process(login):
    def attempt():
        try:
            call("process", login)
        except Trouble:
            # It may have begun: status knows.
            if again(lambda: call("status", login))["request"]["state"] == "draft":
                raise

    try:
        again(attempt)
    except Refused:
        if bug != "ignores-process":
            raise
        sys.exit(0)


def wait(login):
    while True:
        try:
            request = again(lambda: call("status", login))["request"]
        except Refused:
            if bug != "ignores-status":
                raise
            sys.exit(0)
        except Trouble:
            if bug != "ignores-status":
                raise
            sys.exit(0)
        print("state:", request["state"], flush=True)
        if request["state"] in ("done", "delivered"):
            return request
        if request["state"] == "invalid":
            raise Refused(request["customer_message"])
        if bug == "unknown-state" and request["state"] not in ("pending", "processing", "testing"):
            continue
        time.sleep(1)


def download(url, out):
    def attempt():
        have = b""
        if os.path.exists(out + ".part"):
            with open(out + ".part", "rb") as f:
                have = f.read()
        if bug == "":
            exchange("HEAD", url, None, {})
        status, headers, data = exchange("GET", url, None, {"Range": "bytes=%d-" % len(have)} if have else {})
        if bug == "error-page":
            have = b""
        elif status == 206:
            pass
        elif status != 200:
            raise Trouble("HTTP %d" % status)
        else:
            have = b""
        with open(out + ".part", "wb") as f:
            f.write(have + data)

    again(attempt)
    os.rename(out + ".part", out)


def main():
    request = create()
    login = {"request": request["id"], "key": request["key"]}
    print("request", request["id"], flush=True)
    if bug == "" and args.style == "requests":
        again(lambda: call("status", login))
    if told("via") == "sftp":
        send_over_sftp(login)
    elif bug == "goes-on" and request["id"] is None:
        for name in ("upload", "process"):
            try:
                call(name, login, b"x")
            except Refused:
                pass
        sys.exit(1)
    else:
        upload(login)
    if bug == "":
        again(lambda: call("status", login))
    process(login)
    request = wait(login)
    if bug == "":
        request = again(lambda: call("status", login))["request"]
    download(request["upgraded_dump_url"], told("out"))


try:
    main()
except Refused as e:
    print(e, file=sys.stderr)
    if bug == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(1)
except Trouble as e:
    sys.exit("given up: %s" % e)
