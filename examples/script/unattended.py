#!/usr/bin/env python3
"""Upgrades a dump or a database with the upgrade script while nobody is there to answer its questions.

    unattended.py --dump DUMP --contract CONTRACT --target 18.0 --out OUT -- python3 upgrade
    unattended.py --database NAME --restore-as NEW --target 18.0 -- python3 upgrade

The exit status says what became of it: 0 for an upgraded dump at OUT, or an upgraded database NEW; 1 for an upgrade that
failed or was refused; 2 for one that is not over: the same command goes on with it.

The script's own exit status is 0 whatever comes of the upgrade, and its sentences change. What can be trusted is its token,
which it leaves in TMPDIR for as long as the upgrade is not over, and what the platform says of that token. The token opens
the way to the database: it is kept in --state, and left out of what is printed.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

TOKEN = re.compile(r"[\w-]{40,}")  # of 58 characters, as far as is known; the script prints it before it saves it
RESULTS = ("upgraded.zip", "upgraded.dump", "upgrade.zip")  # the names under which results are known to come


class Upgrade:
    def __init__(self, options, script):
        self.options = options
        self.script = script
        self.state = pathlib.Path(options.state).absolute()
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = self.state if options.database else pathlib.Path(options.dump).absolute().parent

    def token_files(self):
        """Returns where the script keeps the token of an upgrade that is not over. The directory is ours alone."""
        return list(self.state.glob("odoo-upgrade-*"))

    def command(self):
        o = self.options
        if o.database:
            what = ["-d", o.database, "-r", o.restore_as] + (["-c", o.contract] if o.contract else [])
        else:
            what = ["-i", os.path.abspath(o.dump), "-c", o.contract]
        return self.script + [o.aim] + what + ["-t", o.target]

    def run_script(self):
        """Runs the script once, with "yes" for an answer to its question, and returns its exit status."""
        program = subprocess.Popen(
            self.command(), cwd=self.folder, env=dict(os.environ, TMPDIR=str(self.state)), stdin=subprocess.PIPE,
            stderr=subprocess.PIPE, universal_newlines=True, errors="replace")
        try:
            program.stdin.write("y\n")
            program.stdin.close()
        except BrokenPipeError:  # it asked nothing, and has ended
            pass
        for line in program.stderr:
            print(TOKEN.sub("[token]", line), end="", file=sys.stderr, flush=True)
        return program.wait()

    def run(self):
        if not self.token_files():  # what an earlier upgrade left is not the result of this one
            for name in RESULTS + ("filestore",):
                remove(self.folder / name)
        for attempt in range(self.options.tries):
            if attempt:
                time.sleep(self.options.pause)
            code = self.run_script()
            if not self.token_files():
                return 0 if self.succeeded(code) else 1
        print("unattended.py: the upgrade is not over; run the same command to go on. If the platform knows it no more, as "
              "the lines above say then, begin anew: remove %s before" % ", ".join(map(str, self.token_files())),
              file=sys.stderr)
        return 2

    def succeeded(self, code):
        o = self.options
        if o.database:
            listed = subprocess.run(["psql", "-XAt", "-d", "postgres", "-c", "SELECT datname FROM pg_database"],
                                    stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout
            if code == 0 and o.restore_as in listed.split("\n"):  # the script does say when a restore breaks
                return True
        for name in RESULTS:
            if not o.database and (self.folder / name).exists():
                remove(pathlib.Path(o.out))
                shutil.move(str(self.folder / name), o.out)
                return True
        print("unattended.py: no upgraded %s came back" % ("database" if o.database else "dump"), file=sys.stderr)
        return False


def remove(path):
    if path.is_dir():
        shutil.rmtree(str(path))
    elif path.exists():
        path.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--dump", help="the dump to upgrade")
    what.add_argument("--database", metavar="NAME", help="the database to upgrade")
    parser.add_argument("--out", help="where the upgraded dump is to be")
    parser.add_argument("--restore-as", metavar="NEW", help="the database to make of the upgraded one")
    parser.add_argument("--contract", help="the contract; needed with --dump")
    parser.add_argument("--target", required=True, help="the version to upgrade to")
    parser.add_argument("--aim", choices=("test", "production"), default="test", help="(default test)")
    parser.add_argument("--state", default=".upgrade", metavar="DIR", help="what lasts between runs (default .upgrade)")
    parser.add_argument("--tries", type=int, default=4, help="how often to begin again what broke (default 4)")
    parser.add_argument("--pause", type=float, default=5, help="seconds between two tries (default 5)")
    parser.add_argument("script", nargs="+", help="the upgrade script, behind --")
    options = parser.parse_args()
    if options.dump and not (options.contract and options.out):
        parser.error("--dump needs --contract and --out")
    if options.database and not options.restore_as:
        parser.error("--database needs --restore-as")
    return Upgrade(options, options.script).run()


if __name__ == "__main__":
    sys.exit(main())
