#!/usr/bin/env python3
"""A stand-in for the script with which people upgrade an Odoo database: the same calls, programs, files and exit
statuses, as docs/fidelity.md has them, in code of its own. It needs Python 3.8, ssh-keygen, ssh and rsync, and for
--dbname PostgreSQL's programs.

    UPGRADE_SERVER_NAME=https://127.0.0.1:8443 SSL_CERT_FILE=ca.pem \\
        upgrade_standin.py test -i db.zip -c M123456-abcdef -t 17.0

The script has changed over the years. --as V6 to --as V11 behave as the copy of that number (row S14.1 and after);
V6 is of October 2023, V11 of March 2026, and the default. The environment:

    UPGRADE_SERVER_NAME    where the platform is (default https://upgrade.odoo.com)
    SSL_CERT_FILE          authorities to trust instead of the system's
    SSL_VERIFICATION       0, off or no: trust any certificate
    SSH_KEY_NAME           the private key, like -s
    UPGRADE_STANDIN_AS     like --as
    UPGRADE_STANDIN_POLL   seconds between two polls (default 5)

The exit status is the script's own: 0 also when the platform refuses, when the upgrade fails, and when the download
breaks (section S13). A program that starts it must look for the result, not at the exit status.
"""

import argparse
import datetime
import gzip
import hashlib
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile

DUMP = "origin.dump"
POLL = float(os.environ.get("UPGRADE_STANDIN_POLL", "5"))
TIMEOUT = 60
SUFFIXES = (".sql", ".dump", ".zip", ".sql.gz")


class Stop(Exception):
    """Ends the program with a message and an exit status."""

    def __init__(self, message, status=0):
        super().__init__(message)
        self.status = status


def say(level, text):
    """Writes a line of the log. The hour is that of a twelve-hour clock, without am or pm (row S12.9)."""
    print(time.strftime("%Y-%m-%d %I:%M:%S"), level + ":", text, file=sys.stderr, flush=True)


def ask(way, question):
    """Asks a question to which an empty answer means yes, and returns the answer in small letters.

    Before V9 one character is read, and no input counts as yes; from V9 on no input is an EOFError (row S12.8)."""
    print(question, end=" ", flush=True)
    answer = sys.stdin.read(1) if way < 9 else input()
    return answer.strip().lower()


# The platform: JSON-RPC, and one GET.


def open_url(request):
    unverified = os.environ.get("SSL_VERIFICATION", "").lower() in ("0", "off", "no")
    context = ssl._create_unverified_context() if unverified else ssl.create_default_context()
    return urllib.request.urlopen(request, timeout=TIMEOUT, context=context)


def call(base, name, params, required=()):
    """Makes a call and returns its result, a dictionary with at least the required keys."""
    body = json.dumps({"jsonrpc": "2.0", "method": "not_used", "id": "not_used", "params": params}).encode()
    request = urllib.request.Request(base + "/upgrade/request/" + name, body, {"Content-type": "application/json"})
    try:
        with open_url(request) as answer:
            # What has no length is taken for empty (row S1.6).
            text = answer.read() if int(answer.headers.get("Content-Length", 0)) else b""
            kind = answer.headers["Content-Type"]
    except (urllib.error.URLError, http.client.HTTPException, OSError) as e:
        raise Stop("%s: communication error: %s" % (name, e))
    if not text and not required:
        return {}
    if kind is None:
        raise TypeError("%s: the answer has no Content-Type" % name)
    try:
        answer = json.loads(text) if "application/json" in kind else {}
    except ValueError as e:
        raise Stop("%s: the answer is no JSON: %s" % (name, e))
    if "result" not in answer and "error" in answer:
        raise Stop("%s: Error: %s" % (name, answer["error"]["data"]["message"]))
    result = answer.get("result", {})
    if "error" in result:
        raise Stop("%s: %s" % (name, result["error"]))
    missing = [key for key in required if key not in result]
    if missing:
        raise Stop("%s: missing data in the answer: %s" % (name, ", ".join(missing)))
    return result


def read_log(base, token, start):
    """Returns the text of the upgrade's log from a byte on. An HTTP error is not caught (row S8.5)."""
    url = "%s/upgrade/request/logs?token=%s" % (base, token)
    with open_url(urllib.request.Request(url, headers={"Range": "bytes=%d-" % start})) as answer:
        return answer.read().decode("utf-8", "replace")


def ask_status(base, token):
    """Returns the answer of status, and where the platform wants to be called from now on."""
    answer = call(base, "status", {"token": token}, ("status", "host_uri"))
    return answer, "https://" + answer["host_uri"]


