# SPDX-License-Identifier: Apache-2.0
"""What the proofs (tools/dev proofs) are made of: programs on a lab's nodes, what is seen of them, and the page.

A lab's nodes are shares of this machine. If others use it as well, the nodes get less, and differently much, and the
figures say little: then wait for a quiet machine, or, if nobody minds, let the labs' cgroups outweigh everything else on it
(--outweigh)."""
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
import time

from lab import BUILD, OMCTL, ROOT, Failed, Lab, take_down

PAGE = os.path.join(ROOT, "docs", "PROOFS.md")
TICK_S = 0.1


class Skipped(Exception):
    """Why a proof cannot be had on this machine."""


def progress(text):
    print(f"proofs: {text}", file=sys.stderr, flush=True)


def load_average():
    return os.getloadavg()[0]


def gone_after(seconds):
    """A function that says whether the time is over."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def wait_for(what, condition, seconds):
    """Looks every tick until `condition` holds; its last value. Failed if it does not in time."""
    over = gone_after(seconds)
    while True:
        value = condition()
        if value:
            return value
        if over():
            raise Failed(f"waited {seconds} s in vain: {what}")
        time.sleep(TICK_S)


def at_normal_priority():
    """Programs of the lab must not inherit the priority that lets our own clock go right."""
    os.setpriority(os.PRIO_PROCESS, 0, 0)


class Job:
    """A program that runs on a node of the lab, under omig unless `plain`, and what became of it."""

    def __init__(self, lab, name, words, base, node=1, plain=False):
        self.name = name
        self.out = os.path.join(base, f"{name}.out")
        self.err = os.path.join(base, f"{name}.err")
        words = ["env", "-u", "LD_PRELOAD"] + words if plain else words
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = lab.start(words, node, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                     preexec_fn=at_normal_priority)
        self.pid = self.process.pid
        self.started = time.monotonic()
        self.seconds = None

    def ended(self):
        if self.seconds is None and self.process.poll() is not None:
            self.seconds = time.monotonic() - self.started
        return self.seconds is not None

    @property
    def status(self):
        return self.process.returncode

    def output(self):
        with open(self.out, "rb") as file:
            return file.read()

    def error(self):
        with open(self.err, "rb") as file:
            return file.read().decode(errors="replace").strip()


def finish(jobs, seconds, each_tick=lambda: None):
    """Waits for the ends of all. Returns the seconds since the first was started."""
    over = gone_after(seconds)
    while not all([job.ended() for job in jobs]):
        if over():
            left = ", ".join(job.name for job in jobs if not job.ended())
            raise Failed(f"not ended after {seconds} s: {left}")
        each_tick()
        time.sleep(TICK_S)
    return max((job.started + job.seconds for job in jobs), default=0) - min((job.started for job in jobs), default=0)


class Bench:
    """Where the proofs work: a directory, and the labs that have to be taken down."""

    def __init__(self, base, outweigh):
        self.base = base
        self.outweighs = outweigh
        self.labs = []

    def directory(self, name):
        path = os.path.join(self.base, name)
        os.makedirs(path, exist_ok=True)
        return path

    def lab(self, proof, nodes, cpu, rate=None):
        for is_last in (False, True):
            directory = os.path.join(self.base, f"lab{len(self.labs)}")
            self.labs.append(directory)
            try:
                lab = Lab(directory, nodes, cpu, rate)
                break
            except Failed:  # until it is up it outweighs nobody, and `lab up` waits a minute only
                if is_last:
                    raise
                progress("once more")
        proof.command(lab.up_words)
        if not lab.limited:
            raise Skipped("no CPU shares here (they need root, or a delegated cgroup)")
        if lab.status["mode"] != "namespaces":
            raise Skipped("no network namespaces here (they need root)")
        if self.outweighs:
            self.outweigh(lab.status["cgroup"])
            proof.outweighed = True
        return lab

    @staticmethod
    def outweigh(cgroup):
        for name, weight in (("cpu.shares", 262144), ("cpu.weight", 10000)):
            path = os.path.join(cgroup, name)
            if os.path.exists(path):
                with open(path, "w", encoding="ascii") as file:
                    file.write(str(weight))

    def take_down(self):
        for directory in self.labs:
            take_down(directory)
        self.labs = [directory for directory in self.labs if os.path.exists(os.path.join(directory, "lab.json"))]


def told_by(lab, node, question):
    """The node's answer, for which a busy machine gets time; Failed if there is none or it refuses."""
    answer = lab.ask(node, question, 30)
    if not (answer or {}).get("ok"):
        raise Failed(f"node{node} to {question['op']}: {'no answer' if answer is None else answer.get('reason')}")
    return answer


def is_up(lab, node):
    """Whether its homed lives; one that does is waited for (told_by)."""
    return lab.ask(node, {"op": "ping"}, 30) is not None


def choose_policy(lab, name):
    for node in range(1, lab.nodes + 1):
        told_by(lab, node, {"op": "policy", "name": name})


def moves_since(lab, marks):
    """What the schedulers of all nodes did or tried since then (log_marks)."""
    moves = [move for node, mark in marks.items() if is_up(lab, node)
             for move in told_by(lab, node, {"op": "log", "after": mark})["moves"]]
    return sorted(moves, key=lambda move: move["at_ms"])


def log_marks(lab):
    return {node: told_by(lab, node, {"op": "log", "n": 1})["last"] for node in range(1, lab.nodes + 1) if is_up(lab, node)}


