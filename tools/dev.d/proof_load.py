# SPDX-License-Identifier: Apache-2.0
"""Proofs about who runs where: a skewed start, nodes of different speeds."""
import glob
import os
import time

from lab import Failed
from proof import (TICK_S, Job, choose_policy, finish, gone_after, log_marks, moves_since, places, progress, told, told_by,
                   wait_for)

MIB = 1 << 20


def python_job(steps, mib=16):
    """Computes over MIB of memory that is random, so that no zero page and no compression helps who carries it."""
    return ["/usr/bin/python3", "-c", f"import functools, random; random.seed(7); m = random.randbytes({mib} << 20); "
            f"print(functools.reduce(lambda x, i: (x * 31 + m[(x * 7919 + i * 4099) % len(m)] + i) % 1000003, range({steps}), 1))"]


def perl_job(steps, mib=16):
    return ["/usr/bin/perl", "-e", f"srand(7); my $b = pack('L*', map {{ int(rand(4294967296)) }} 1 .. 262144); my $m = $b x {mib}; "
            f"my $x = 1; for my $i (0 .. {steps - 1}) {{ $x = ($x * 31 + ord(substr($m, ($x * 7919 + $i * 4099) % length($m), 1)) "
            "+ $i) % 1000003 } print \"$x\\n\""]


def make_text(path, size):
    """Something to compress: what this machine's headers say."""
    with open(path, "wb") as out:
        for name in sorted(glob.glob("/usr/include/**/*.h", recursive=True)):
            if out.tell() >= size:
                break
            with open(name, "rb") as text:
                out.write(text.read(size - out.tell()))
        if out.tell() < size:
            raise Failed(f"/usr/include has less than {size} bytes to compress (install libc6-dev)")


def sent_bytes(lab, node):
    """By the node's network interface, from its birth."""
    holder = next(each["holder_pid"] for each in lab.status["nodes"] if each["id"] == node)
    with open(f"/proc/{holder}/net/dev", encoding="ascii") as table:
        for line in table:
            name, _, figures = line.partition(":")
            if name.strip() == "eth0":
                return int(figures.split()[8])
    raise Failed(f"node{node} has no eth0")


def resident_bytes(lab, jobs):
    own = {job.pid for job in jobs}
    return {process["pid"]: process["rss_bytes"] for process in lab.processes() if process["pid"] in own}


def have_grown(lab, jobs):
    """Until none of them takes much more memory (xz does as long as it runs)."""
    state = {"sizes": {}, "since": time.monotonic()}

    def steady():
        sizes = resident_bytes(lab, jobs)
        if len(sizes) < len(jobs) or any(abs(size - state["sizes"].get(pid, 0)) > 4 * MIB for pid, size in sizes.items()):
            state.update(sizes=sizes, since=time.monotonic())
        return time.monotonic() - state["since"] > 2
    wait_for("the programs' memory to be there", steady, 60)
    return state["sizes"]


def is_even(counts):
    return max(counts.values()) - min(counts.values()) <= 1