# Files and programs of this machine.


def temporary(way, name):
    """Returns the path of a file that is kept for later runs; from V9 on each user has his own (row S12.2)."""
    prefix = "%d_" % os.getuid() if way >= 9 else ""
    return os.path.join(tempfile.gettempdir(), prefix + name)


def program(*command, **options):
    """Runs a program, and stops with exit status 1 where it fails."""
    done = subprocess.run(command, **options)
    if done.returncode:
        raise Stop("%s failed with exit status %d" % (command[0], done.returncode), 1)
    return done.stdout


def check_programs(way, names):
    missing = [name for name in names if not shutil.which(name)]
    if missing and way >= 9:
        say("WARNING", "not installed: " + ", ".join(missing))
        if ask(way, "Go on without? [Y/n]") not in ("", "y", "yes"):
            raise Stop("missing programs: " + ", ".join(missing), 1)


def prepare_key(way, path):
    """Returns the path of the private key, which is made where there is none, and its public half."""
    path = path or os.environ.get("SSH_KEY_NAME") or temporary(way, "upgrade_ssh_key")
    if not os.path.exists(path):
        program("ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", path)
    program("ssh-keygen", "-y", "-P", "", "-f", path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if not os.path.exists(path + ".pub"):
        raise Stop("%s.pub, the public half of the key, is missing" % path, 1)
    with open(path + ".pub") as file:
        return path, file.read()


def check_input(path):
    """Returns what is to be sent for -i: the file, or the directory of a dump in several files."""
    if os.path.basename(path) == "toc.dat":
        path = os.path.dirname(path) or "."
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, "toc.dat")):
            raise Stop("%s is a directory without toc.dat, so it is no dump" % path, 1)
        return path
    if not os.path.isfile(path) or suffix(path) is None:
        raise Stop("%s is no file with one of the endings %s" % (path, " ".join(SUFFIXES)), 1)
    try:
        if path.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                archive.getinfo("dump.sql")
        elif path.endswith(".gz"):
            with gzip.open(path) as stream:
                stream.read(1)
    except (OSError, KeyError, zipfile.BadZipFile) as e:
        raise Stop("%s is no dump: %s" % (path, e), 1)
    return path


def suffix(path):
    return next((ending for ending in sorted(SUFFIXES, key=len, reverse=True) if path.endswith(ending)), None)


def environment(options):
    """Returns the values of -e and --env-file, as create takes them."""
    values = list(options.env)
    if options.env_file:
        with open(options.env_file) as file:
            values += [line.strip() for line in file if line.strip() and not line.startswith("#")]
    shape = r"\w+=\w*" if options.way < 9 else r"\w+=.*"
    for value in values:
        if not re.fullmatch(shape, value, re.S):
            raise Stop("%r is not NAME=value" % value, 1)
    return values