def told(moves, begin, shown=lambda seconds: True, most=6):
    """Moves as lines of the page: how many, and in full the first ones of those that are to be shown (s since `begin`)."""
    done = [move for move in moves if move["ok"]]
    causes = {}
    for move in done:
        causes[move["cause"]] = causes.get(move["cause"], 0) + 1
    summary = ", ".join(f"{count} by {cause}" for cause, count in sorted(causes.items())) or "none"
    lines = [f"{len(done)} moves done ({summary}), {len(moves) - len(done)} tried in vain."]
    chosen = [(move["at_ms"] / 1000 - begin, move) for move in moves if shown(move["at_ms"] / 1000 - begin)]
    for seconds, move in chosen[:most]:
        outcome = f"frozen for {move['freeze_ms']:.0f} ms" if move["ok"] and "freeze_ms" in move else move["outcome"]
        command = os.path.basename(move["command"].split(" ")[0])
        lines.append(f"- {seconds:.1f} s: `{move['cause']}` {command} {move['from']} to {move['to']}: {outcome}; {move['reason']}")
    if len(chosen) > most:
        lines.append(f"- and {len(chosen) - most} more")
    return lines


def places(lab, jobs):
    """How many of these jobs run on each node now; None if node 1 does not answer in time."""
    own = {job.pid for job in jobs if not job.ended()}
    answer = lab.ask(1, {"op": "ps"})
    if answer is None:
        return None
    counts = {f"node{number}": 0 for number in range(1, lab.nodes + 1)}
    for process in answer["processes"]:
        if process["pid"] in own and process["state"] != "Z":
            counts[process["node"]] = counts.get(process["node"], 0) + 1
    return counts


class Proof:
    """One proof's measurements, and its section of the page."""

    def __init__(self, name, base):
        self.name = name
        self.base = base
        self.title = name
        self.goal = ""
        self.commands = []
        self.body = []
        self.checks = []
        self.loads = [load_average()]
        self.outweighed = False
        self.started = time.monotonic()

    def command(self, words):
        text = words if isinstance(words, str) else shlex.join(words)
        for long, short in ((OMCTL, "omctl"), (self.base, "$TMP"), (BUILD, "build"), (ROOT + "/", "")):
            text = text.replace(long, short)
        text = re.sub(r"\n\s*", " ", text)
        if text not in self.commands:
            self.commands.append(text)

    def say(self, *lines):
        self.body += [*lines, ""]

    def table(self, head, rows):
        self.body.append("| " + " | ".join(head) + " |")
        self.body.append("|---" * len(head) + "|")
        for row in rows:
            cells = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row]
            self.body.append("| " + " | ".join(cells) + " |")
        self.body.append("")

    def check(self, text, holds):
        self.checks.append((text, holds))
        progress(f"{self.name}: {'pass' if holds else 'FAIL'}: {text}")

    def passed(self):
        return all(holds for _, holds in self.checks)

    def section(self, problem=None):
        self.loads.append(load_average())
        lines = [f"## {self.name}: {self.title}", ""]
        lines += [f"Goal: {self.goal}", ""]
        lines.append(circumstances(self.loads, time.monotonic() - self.started) +
                     (" The labs outweighed the rest (--outweigh)." if self.outweighed else ""))
        lines.append("")
        if problem:
            lines += [f"**{problem}**", ""]
        lines += [f"- {'pass' if holds else '**FAIL**'}: {text}" for text, holds in self.checks]
        lines += [""] + self.body
        if self.commands:
            lines += ["```"] + self.commands + ["```", ""]
        return "\n".join(lines).rstrip() + "\n"


def circumstances(loads, seconds):
    git = ["git", "-C", ROOT]

    def said(*words):
        return subprocess.run([*git, *words], capture_output=True, text=True, check=False).stdout.strip()
    commit = said("log", "-1", "--format=%h")
    changed = [line for line in said("status", "--porcelain", "--untracked-files=no").splitlines() if not line.endswith("PROOFS.md")]
    date = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    return (f"Measured {date}, commit {commit}{' with changes' if changed else ''}, {os.cpu_count()} CPUs, Linux "
            f"{platform.release()}, load average {loads[0]:.1f} before and {loads[-1]:.1f} after, in {seconds:.0f} s.")


HEAD = """# Proofs

Written by `tools/dev proofs [NAME...]` from what it measured. A run replaces the sections of the proofs
that it ran, so each says itself when, where and of what it was made; what has no section was not measured yet. Real programs
in a lab of nodes that are shares of one machine's CPUs. What is compared was measured in turns within one run. Where others
used the machine (see the load average), the nodes had less than their shares unless the labs outweighed the rest.
"""


def write_page(sections, order):
    """Puts the new sections ({name: text}) in the place of the page's old ones."""
    old = ""
    if os.path.exists(PAGE):
        with open(PAGE, encoding="utf-8") as file:
            old = file.read()
    kept = {text.split(":", 1)[0]: "## " + text.rstrip() + "\n" for text in re.split(r"^## ", old, flags=re.M)[1:]}
    kept.update(sections)
    page = "\n".join([HEAD] + [kept[name] for name in order if name in kept])
    with open(PAGE + ".new", "w", encoding="utf-8") as file:
        file.write(page)
    os.replace(PAGE + ".new", PAGE)
