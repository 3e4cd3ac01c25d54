# SPDX-License-Identifier: Apache-2.0
"""A lab (`omctl lab`) as tools/dev's scripts use it: up, programs on its nodes, questions to its daemons, down."""
import json
import os
import socket
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("OMIG_BUILD", os.path.join(ROOT, "build"))  # another build folder, for those who have several
OMCTL = os.path.join(BUILD, "tools", "omctl")


class Failed(Exception):
    """What the user is told, after the lab is taken down."""


def ask(state_dir, question, seconds=5):
    """One question to a homed; None if it does not answer in so many seconds."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(seconds)
            link.connect(os.path.join(state_dir, "homed.sock"))
            link.sendall(json.dumps(question).encode() + b"\n")
            with link.makefile() as lines:
                return json.loads(lines.readline())
    except (OSError, ValueError):
        return None


class Lab:
    """Brought up by the constructor. Whoever makes one calls `take_down` in the end, also when the constructor failed.

    `cpu` is a percentage or a list of them, one per node. `limited` says whether the nodes have these shares."""

    def __init__(self, directory, nodes, cpu, rate=None):
        self.dir = directory
        self.nodes = nodes
        percents = [str(each) for each in cpu] if isinstance(cpu, (list, tuple)) else [str(cpu)]
        self.up_words = [OMCTL, "lab", "up", "--nodes", str(nodes), "--dir", self.dir, "--cpu", ",".join(percents)]
        if rate:
            self.up_words += ["--rate", str(rate)]
        if subprocess.run(self.up_words, start_new_session=True).returncode != 0:
            raise Failed("the lab did not come up")
        status = subprocess.run([OMCTL, "lab", "status", "--json", "--dir", self.dir], capture_output=True, check=True)
        self.status = json.loads(status.stdout)
        self.limited = self.status["cpu_percent"] is not None

    def state_dir(self, node):
        return os.path.join(self.dir, f"node{node}")

    def on_node(self, node, command):
        return [OMCTL, "lab", "exec", "--dir", self.dir, str(node), "--"] + command

    def start(self, command, node=1, **options):
        # A session of its own: ^C is for us, and we take the lab down with everything in it.
        return subprocess.Popen(self.on_node(node, command), start_new_session=True, **options)

    def ask(self, node, question, seconds=5):
        return ask(self.state_dir(node), question, seconds)

    def processes(self):
        """Node 1's programs, wherever they are."""
        return (self.ask(1, {"op": "ps"}) or {}).get("processes", [])

    def show_logs(self):
        for number in range(1, self.nodes + 1):
            for name in ("homed.log", "host.log"):
                log = os.path.join(self.state_dir(number), name)
                if os.path.exists(log) and os.path.getsize(log):
                    print(f"--- the end of {log}", file=sys.stderr, flush=True)
                    subprocess.run(["tail", "-n", "12", log], stdout=sys.stderr, check=False)

    def down(self):
        subprocess.run([OMCTL, "lab", "down", "--dir", self.dir], start_new_session=True, check=True)


def take_down(directory):
    """Ends the lab there, if there is one; it does no harm if there is none."""
    subprocess.run([OMCTL, "lab", "down", "--dir", directory], stderr=subprocess.DEVNULL, start_new_session=True,
                   check=False)
