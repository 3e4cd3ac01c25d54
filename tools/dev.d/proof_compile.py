# SPDX-License-Identifier: Apache-2.0
"""The proof that short programs gain: a compilation by make -j, with omig, with distcc, and on one node."""
import glob
import hashlib
import os
import shutil
import subprocess
import time

from lab import BUILD, Failed
from proof import Job, Skipped, choose_policy, finish, log_marks, moves_since, progress, told

PACKAGE = "lua5.4"
SOURCES = "deb-src http://deb.debian.org/debian bookworm main\n"


def fetch(proof):
    """The upstream tarball as Debian has it; apt checks the signatures. Kept in the build folder."""
    store = os.path.join(BUILD, "proofs")
    found = glob.glob(os.path.join(store, f"{PACKAGE}_*.orig.tar.*z"))
    if not found:
        os.makedirs(os.path.join(store, "lists", "partial"), exist_ok=True)
        with open(os.path.join(store, "sources.list"), "w", encoding="ascii") as out:
            out.write(SOURCES)
        # Lists of our own: nobody's apt is changed, and root is not needed.
        apt = ["apt-get", "-q", "-o", f"Dir::Etc::sourcelist={store}/sources.list", "-o", "Dir::Etc::sourceparts=-", "-o",
               f"Dir::State::lists={store}/lists"]
        for words in (["update"], ["source", "--download-only", PACKAGE]):
            done = subprocess.run(apt + words, cwd=store, capture_output=True, text=True, check=False, timeout=300)
            if done.returncode != 0:
                raise Skipped(f"apt-get {' '.join(words)}: {done.stderr.strip().splitlines()[-1:]}")
        found = glob.glob(os.path.join(store, f"{PACKAGE}_*.orig.tar.*z"))
    proof.command(f"apt-get source --download-only {PACKAGE}")
    return found[0]


def unpack(tarball, directory):
    os.makedirs(directory)
    subprocess.run(["tar", "xf", tarball, "-C", directory, "--strip-components=1"], check=True)


def objects(directory):
    """What was made of each source, and of all: file -> hash."""
    made = {}
    for name in sorted(glob.glob(os.path.join(directory, "src", "*.o")) + [os.path.join(directory, "src", "lua")]):
        with open(name, "rb") as file:
            made[os.path.basename(name)] = hashlib.sha256(file.read()).hexdigest()
    return made


def start_distccd(lab, proof, base, node):
    words = ["distccd", "--daemon", "--no-detach", "--log-stderr", "--log-level", "warning", "--allow", "10.77.0.0/24",
             "--listen", f"10.77.0.{node}", "--jobs", "4"]
    if node == 2:
        proof.command(lab.on_node(node, words) + ["&"])
    return Job(lab, f"distccd{node}", words, base, node, plain=True)


def compile_(proof, bench):
    if shutil.which("distccd") is None:
        raise Skipped("there is no distcc (apt install distcc)")
    share = 40
    proof.title = "make -j of a C project on four nodes"
    proof.goal = ("the same compilation on one node, on four by omig, and on four by distcc, with equal CPU: omig is faster "
                  "than one node, and than distcc; all results are the same, byte for byte")
    base = bench.directory(proof.name)
    tarball = fetch(proof)
    lab = bench.lab(proof, 4, share)
    daemons = [start_distccd(lab, proof, base, node) for node in (2, 3, 4)]
    os.makedirs(os.path.join(base, "distcc"))
    hosts = "DISTCC_HOSTS=localhost/2 " + " ".join(f"10.77.0.{node}/4" for node in (2, 3, 4))
    make = ["make", "-s", "-C", "src", "-j8", "generic"]
    ways = {"one node": (make, True), "omig": (make, False),
            "distcc": (["env", hosts, f"DISTCC_DIR={base}/distcc", "DISTCC_FALLBACK=0", *make, "CC=distcc gcc"], True)}
    for words, plain in ways.values():
        proof.command(lab.on_node(1, (["env", "-u", "LD_PRELOAD"] if plain else []) + words))
    runs, made, lines = [], {}, []
    tree = os.path.join(base, "tree")  # always the same place: its name may be in what is made
    for number in range(2):
        for way, (words, plain) in ways.items():
            choose_policy(lab, "omig" if way == "omig" else "home")
            shutil.rmtree(tree, ignore_errors=True)
            unpack(tarball, tree)
            marks, begin = log_marks(lab), time.time()
            job = Job(lab, f"{way.replace(' ', '-')}{number}", ["env", "-C", tree, *words], base, plain=plain)
            seconds = finish([job], 120)
            if job.status != 0:
                raise Failed(f"make ({way}) ended with status {job.status}: {job.error()[-500:]}")
            moves = moves_since(lab, marks)
            made[way, number] = objects(tree)
            runs.append((way, seconds, sum(move["ok"] for move in moves)))
            progress(f"compile: {way}: {seconds:.1f} s")
            if way == "omig":
                lines = told(moves, begin)
    for daemon in daemons:
        if daemon.ended():
            raise Failed(f"{daemon.name} ended with status {daemon.status}: {daemon.error()[-300:]}")
        daemon.process.terminate()
    first = next(iter(made.values()))
    differ = [f"{way} {number}" for (way, number), files in made.items() if files != first]
    proof.check(f"{len(first)} files are the same, byte for byte, in all {len(made)} runs" if not differ
                else f"files differ from the first run's: {', '.join(differ)}", not differ and len(first) > 1)
    total = {way: sum(run[1] for run in runs if run[0] == way) for way in ways}
    for other in ("one node", "distcc"):
        proof.check(f"omig is {total[other] / total['omig']:.2f} times as fast as {other}", total["omig"] < total[other])
    proof.table(["way (in this order)", "seconds", "moves"], runs)
    proof.say(*lines)
