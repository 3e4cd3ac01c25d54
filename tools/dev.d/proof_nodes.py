# SPDX-License-Identifier: Apache-2.0
"""Proofs about what nodes have and whether they are there: memory that does not suffice, joining, leaving, pulled."""
import os
import signal
import subprocess
import time

from lab import OMCTL, Failed
from proof import (Job, Skipped, choose_policy, finish, log_marks, moves_since, places, progress, told, told_by,
                   wait_for)
from proof_load import perl_job

LIMIT_MIB = 400


class LimitedMemory:
    """A memory cgroup, v1 or v2, as tests/system/usher_test.cpp makes it."""

    def __init__(self):
        old = "/sys/fs/cgroup/memory"
        is_old = os.path.exists(os.path.join(old, "cgroup.procs"))
        root = old if is_old else "/sys/fs/cgroup"
        self.path = os.path.join(root, f"omig-proofs-{os.getpid()}")
        try:
            if not is_old:
                with open(os.path.join(root, "cgroup.subtree_control"), encoding="ascii") as controllers:
                    if "memory" not in controllers.read().split():
                        raise Skipped(f"{root} hands no memory controller on: no node can have a limit of its own")
            os.mkdir(self.path)
        except OSError as error:
            raise Skipped(f"no memory cgroup can be made here: {error}") from error
        self.write("memory.limit_in_bytes" if is_old else "memory.max", LIMIT_MIB << 20)
        if not is_old:
            self.write("memory.swap.max", 0)

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def remove(self):
        os.rmdir(self.path)


def memory(proof, bench):
    count, rows = 3, 50_000  # of 4,000 bytes, on pages of 4 KiB
    proof.title = "programs that want more memory than their node has"
    proof.goal = (f"{count} databases in memory (sqlite3, more than {rows * 4000 >> 20} MiB each) on a node of {LIMIT_MIB} MiB, the others "
                  "having more: all end well with omig, while the kernel kills some without it; and earlier than one after the other")
    base = bench.directory(proof.name)
    limit = LimitedMemory()
    # Where there are CPUs enough for a node with one for each of them, nothing but memory is a reason to move; then each
    # row takes some computing, so that they grow no faster than on a small machine.
    roomy = (os.cpu_count() or 1) > count + 2
    slowly = "where length(hex(randomblob(30000))) > 0" if roomy else ""
    try:
        lab = bench.lab(proof, 3, [100 * count, 100, 100] if roomy else 40)
        limit.write("cgroup.procs", told_by(lab, 1, {"op": "ping"})["pid"])
        question = ("create table t (b blob); with recursive n(i) as (select 1 union all select i + 1 from n where i < "
                    f"{rows}) insert into t select randomblob(4000) from n {slowly}; "
                    "select count(*), sum(length(b)) from t; pragma integrity_check;")
        right = f"{rows}|{rows * 4000}\nok\n".encode()
        words = ["sh", "-c", f"echo $$ >{limit.path}/cgroup.procs && exec sqlite3 :memory: \"$0\"", question]
        proof.command(f"# node 1's homed and its programs are in a memory cgroup of {LIMIT_MIB} MiB, without swap")
        proof.command(lab.on_node(1, words))
        runs, lines = [], []
        for number, way in enumerate(["one after the other", "without", "with omig", "without", "with omig"]):
            choose_policy(lab, "omig" if way == "with omig" else "home")
            marks, begin = log_marks(lab), time.time()
            start = time.monotonic()
            jobs = []
            for each in range(count):
                jobs.append(Job(lab, f"{number}-{each}", words, base))
                if way == "one after the other":
                    finish(jobs, 60)
            finish(jobs, 120)
            seconds = time.monotonic() - start
            well = sum(job.status == 0 and job.output() == right for job in jobs)
            killed = sum(job.status in (-signal.SIGKILL, 137) for job in jobs)
            moves = moves_since(lab, marks)
            ushered = sum(move["ok"] and move["cause"] == "usher" for move in moves)
            runs.append((way, seconds, well, killed, ushered, sum(move["ok"] for move in moves)))
            progress(f"memory: {way}: {seconds:.1f} s, {well} of {count} well")
            if way == "with omig":
                lines = told(moves, begin)
            lines += [f"{job.name}: status {job.status}: {job.error()}" for job in jobs
                      if way != "without" and (job.status or job.output() != right)]
    finally:
        bench.take_down()
        limit.remove()
    of = {way: [run for run in runs if run[0] == way] for way in {run[0] for run in runs}}
    proof.check(f"with omig {sum(run[2] for run in of['with omig'])} of {count * len(of['with omig'])} ended well",
                all(run[2] == count for run in of["with omig"]))
    ushered = sum(run[4] for run in of["with omig"])
    proof.check(f"{ushered} moves were made for want of memory (if none, another reason to move came first)", ushered > 0)
    proof.check(f"without it the kernel killed {sum(run[3] for run in of['without'])} of {count * len(of['without'])}, so the limit is "
                "real", all(run[3] > 0 for run in of["without"]))
    alone = of["one after the other"][0]
    proof.check(f"one after the other {alone[2]} of {count} ended well", alone[2] == count)
    serial, ushering = alone[1], max(run[1] for run in of["with omig"])
    proof.check(f"{serial / ushering:.2f} times as fast as one after the other", ushering < serial)
    proof.table(["way (in this order)", "seconds", "ended well", "killed", "moves for memory", "moves"], runs)
    proof.say(*lines)


