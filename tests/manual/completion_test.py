#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bash and zsh complete omctl: asked as the shells ask, and typed into both in tmux."""
import os
import shlex
import shutil
import sys
import tempfile
import time

import harness
from harness import OMCTL, leaves, need, omctl, run, tree

NODES = [{"id": i, "name": name, "state": "up", "cpus": 1.0, "runnable": 0.5} for i, name in ((1, "alpha"), (2, "beta"))]
PS = {"ok": True, "node": "alpha", "processes": [{"pid": 4711, "node": "beta", "command": "make: \t\n'all'"},
                                               {"pid": 4712, "node": "alpha", "command": "sleep"}],
      "guests": [{"pid": 99, "home": "beta", "command": "burn"}]}
ANSWERS = {"nodes": {"ok": True, "node": "alpha", "nodes": NODES, "problems": []}, "ps": PS}


class Place:
    """A directory with an omctl first in PATH, a homed, and a lab of two nodes that nobody runs."""

    def __enter__(self):
        self.path = tempfile.mkdtemp()
        harness.Homed(self.path, ANSWERS)
        os.mkdir(self.path + "/sub dir")
        self.environment = {**os.environ, "OMIG_DIR": self.path, "PATH": os.path.dirname(OMCTL) + ":" + os.environ["PATH"]}
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def bash(self, line):
        """What bash offers at the end of the line, sorted, once each."""
        words = line.replace("=", " = ").split(" ")
        script = (f"source <({shlex.quote(OMCTL)} completion bash); COMP_WORDS=({' '.join(map(shlex.quote, words))}); "
                  f"COMP_CWORD={len(words) - 1}; _omctl; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        ended = run("bash", "--norc", "-c", script, env=self.environment, cwd=self.path)
        assert ended.returncode == 0 and not ended.stderr, (line, ended)
        return sorted(set(ended.stdout.split("\n")[:-1])) if ended.stdout != "\n" else []


class Terminal:
    """A shell in a tmux of its own."""

    def __init__(self, place, *words):
        self.server = tempfile.mktemp(dir=place.path)  # not that of a server that is just ending
        self.tmux("new-session", "-d", "-x", "100", "-y", "50", "-c", place.path, *words, env=place.environment)

    def tmux(self, *words, **options):
        return run("tmux", "-S", self.server, "-f", "/dev/null", *words, check=True, **options).stdout

    def see(self, *texts):
        limit = time.monotonic() + 40
        while True:
            screen = self.tmux("capture-pane", "-p")
            if all(text in screen for text in texts):
                return screen
            assert time.monotonic() < limit, (texts, screen)
            time.sleep(0.05)

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def clear(self):
        """An empty line again: ^C, and a word that only the shell can have printed."""
        self.type("C-c")
        self.type(" clear; echo cle''ared", "Enter")
        self.see("cleared")


def test_bash_offers_what_the_tree_has():
    whole = tree()
    with Place() as place:
        assert place.bash("omctl ") == sorted(c["name"].split()[1] for c in whole["commands"])
        for command in leaves(whole):
            flags = sorted(name for option in command["options"] for name in option["names"])
            assert place.bash(command["name"] + " -") == flags, command["name"]
        for name in whole["other_names"]:
            flags = sorted(flag for option in name["options"] for flag in option["names"])
            assert place.bash(name["name"] + " -") == flags, name["name"]


def test_bash_offers_what_homed_knows():
    with Place() as place:
        for line, offered in (
                ("omctl mi", ["migrate"]), ("omctl lab ", ["down", "exec", "restart", "status", "up"]),
                ("omctl migrate ", ["4711", "4712", "99"]), ("omctl migrate 47", ["4711", "4712"]),
                ("omctl migrate 4711 ", ["alpha", "balance", "beta", "home"]), ("omctl migrate --json 4711 a", ["alpha"]),
                ("omctl migrate 4711 alpha ", []), ("omctl where 9", ["99"]),
                ("omctl run -n ", ["alpha", "beta"]), ("omctl run --node=b", ["beta"]), ("omctl run --node=", ["alpha", "beta"]),
                ("omctl run --node alpha seq", ["seq"]), ("omctl run -- printen", ["printenv"]),
                ("omctl lab up --no", ["--no-balance", "--nodes"]), ("omctl lab up --dir su", ["sub dir"]),
                ("omctl completion z", ["zsh"]), ("omctl help mi", ["migrate"]), ("omctl help om", ["omdiscd", "omig", "omrunon", "omsh"]), ("omctl ps --j", ["--json"]), ("omctl nodes ", [])):
            assert place.bash(line) == offered, (line, place.bash(line))


def test_nobody_waits_for_a_homed_that_does_not_answer():
    with Place() as place:
        answers = dict(ANSWERS)
        os.unlink(place.path + "/homed.sock")
        assert place.bash("omctl where ") == []
        listener = harness.socket.socket(harness.socket.AF_UNIX)
        listener.bind(place.path + "/homed.sock")
        listener.listen(8)  # and never accepts
        begun = time.monotonic()
        assert place.bash("omctl where ") == [] and answers
        assert time.monotonic() - begun < 20


def test_typed_into_bash():
    need("tmux")
    with Place() as place:
        terminal = Terminal(place, "bash --norc -i")
        try:
            terminal.type(f"PS1='$ '; source <(omctl completion bash); clear; echo rea''dy", "Enter")
            terminal.see("ready")
            terminal.type("omctl mig", "Tab", "471", "Tab", "1 be", "Tab")
            terminal.see("omctl migrate 4711 beta")
            terminal.clear()
            terminal.type("omctl lab exec --d", "Tab", "su", "Tab")
            terminal.see("omctl lab exec --dir sub\\ dir/")
        finally:
            terminal.tmux("kill-server")


def test_typed_into_zsh():
    need("tmux")
    need("zsh")
    with Place() as place:
        os.mkdir(place.path + "/functions")
        with open(place.path + "/functions/_omctl", "w", encoding="utf-8") as file:
            file.write(omctl("completion", "zsh", check=True).stdout)
        for setup in ("autoload -U compinit; compinit -u -D; source functions/_omctl",
                      "fpath=($PWD/functions $fpath); autoload -U compinit; compinit -u -D"):
            terminal = Terminal(place, "zsh -f -i")
            try:
                terminal.type(f"PS1='%% '; {setup}; clear; echo rea''dy", "Enter")
                terminal.see("ready")
                terminal.type("omctl mig", "Tab", "471", "Tab")
                terminal.see("4711", "beta: make", "4712", "alpha: sleep")
                terminal.type("1 be", "Tab")
                terminal.see("omctl migrate 4711 beta")
                terminal.clear()
                terminal.type("omctl lab up --n", "Tab", "Tab")
                terminal.see("no process moves unless told to", "how many (default 4)")
                terminal.clear()
                terminal.type("omctl run --node=al", "Tab", "printen", "Tab")
                terminal.see("omctl run --node=alpha printenv")
                terminal.clear()
                terminal.type("omctl compl", "Tab", "lab", "Tab")
                terminal.see("omctl completion lab-nodes")
            finally:
                terminal.tmux("kill-server")


def test_lab_nodes_are_the_labs():
    with Place() as place:
        assert place.bash("omctl lab exec ") == []
        lab = place.path + "/lab"
        made = omctl("lab", "up", "--nodes", "2", "--dir", lab, "--no-balance")
        try:
            assert made.returncode == 0, made
            place.environment["OMIG_DIR"] = lab
            assert place.bash("omctl lab exec ") == ["node1", "node2"]
            assert place.bash("omctl lab exec node1 -- printen") == ["printenv"]
        finally:
            omctl("lab", "down", "--dir", lab)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
