# SPDX-License-Identifier: Apache-2.0
"""What the tests of this folder share: the tree of commands, a homed of the test's own, and a report meson reads (TAP).

A test is a function whose name begins with test_; it fails by an exception, and is skipped by Skip(reason).
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import traceback

OMCTL = os.environ["OMCTL"]
PAGES = os.environ["PAGES"]


class Skip(Exception):
    pass


def need(program):
    if shutil.which(program) is None:
        raise Skip(f"needs {program} (tools/dev test installs it)")


def run(*words, limit=60, **options):
    """The ended process, with out and err as text."""
    return subprocess.run(words, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL, **options)


def omctl(*words, **options):
    return run(OMCTL, *words, **options)


def tree():
    return json.loads(omctl("--describe", check=True).stdout)


def leaves(command):
    """The commands that do something: "omctl lab up", not "omctl lab"."""
    inner = command.get("commands", [])
    return [leaf for one in inner for leaf in leaves(one)] if inner else [command]


class Homed:
    """Answers each question by op with the answer given, at directory/homed.sock."""

    def __init__(self, directory, answers):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(directory, "homed.sock"))
        self.listener.listen(64)
        self.answers = answers
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            link = self.listener.accept()[0]
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        with link, link.makefile("rw") as lines:
            for line in lines:
                answer = self.answers.get(json.loads(line)["op"], {"ok": False, "reason": "no such op"})
                lines.write(json.dumps(answer) + "\n")
                lines.flush()


def main(module):
    tests = [(name, test) for name, test in vars(module).items() if name.startswith("test_")]
    print(f"1..{len(tests)}")
    failed = False
    for number, (name, test) in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} {name} # SKIP {reason}", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed = True
            print(f"not ok {number} {name}", flush=True)
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    sys.exit(1 if failed else 0)