def skewed(proof, bench):
    nodes, share, rate_mbit = 4, 40, 200
    proof.title = "everything was started on one node"
    proof.goal = ("eight busy programs on node 1 of four; from the moment the scheduler may act until the loads are even "
                  "(within 5%; of eight equal programs on four nodes: two each) at most 1.2 times what the network needs for "
                  "the bytes moved, and 5 s")
    base = bench.directory(proof.name)
    lab = bench.lab(proof, nodes, share, rate_mbit)
    choose_policy(lab, "home")
    text = os.path.join(base, "text")
    make_text(text, 16 * MIB)
    kinds = [("python", python_job(13_000_000), 3), ("perl", perl_job(26_000_000), 3), ("xz", ["xz", "-6", "-T1", "-c", text], 2)]
    progress("skewed: the same programs natively, one on each of the other nodes")
    native = [Job(lab, f"native-{kind}", words, base, node, plain=True) for node, (kind, words, _) in enumerate(kinds, 2)]
    finish(native, 120)
    jobs = []
    for kind, words, count in kinds:
        proof.command(lab.on_node(1, words))
        jobs += [Job(lab, f"{kind}{number}", words, base) for number in range(count)]
    progress("skewed: eight programs on node 1")
    sizes = have_grown(lab, jobs)
    marks, sent = log_marks(lab), sent_bytes(lab, 1)
    begin, begin_date = time.monotonic(), time.time()
    choose_policy(lab, "omig")
    seen = []  # (seconds, counts, everybody still runs)

    def look():
        counts = places(lab, jobs)
        if counts is None:
            return
        seen.append((time.monotonic() - begin, counts, not any(job.ended() for job in jobs)))
        if seen[-1][2] and is_even(seen[-1][1]) and "even" not in result:
            gone = {process["pid"] for process in lab.processes() if process["node"] != "node1"}
            result.update(even=seen[-1][0], sent=sent_bytes(lab, 1) - sent,
                          carried=sum(size for pid, size in sizes.items() if pid in gone))
    result = {}
    finish(jobs, 150, look)
    moves = moves_since(lab, marks)
    wrong = [job.name for job in jobs if job.status != 0]
    for (kind, _, _), reference in zip(kinds, native):
        wrong += [job.name for job in jobs if job.name.startswith(kind) and job.output() != reference.output()]
    crowd = [(seconds, counts) for seconds, counts, all_run in seen if all_run]
    if "even" in result:
        network = min(result["carried"], result["sent"]) * 8 / (rate_mbit * 1e6)
        limit = 1.2 * network + 5
        after = [counts for seconds, counts in crowd if seconds >= result["even"]]
        proof.check(f"even after {result['even']:.1f} s; allowed were {limit:.1f} s: 1.2 x {network:.1f} s + 5 s "
                    f"(the programs that left have {result['carried'] / MIB:.0f} MiB of memory, {result['sent'] / MIB:.0f} MiB were "
                    f"sent by node 1, at {rate_mbit} Mbit/s)", result["even"] <= limit)
        proof.say(f"From then until the first program ended ({crowd[-1][0] - result['even']:.1f} s) the loads were even "
                  f"{100 * sum(map(is_even, after)) / len(after):.0f}% of the time.")
    else:
        proof.check(f"never even in the {crowd[-1][0]:.1f} s in which all programs ran", False)
    proof.check("all outputs are those of a native run" if not wrong else f"wrong: {', '.join(wrong)}", not wrong)
    timeline(proof, crowd)
    proof.say(*told(moves, begin_date, lambda seconds: seconds < crowd[-1][0], 12))


def timeline(proof, crowd, rows=12):
    """The programs on each node whenever that changed."""
    changes = [entry for index, entry in enumerate(crowd) if index == 0 or entry[1] != crowd[index - 1][1]]
    proof.table(["seconds", *changes[0][1]], [[seconds, *counts.values()] for seconds, counts in changes[:rows]])
    if len(changes) > rows:
        proof.say(f"and {len(changes) - rows} more changes.")


def crowd_run(lab, words, count, base, label, policy):
    """So many of the same program on node 1: their jobs, the seconds until the last ended, what was moved."""
    choose_policy(lab, policy)
    marks = log_marks(lab)
    jobs = [Job(lab, f"{label}-{number}", words, base) for number in range(count)]
    seconds = finish(jobs, 150)
    return jobs, seconds, moves_since(lab, marks)


def same_outputs(proof, jobs):
    """All have ended well, and have said the same."""
    wrong = [job.name for job in jobs if job.status != 0 or not job.output() or job.output() != jobs[0].output()]
    proof.check(f"all {len(jobs)} programs ended well with the same output" if not wrong else f"wrong: {', '.join(wrong)}", not wrong)


def speeds(proof, bench):
    shares, count = [80, 40, 20], 7
    allowed = 1.25
    proof.title = "nodes of different speeds"
    proof.goal = (f"{count} equal programs started on the largest of three nodes, which have {', '.join(map(str, shares))}% of a CPU: "
                  f"all done in at most {allowed} times what one machine with all the CPU would take (docs/POLICY.md's bound for mixed "
                  "speeds), and before those that stay at home or are started on each node in turn")
    base = bench.directory(proof.name)
    lab = bench.lab(proof, len(shares), shares)
    words = perl_job(16_000_000, 1)
    proof.command(lab.on_node(1, words))
    runs, jobs = [], []
    for policy in ("omig", "round-robin", "home", "omig"):
        done, seconds, moves = crowd_run(lab, words, count, base, f"{len(runs)}-{policy}", policy)
        progress(f"speeds: {policy}: {seconds:.1f} s")
        jobs += done
        mean = sum(job.seconds for job in done) / count
        runs.append((policy, seconds, mean, sum(move["ok"] for move in moves)))
    times = {policy: [run[1] for run in runs if run[0] == policy] for policy in ("omig", "round-robin", "home")}
    ideal = times["home"][0] * shares[0] / sum(shares)
    omig = sum(times["omig"]) / len(times["omig"])
    proof.check(f"{omig / ideal:.2f} times the pooled machine's {ideal:.1f} s (allowed: {allowed}; reckoned from the run at home, "
                f"which had {shares[0]} of {sum(shares)} parts of the CPU)", omig <= allowed * ideal)
    for other in ("home", "round-robin"):
        proof.check(f"{times[other][0] / omig:.2f} times as fast as {other}", omig < times[other][0])
    same_outputs(proof, jobs)
    proof.table(["policy (in this order)", "all done, s", "mean of their ends, s", "moves", "over the pooled machine"],
                [[policy, seconds, mean, moves, f"{seconds / ideal:.2f}"] for policy, seconds, mean, moves in runs])


