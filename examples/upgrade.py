#!/usr/bin/env python3
"""Upgrades a database dump by the documented way, with requests: create, upload, process, poll, download.

    upgrade.py DUMP OUT

Settings come from the environment: CONTRACT, EMAIL, TARGET and AIM are what create is given, POLL is the seconds between two
polls (default 60).
"""

import os
import sys
import tempfile
import time

import requests

BASE = "https://upgrade.odoo.com/database/v1/"


class Refused(Exception):
    """The platform refuses: its failures, for the user."""


def call(method, params, **more):
    """Calls a method and returns its answer. Trouble on the way is a requests.RequestException."""
    answer = requests.post(BASE + method, params=params, timeout=60, **more)
    if answer.status_code >= 500:
        raise requests.RequestException("the platform answered %d" % answer.status_code)
    answer = answer.json()
    if answer["failures"]:
        raise Refused("\n".join("%(reason)s: %(message)s" % failure for failure in answer["failures"]))
    return answer


def upgraded(login):
    """Polls until the upgraded dump is there, and returns the request."""
    while True:
        try:
            request = call("status", login)["request"]
            print("state:", request["state"], flush=True)
            if request["state"] in ("done", "delivered"):
                return request
            if request["state"] == "invalid":
                raise Refused(request["customer_message"] or "the platform does not say why")
        except Refused as refused:
            if not str(refused).startswith("SERVER:ERROR"):
                raise
            print("the platform has trouble, asking again", flush=True)
        except requests.RequestException as e:
            # Its text holds the address, and the address the request's key: only its kind is printed.
            print("no answer (%s), asking again" % type(e).__name__, flush=True)
        time.sleep(float(os.environ.get("POLL", "60")))


def main(dump, out):
    request = call("create", None, data={
        "contract": os.environ["CONTRACT"],
        "email": os.environ["EMAIL"],
        "target": os.environ["TARGET"],
        "aim": os.environ["AIM"],
        "filename": os.path.basename(dump),
    })["request"]
    login = {"request": request["id"], "key": request["key"]}
    print("request %d was created" % request["id"], flush=True)

    with open(dump, "rb") as body:
        call("upload", login, data=body, headers={"Content-Type": "application/octet-stream"})
    print("the dump was sent", flush=True)
    call("process", login)
    request = upgraded(login)

    # A name that nobody else has, in the same folder.
    handle, part = tempfile.mkstemp(prefix=os.path.basename(out) + ".", dir=os.path.dirname(out) or ".")
    try:
        with requests.get(request["upgraded_dump_url"], stream=True, timeout=60) as answer, os.fdopen(handle, "wb") as file:
            answer.raise_for_status()
            for block in answer.iter_content(1 << 20):
                file.write(block)
        os.rename(part, out)
    except BaseException:
        os.unlink(part)
        raise
    print("the upgraded dump is in", out)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Refused as refused:
        sys.exit(str(refused))
    except requests.RequestException as e:
        sys.exit("the platform could not be reached: " + type(e).__name__)