class Upgrade:
    """One upgrade, in the state that status names; or "init", before the platform knows of it.

    What the platform answers is merged into the attributes below, as it is in the script (row S2.13)."""

    def __init__(self, options):
        self.options = options
        self.way = options.way
        self.base = server_name(options.way)
        self.known = {"no_restore": options.no_restore or not options.dbname}
        self.logged = 0  # where the next piece of the log begins, see follow_log

    # The states. Each returns the next one, or None at the end.

    def run(self):
        options = self.options
        check_programs(self.way, ["ssh-keygen", "rsync"] + ([] if options.input else ["psql", "pg_dump"]) +
                       ([] if self.known["no_restore"] else ["createdb", "pg_restore"]))
        if options.input:
            options.input = check_input(options.input)
        if options.restore_name:
            self.check_free(options.restore_name)
        self.key, public = prepare_key(self.way, options.ssh_key)
        state = self.resume() or self.init(public)
        handlers = {"new": self.new, "pending": self.pending, "progress": self.progress, "done": self.done,
                    "failed": self.over, "cancelled": self.over}
        while state:
            if self.way >= 8 and state not in handlers:
                say("INFO", "the upgrade is in the state " + state)
                break
            state = handlers[state]()
        os.remove(self.token_file())

    def resume(self):
        """Returns the state of an earlier run's request, or None where a new one has to be made."""
        try:
            with open(self.token_file()) as file:
                token = file.read().strip()
        except FileNotFoundError:
            return None
        answer, base = ask_status(self.base, token)
        if self.way >= 9 and answer.get("archived"):
            return None
        say("INFO", "an upgrade of this database is in the state " + answer["status"])
        if ask(self.way, "Resume it? [Y/n]") not in ("", "y", "yes"):
            return None
        if answer["status"] not in ("new", "pending", "progress", "done", "failed", "cancelled"):
            raise Stop("an upgrade in the state %s cannot be resumed" % answer["status"])
        self.base = base
        self.known.update(answer, token=token)
        return answer["status"]

    def init(self, public):
        options = self.options
        answer = call(self.base, "create", {
            "contract": self.contract(),
            "target": options.target,
            "aim": options.command,
            "env_vars": environment(options),
            "ssh_key": public,
            "actuator": "cli",
            "api_version": "0.2",
        }, ("request_id", "token", "assigned_host_uri"))
        self.known.update(answer)
        self.base = "https://" + answer["assigned_host_uri"]
        say("INFO", "the request has the number %s and the token %s" % (answer["request_id"], answer["token"]))
        if answer.get("info"):
            say("WARNING", answer["info"])
        if options.dbname:
            say("INFO", "dumping the database " + options.dbname)
            shutil.rmtree(DUMP, ignore_errors=True)
            program("pg_dump", "--no-owner", "--format", "d", "--jobs", options.jobs, "--file", DUMP, options.dbname)
        with open(self.token_file(), "w") as file:
            file.write(self.known["token"])
        return "new"

    def new(self):
        self.upload()
        if self.way < 10:
            return "pending"
        self.process()
        return self.status()["status"]

    def pending(self):
        if self.way < 10:
            self.process()
        return self.wait("pending")

    def progress(self):
        return self.wait("progress", self.follow_log)

    def done(self):
        self.download(os.path.dirname(os.path.abspath(self.options.input)) if self.options.input else ".")
        if not self.known["no_restore"]:
            name = self.options.restore_name or self.new_name()
            restore(os.path.join(".", self.known["dump_name"]), name, self.options.jobs)
            self.merge_filestore(name)
            shutil.rmtree(self.known["dump_name"])
            shutil.rmtree(DUMP, ignore_errors=True)
        return None

    def over(self):
        say("ERROR", "the upgrade %s" % describe(self.known))
        return None

    # What the states do.

    def status(self):
        answer, self.base = ask_status(self.base, self.known["token"])
        self.known.update(answer)
        return answer

    def process(self):
        answer = call(self.base, "process", {"token": self.known["token"]}, ("is_pg_version_compatible",))
        if not answer["is_pg_version_compatible"] and not self.known["no_restore"]:
            say("WARNING", "this PostgreSQL is too old for the upgraded database, which will not be restored")
            self.known["no_restore"] = True

    def wait(self, state, each=lambda: None):
        """Polls until the state is another one. It sleeps after the poll that ends it, too (row S7.5)."""
        current = self.status()["status"]
        while current == state:
            each()
            current = self.status()["status"]
            time.sleep(POLL)
        return current

    def follow_log(self):
        """Shows what the log has more. Its last byte is asked for again each time, and characters are counted
        where bytes should be, so text outside ASCII comes twice (row S8.4)."""
        text = read_log(self.base, self.known["token"], self.logged)
        if text:
            print(text[:-1], end="", flush=True)
            self.logged += len(text) - 1

    def transfer(self, kind, required, arguments, failure):
        """Has the platform open a port, runs rsync with what arguments makes of the prefix of remote paths, and
        closes the port. There is no stop after a transfer that broke (row S3.9)."""
        self.known.update(call(self.base, "transfer/start", {"token": self.known["token"], "transfer_type": kind},
                               ("ssh_port", "known_hosts") + required))
        trusted = temporary(self.way, "upgrade_known_hosts")
        with open(trusted, "w") as file:
            file.write(self.known["known_hosts"] or "")
        shell = "ssh -p %s -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=%s -i %s" % (
            self.known["ssh_port"], shlex.quote(trusted), shlex.quote(self.key))
        remote = "%s@%s:%s/" % (self.options.remote_user, self.base[len("https://"):], self.options.remote_path)
        code = subprocess.call(["rsync"] + arguments(shell, remote))
        if code:
            raise Stop("the %s broke (rsync: exit status %d); run the same command again to go on" % (kind, code),
                       failure)
        call(self.base, "transfer/stop", {"token": self.known["token"]})

    def upload(self):
        source = self.options.input or DUMP
        if os.path.isdir(source):
            target = DUMP if self.way >= 8 or self.options.dbname else "origin"
            source = os.path.join(source, "")
        else:
            target = "origin" + suffix(source)
        if self.way >= 10:  # rsync takes the colon of C: for the end of a host (row S5.9)
            source = os.path.relpath(source) + ("/" if source.endswith("/") else "")

        def arguments(shell, remote):
            if self.way >= 11:
                options = ["--info=progress2", "--delete-after", "--recursive", "--links", "--times", "--rsh=" + shell]
            else:
                options = ["--chmod=u+rwx,g+rwx,o+r", "--info=progress2", "-are", shell]
                if self.way >= 9:
                    options.insert(0, "--delete-after")
            return options + [source, remote + target]

        self.transfer("upload", (), arguments, 1 if self.way >= 10 else 0)

    def download(self, directory):
        def arguments(shell, remote):
            names = (self.known["dump_name"], "filestore", "upgrade-report.html", "upgrade.log")
            return ["--info=progress2", "-are", shell, "--ignore-missing-args"] + [remote + n for n in names] + [directory]

        self.transfer("download", ("dump_name",), arguments, 0)
        say("INFO", "the upgraded dump is %s" % os.path.join(directory, self.known["dump_name"]))

    def contract(self):
        """Returns the contract that the database names, else that of -c."""
        if not self.options.dbname:
            return self.options.contract
        query = "SELECT value FROM ir_config_parameter WHERE key = 'database.enterprise_code'"
        found = subprocess.run(["psql", "-X", "-A", "-t", "-d", self.options.dbname, "-c", query],
                               stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()
        return found or self.options.contract

    def token_file(self):
        options = self.options
        if options.dbname:
            what = "db_" + options.dbname
        else:
            stat = os.stat(options.input)
            facts = "%s %d %s %d" % (os.path.abspath(options.input), stat.st_size, stat.st_ctime, os.getuid())
            what = "dump_" + hashlib.sha256(facts.encode()).hexdigest()
        return os.path.join(tempfile.gettempdir(), "odoo-upgrade-%s-%s-%s" % (options.command, what, options.target))

    def new_name(self):
        now = datetime.datetime.now().strftime("%Y_%m_%d_%H_%M")
        kind = "test_%s" % self.options.target if self.options.command == "test" else self.options.target
        return "%s_%s_%s" % (self.options.dbname, kind, now)

    def check_free(self, name):
        listed = program("psql", "-X", "-A", "-t", "-d", "postgres", "-c", "SELECT datname FROM pg_database",
                         stdout=subprocess.PIPE, universal_newlines=True)
        if name in listed.split("\n"):
            raise Stop("there is a database %s already; choose another name for -r" % name, 1)

    def merge_filestore(self, name):
        """Copies the database's filestore to the new name, and what the upgrade made over it."""
        stores = pathlib.Path.home() / ".local/share/Odoo/filestore"
        if not (stores / self.options.dbname).is_dir() or (self.way >= 9 and not os.path.isdir("filestore")):
            return
        if (stores / name).exists():
            raise Stop("there is a filestore %s already" % (stores / name), 1)
        shutil.copytree(str(stores / self.options.dbname), str(stores / name))
        program("rsync", "-a", "filestore/", str(stores / name))
        shutil.rmtree("filestore")


def restore(dump, name, jobs):
    say("INFO", "restoring the upgraded database as " + name)
    program("createdb", name)
    program("pg_restore", "--no-owner", "--format", "d", dump, "--dbname", name, "--jobs", jobs)


def describe(answer):
    return "%s%s" % (answer["status"], ": %s" % answer["reason"] if answer.get("reason") else "")


def server_name(way):
    base = os.environ.get("UPGRADE_SERVER_NAME", "https://upgrade.odoo.com").rstrip("/")
    if way >= 10 and not base.startswith("https://"):
        raise Stop("UPGRADE_SERVER_NAME has to begin with https://", 1)
    return base


# The subcommands that only need a token.


def show_status(options):
    answer, _ = ask_status(server_name(options.way), options.token)
    print(answer["status"].upper() + (" (%s)" % answer["reason"] if answer.get("reason") else ""))


def show_log(options):
    _, base = ask_status(server_name(options.way), options.token)
    lines = read_log(base, options.token, options.from_byte).rpartition("\n")  # half a line is not shown (row S8.8)
    print(lines[0] + lines[1], end="")


def restore_later(options):
    upgrade = Upgrade(options)
    upgrade.known["token"] = options.token
    if upgrade.status()["status"] != "done":
        say("ERROR", "the upgrade is not done: %s" % describe(upgrade.known))
        return
    upgrade.key, _ = prepare_key(options.way, options.ssh_key)
    upgrade.download(".")
    restore(os.path.join(".", upgrade.known["dump_name"]), options.restore_name, options.jobs)


def wipe(options):
    if not options.yes and ask(options.way, "Type yes to have all data of the contract removed:") != "yes":
        say("INFO", "nothing was removed")
        return
    answer = call(server_name(options.way), "wipe", {"contract": options.contract, "token": options.token})
    wiped, failed = answer["wiped"], answer["failed"]
    print("%d requests wiped, %d not" % (len(wiped), len(failed)))


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("--as", dest="way", default=os.environ.get("UPGRADE_STANDIN_AS", "V11"), metavar="V6..V11",
                        help="the copy of the script whose ways to follow (default V11)")
    parser.add_argument("--debug", action="store_true", help="accepted, without effect")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True

    def command(name, description, run):
        sub = commands.add_parser(name, help=description, description=description, allow_abbrev=False)
        sub.set_defaults(run=run, remote_user="odoo", remote_path="/data", input=None, no_restore=False)
        return sub

    for name in ("test", "production"):
        sub = command(name, "upgrade a database or a dump, aim %s" % name, lambda options: Upgrade(options).run())
        what = sub.add_mutually_exclusive_group(required=True)
        what.add_argument("-d", "--dbname", help="the database to upgrade")
        what.add_argument("-i", "--input", metavar="DUMP", help="the dump to upgrade, instead of a database")
        sub.add_argument("-r", "--restore-name", metavar="NAME", help="the upgraded database's name")
        sub.add_argument("-c", "--contract", metavar="CONTRACT", help="the contract; needed with -i")
        sub.add_argument("-t", "--target", required=True, metavar="VERSION", help="the version to upgrade to")
        sub.add_argument("-e", "--env", action="append", default=[], metavar="NAME=value", help="passed on")
        sub.add_argument("--env-file", metavar="FILE", help="a file of such values, one a line")
        sub.add_argument("-x", "--no-restore", action="store_true", help="do not restore what comes back")
        sub.add_argument("-s", "--ssh-key", metavar="FILE", help="the private key, with FILE.pub beside it")
        sub.add_argument("-j", "--jobs", default="4", help="of pg_dump and pg_restore (default 4)")
        sub.add_argument("-n", action="store_true", help=argparse.SUPPRESS)
        sub.add_argument("-u", "--remote-user", help="of the transfer, until V10 (default odoo)")
        sub.add_argument("-p", "--remote-path", help="of the transfer, until V10 (default /data)")

    def with_token(name, description, run):
        sub = command(name, description, run)
        sub.add_argument("-t", "--token", required=True, help="the token that the upgrade printed")
        return sub

    sub = with_token("restore", "download an upgraded dump once more, and restore it", restore_later)
    sub.add_argument("-d", "--dbname", required=True, help="the database that was upgraded")
    sub.add_argument("-r", "--restore-name", required=True, metavar="NAME", help="the upgraded database's name")
    sub.add_argument("-s", "--ssh-key", metavar="FILE", help="the private key")
    sub.add_argument("-j", "--jobs", default="4", help="of pg_restore (default 4)")
    with_token("status", "show the state of an upgrade", show_status)
    sub = with_token("log", "show the log of an upgrade", show_log)
    sub.add_argument("-f", "--from-byte", type=int, default=0, metavar="N", help="where to begin (default 0)")
    sub = with_token("wipe", "have the platform remove all data of a contract, from V10 on", wipe)
    sub.add_argument("-c", "--contract", required=True, help="the contract")
    sub.add_argument("-y", "--yes", action="store_true", help="do not ask")

    options = parser.parse_args(arguments)
    way = re.fullmatch(r"V([6-9]|1[01])", options.way)
    if not way:
        parser.error("--as takes V6 to V11, not %s" % options.way)
    options.way = int(way[1])
    if options.input and not options.contract:
        parser.error("-i needs -c, the contract")
    if options.command == "wipe" and options.way < 10:
        parser.error("wipe is there from V10 on")
    if options.way >= 11 and (options.remote_user, options.remote_path) != ("odoo", "/data"):
        parser.error("-u and -p are there until V10")
    return options


def main(arguments):
    options = parse(arguments)
    try:
        options.run(options)
    except Stop as stop:
        say("ERROR", stop)
        return stop.status
    except KeyboardInterrupt:
        say("INFO", "interrupted")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