def run_words(lab, node, words):
    """A command on a node that is no program of omig's; what it says is told if it fails."""
    done = subprocess.run(lab.on_node(node, ["env", "-u", "LD_PRELOAD"] + words), capture_output=True, text=True, check=False,
                          timeout=60)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)} on node{node}: {done.stderr.strip() or done.stdout.strip()}")


def kill_homed(lab, node):
    pid = told_by(lab, node, {"op": "ping"})["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(f"the end of node{node}'s homed", lambda: not os.path.exists(f"/proc/{pid}"), 20)


def stands_as_up(lab, node):
    """Whether node 1 holds the other one to be there."""
    nodes = told_by(lab, 1, {"op": "nodes"})["nodes"]
    return any(each["name"] == f"node{node}" and each["state"] == "up" for each in nodes)


class Change:
    """Something that befalls the cluster while programs run, as soon as `is_time` (places -> bool) says so."""

    def __init__(self, lab, act, is_time):
        self.lab, self.act, self.is_time = lab, act, is_time
        self.at = self.took = None

    def look(self, jobs):
        if self.at is None and self.is_time(places(self.lab, jobs)):
            self.at = time.monotonic()
            self.act()
            self.took = time.monotonic() - self.at


def join(proof, bench):
    count = 8
    proof.title = "a node joins, one leaves, one is pulled"
    proof.goal = (f"{count} programs that compute on node 1; in the middle of it a fourth node joins: it is used and they are done "
                  "earlier; one node is told to leave (omctl expel) and unplugged: all end well; one is unplugged without warning: "
                  "those that were there end with status 137 and a line that says so, all others well")
    base = bench.directory(proof.name)
    lab = bench.lab(proof, 4, 35)
    words = perl_job(9_000_000, 1)
    proof.command(lab.on_node(1, words))
    kill_homed(lab, 4)
    wait_for("node 4 to be held for dead", lambda: not stands_as_up(lab, 4), 40)
    seen = {}  # pid -> where it was last

    def joins():
        proof.command([OMCTL, "lab", "restart", "--dir", lab.dir, "4"])
        subprocess.run([OMCTL, "lab", "restart", "--dir", lab.dir, "4"], check=True, stdout=subprocess.DEVNULL, timeout=60)

    def unplug(node):
        proof.command(lab.on_node(node, ["ip", "link", "set", "eth0", "down"]) + ["&&", "kill", "-9", "HOMED"])
        run_words(lab, node, ["ip", "link", "set", "eth0", "down"])
        kill_homed(lab, node)

    def leaves():
        proof.command(lab.on_node(2, ["omctl", "expel"]))
        answer = told_by(lab, 2, {"op": "expel"})
        if answer.get("failed"):
            raise Failed(f"expel on node2: {answer['failed']}")
        unplug(2)

    def busy(node):
        return lambda now: now is not None and now[f"node{node}"] > 1

    runs, lines = [], []
    for title, act, is_time in (("three nodes", None, None), ("node 4 joins", joins, busy(2)), ("node 2 leaves", leaves, busy(2)),
                                ("node 3 is pulled", lambda: unplug(3), busy(3))):
        marks = log_marks(lab)
        begin = time.time()
        change = Change(lab, act, is_time) if act else None
        jobs = [Job(lab, f"{title.replace(' ', '-')}-{number}", words, base) for number in range(count)]
        most = {}

        def look():
            if change:
                change.look(jobs)
            for process in lab.processes():
                seen[process["pid"]] = process["node"]
            for node, now in (places(lab, jobs) or {}).items():
                most[node] = max(most.get(node, 0), now)
        seconds = finish(jobs, 120, look)
        if change and change.at is None:
            raise Failed(f"{title}: it never came to that, no program was where it should have been")
        well = [job for job in jobs if job.status == 0 and job.output().strip().isdigit()]
        lost = [job for job in jobs if job.status in (-signal.SIGKILL, 137)]  # what a shell shows as 137
        runs.append((title, seconds, len(well), len(lost), " ".join(f"{node}: {now}" for node, now in sorted(most.items()))))
        progress(f"join: {title}: {seconds:.1f} s, {len(well)} well, {len(lost)} lost")
        proof.check(f"{title}: {len(well)} of {count} ended well, {len(lost)} with status 137",
                    len({job.output() for job in well}) == 1 and len(well) + len(lost) == count and (title.endswith("pulled") or not lost))
        for job in lost:
            lines.append(f"- {job.name}, last seen on {seen.get(job.pid)}, ended {job.started + job.seconds - change.at:.1f} s after the cut: "
                         f"{job.error()}")
        lines += [f"- {job.name}: status {job.status}: {job.error()}" for job in jobs if job not in well and job not in lost]
        if title == "node 4 joins":
            proof.check(f"{most.get('node4', 0)} programs at a time were seen on node 4", most.get("node4", 0) > 0)
            proof.check(f"{runs[0][1] / seconds:.2f} times as fast as without it", seconds < runs[0][1])
        if title == "node 2 leaves":
            lines.append(f"- leaving took node 2 {change.took:.1f} s, the unplugging included")
        if title == "node 3 is pulled":
            proof.check(f"{len(lost)} were lost, all last seen on node 3, and each says so",
                        all(seen.get(job.pid) == "node3" and "node3" in job.error() for job in lost))
        lines += told(moves_since(lab, marks), begin, most=3)
    proof.table(["what happens (in this order)", "all ended, s", "well", "status 137", "most at a time"], runs)
    proof.say(*lines)