def moved_by_hand(proof, lab, words, base):
    """How long sqlite3 is away if it is put there; and what the node where it is makes of it if it does not come back."""
    choose_policy(lab, "home")
    sqlite = Job(lab, "sqlite-by-hand", words, base)
    wait_for("sqlite3 to be known", lambda: any(process["pid"] == sqlite.pid for process in lab.processes()), 30)
    proof.command(lab.on_node(1, ["omctl", "migrate", "PID", "node2"]))
    told_by(lab, 1, {"op": "migrate", "pid": sqlite.pid, "to": "node2"})
    left = time.monotonic()
    choose_policy(lab, "omig")
    over = gone_after(45)
    while not over() and not sqlite.ended():
        if any(process["pid"] == sqlite.pid and process["node"] == "node1" for process in lab.processes()):
            break
        time.sleep(TICK_S)
    seconds = time.monotonic() - left
    if over():
        why = told_by(lab, 1, {"op": "why", "pid": sqlite.pid}).get("decision", "it does not say why")
        proof.check(f"moved away by hand, it was not at home again after {seconds:.0f} s", False)
        proof.say(f"Why it stayed away: {why}")
        sqlite.process.kill()
    else:
        proof.check(f"moved away by hand, it was {'at home again' if not sqlite.ended() else 'done'} after {seconds:.1f} s", True)
    finish([sqlite], 60)
    return sqlite


def io(proof, bench):
    proof.title = "who reads and writes stays home"
    proof.goal = ("sqlite3 with a transaction per row, on a node with three programs that compute: it stays home although "
                  "its node is loaded, they leave, and it is done earlier than if all stay; moved away by hand, it is "
                  "brought home")
    rows = 10000
    right = f"{rows}|{rows * (rows - 1) // 2}\n".encode()
    base = bench.directory(proof.name)
    lab = bench.lab(proof, 3, 40)
    script = os.path.join(base, "rows.sql")
    with open(script, "w", encoding="ascii") as out:
        out.write("pragma synchronous=off;\ncreate table rows (number integer primary key, text text);\n")
        for number in range(rows):
            out.write(f"insert into rows values ({number}, 'row {number}');\n")
        out.write("select count(*), sum(number) from rows;\n")
    busy_words = perl_job(1_000_000_000, 1)
    proof.command(lab.on_node(1, busy_words) + ["&"])

    def sqlite_words(number):
        return ["sqlite3", os.path.join(base, f"rows{number}.db"), ".read " + script]
    proof.command(lab.on_node(1, sqlite_words(0)))
    runs, trails = [], []
    for number, policy in enumerate(["home", "omig", "home", "omig"]):
        choose_policy(lab, policy)
        marks, begin = log_marks(lab), time.time()
        busy = [Job(lab, f"busy{number}-{each}", busy_words, base) for each in range(3)]
        sqlite = Job(lab, f"sqlite{number}", sqlite_words(number), base)
        away = [0]

        def look():
            now = places(lab, busy)
            away.append(sum(now.values()) - now["node1"] if now else 0)
        seconds = finish([sqlite], 100, look)
        for job in busy:
            job.process.kill()
        finish(busy, 60)
        progress(f"io: {policy}: {seconds:.1f} s")
        own = [move for move in moves_since(lab, marks) if move["pid"] == sqlite.pid]
        runs.append((policy, seconds, max(away), sum(move["ok"] for move in own)))
        trails += told(own, begin)[1:]
        if sqlite.output() != right:
            proof.check(f"sqlite3 ({policy}) said {sqlite.output()!r} {sqlite.error()}", False)
    at_home, omig = ([run for run in runs if run[0] == policy] for policy in ("home", "omig"))
    proof.check(f"sqlite3 was moved {sum(run[3] for run in omig)} times", not any(run[3] for run in omig))
    proof.check(f"of the three that compute at least {min(run[2] for run in omig)} left", all(run[2] for run in omig))
    ratio = sum(run[1] for run in at_home) / sum(run[1] for run in omig)
    proof.check(f"sqlite3 was done {ratio:.2f} times as fast as when all stay", ratio > 1)
    sqlite = moved_by_hand(proof, lab, sqlite_words("-by-hand"), base)
    if sqlite.status == 0:
        proof.check("its result is right, too", sqlite.output() == right)
    proof.table(["policy (in this order)", "sqlite3, s", "of the others away at most", "moves of sqlite3"], runs)
    proof.say(*trails)
