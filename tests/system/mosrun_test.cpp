// SPDX-License-Identifier: Apache-2.0
// mosrun and its wrappers: where what they start begins, and what then moves it, here and on the node that it visits.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/system/script.h"

namespace omig::test {

namespace {

// In scripts: run("mosrun", "-L", ...) is one that runs, ended(...) its exit status and its words.
std::string with_names(const std::string& script) {
  return fmt::format("TOOLS = \"{}/\"\n", build_path("tools").string()) + R"py(
def run(name, *words):  # on its own: some outlive the script, whose output would not end
    return subprocess.Popen([TOOLS + name, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
def ended(name, *words):
    done = subprocess.run([TOOLS + name, *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr
def busy(name, *words): return run(name, *words, sys.executable, "-c", BUSY)
def known(child): until(lambda: child.pid in processes(), lambda: "not seen")
def at(child): return processes()[child.pid]["node"]
def guests(node): return {g["pid"]: g for g in homed({"op": "ps"}, node)["guests"]}
)py" + script;
}

TEST(Mosrun, WhatIsLockedIsNotGivenAway) {
  Lab lab(2, {"--balance", "--cpu", "40"});
  EXPECT_EQ(output_of(lab, with_names(R"py(
locked = busy("nomig")
free = [busy("mosrun", "-l") for _ in range(3)]
try:
    until(lambda: sum(processes().get(f.pid, {}).get("node") == "node2" for f in free) >= 2, processes)
    mine, told = processes()[locked.pid], homed({"op": "why", "pid": locked.pid})
    assert mine["moves"] == 0 and mine["locked"] and mine["kind"] == "none", mine
    assert told["locked"] and "it is locked" in told["decision"], told
    # What was locked by mistake can be let go, and goes: the others only make room for it.
    for child in free: child.send_signal(signal.SIGSTOP)
    more = [busy("nomig") for _ in range(3)]
    free += more
    assert homed({"op": "job", "pid": locked.pid, "lock": False})["job"] == "free"
    until(lambda: at(locked) == "node2", lambda: homed({"op": "why", "pid": locked.pid}))
    assert not any(processes()[m.pid]["moves"] for m in more), processes()
    print("let go")
finally:
    for child in [locked, *free]: child.kill()
)py")),
            "let go\n");
}

// The visited node knows of the lock: it gives the others away.
TEST(Mosrun, WhereItIsLockedNobodyPushesItOn) {
  Lab lab(3, {"--balance", "--cpu", "40"});
  EXPECT_EQ(output_of(lab, with_names(R"py(
locked = [busy("runon", "2"), busy("mosrun", "-L", "--node", "node2")]
try:
    until(lambda: all(guests("node2").get(l.pid, {}).get("locked") for l in locked), lambda: guests("node2"))
    free = [busy("omrunon", "node2") for _ in range(3)]
    locked += free
    def gone(p): return p.get("moves", 0) >= 2 and p["node"] != "node2"  # it was there
    until(lambda: sum(gone(processes().get(f.pid, {})) for f in free) >= 2, processes)
    for child in locked[:2]:
        mine, told = processes()[child.pid], homed({"op": "why", "pid": child.pid})
        assert mine["node"] == "node2" and mine["moves"] == 1, mine
        assert "it is locked" in told["decision"], told
    moved = homed({"op": "migrate", "pid": locked[0].pid, "to": "node3"})
    assert moved["ok"], moved  # asked to, it moves: and the lock with it
    until(lambda: guests("node3").get(locked[0].pid, {}).get("locked"), lambda: guests("node3"))
    print("stays")
finally:
    for child in locked: child.kill()
)py")),
            "stays\n");
}

TEST(Mosrun, ALockReachesAProcessThatIsAway) {
  EXPECT_EQ(output_of(shared_lab(), with_names(R"py(
child = busy("mosrun", "2", "-l")
try:
    until(lambda: child.pid in guests("node2"), lambda: guests("node2"))
    told = homed({"op": "job", "pid": child.pid, "lock": True, "kind": "io"})
    assert told["ok"] and told["locked"] and told["kind"] == "io", told
    until(lambda: guests("node2")[child.pid]["locked"] and guests("node2")[child.pid]["kind"] == "io",
          lambda: guests("node2"))
    for wrong in ({"lock": 1}, {"kind": "gpu"}, {"decay": "often"}):
        assert homed({"op": "job", "pid": child.pid, **wrong})["code"] == "invalid", wrong
    assert homed({"op": "job", "pid": child.pid})["job"] == "lock,kind=io"
    print("told")
finally:
    child.kill()
)py")),
            "told\n");
}

// A child that an away program starts, and what that executes at home, begins where its parent is locked.
TEST(Mosrun, WhatALockedProgramStartsBeginsThereToo) {
  EXPECT_EQ(output_of(shared_lab(), with_names(R"py(
PARENT = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]])"
child = run("runon", "3", sys.executable, "-c", PARENT, BUSY)
try:
    def grandchild(): return [p for p in processes().values() if p["command"] == f"{sys.executable} -c {BUSY}"]
    until(lambda: [p for p in grandchild() if p["node"] == "node3" and p["locked_to"] == "3"], processes)
    print("there")
finally:
    child.kill()
    for p in grandchild(): os.kill(p["pid"], signal.SIGKILL)
)py")),
            "there\n");
}

// openMosix' disclosure: what the tools of the visited node say, from the start and changed while it is there.
TEST(Mosrun, TheVisitedNodeTellsWhatIsDisclosed) {
  Lab lab(2);
  EXPECT_EQ(output_of(lab, with_names(R"py(
child = run("omctl", "run", "--disclosure", "1", "-n", "node2", sys.executable, "-c", BUSY)
try:
    def guest(): return guests("node2").get(child.pid)
    until(guest, processes)
    assert guest()["command"] == "-" and "uid" not in guest() and guest()["disclosure"] == 1, guest()
    assert processes()[child.pid]["command"] != "-", "home knows it all"
    def said(level):
        answer = homed({"op": "job", "pid": child.pid, "disclosure": level})
        assert answer["ok"] and answer["disclosure"] == level, answer
    said(2)
    until(lambda: guest().get("uid") == os.getuid(), guest)
    assert guest()["command"] == "-", guest()
    said(3)
    until(lambda: guest()["command"].startswith("python3"), guest)
    said(0)
    until(lambda: guest() is None, guest)
    assert homed({"op": "nodes"}, "node2")["ok"] and homed({"op": "job", "pid": child.pid, "disclosure": 4})["code"] == "invalid"
    assert homed({"op": "migrate", "pid": child.pid, "to": "home"})["ok"]
    assert processes()[child.pid]["disclosure"] == 0
    print("told")
finally:
    child.kill()
)py")),
            "told\n");
}

TEST(Mosrun, ChildrenInheritAlsoFromThoseThatHaveEnded) {
  Lab lab(2);
  EXPECT_EQ(output_of(lab, with_names(R"py(
orphan = run("mosrun", "-i", "-n", "-L", "sh", "-c", f"{sys.executable} -c '{BUSY}' & exec sleep 0.01")
orphan.wait()
def found(): return [p for p in processes().values() if p["command"].endswith(" -c " + BUSY)]
until(found, processes)
print(found()[0]["locked"], found()[0]["kind"], found()[0]["decay"])
inner = busy("mosrun", "-k", "-c", "-f")
until(lambda: processes().get(inner.pid, {}).get("kind") == "cpu", processes)  # it was mosrun before
print(processes()[inner.pid]["locked"], processes()[inner.pid]["kind"], processes()[inner.pid]["decay"])
outer = run("nomig", TOOLS + "mosrun", "-c", sys.executable, "-c", BUSY)  # says nothing of the lock
until(lambda: processes().get(outer.pid, {}).get("kind") == "cpu", processes)
print(processes()[outer.pid]["locked"])
open(os.environ["OMIG_DIR"] + "/pids", "w").write(f"{found()[0]['pid']} {inner.pid} {outer.pid}")
)py")),
            "True io none\nFalse cpu fast\nTrue\n");
  // Nor is it lost with homed.
  lab.kill_homed(1);
  lab.restart_homed(1);
  EXPECT_EQ(output_of(lab, with_names(R"py(
pids = [int(p) for p in open(os.environ["OMIG_DIR"] + "/pids").read().split()]
until(lambda: all(p in processes() for p in pids), processes)
for p in pids:
    print(processes()[p]["locked"], processes()[p]["kind"], processes()[p]["decay"])
    os.kill(p, signal.SIGKILL)
)py")),
            "True io none\nFalse cpu fast\nTrue cpu slow\n");
}

TEST(Mosrun, WhatBelongsToItsFilesGoesHomeAndWhatComputesDoesNot) {
  Lab lab(2, {"--balance"});
  EXPECT_EQ(output_of(lab, with_names(R"py(
def away(child):
    known(child)
    moved = homed({"op": "migrate", "pid": child.pid, "to": "node2"})
    assert moved["ok"], moved
    return child
def goes_home(child): until(lambda: at(child) == "node1", lambda: homed({"op": "why", "pid": child.pid}))
computes = away(run("cpujob", sys.executable, "-c", CALLS))
calls = away(start(CALLS))
try:
    goes_home(calls)
    assert at(computes) == "node2" and processes()[computes.pid]["moves"] == 1, processes()[computes.pid]
    assert "said to be CPU-bound" in homed({"op": "why", "pid": computes.pid})["decision"]
    computes.kill()
    calls.kill()
    calls = away(busy("iojob"))
    goes_home(calls)
    assert "said to be I/O-bound" in homed({"op": "why", "pid": calls.pid})["decision"]
    print("apart")
finally:
    for child in (computes, calls): child.kill()
)py")),
            "apart\n");
}

TEST(Mosrun, SaysWhereItCannotBeAndWhatTheCommandSaid) {
  Lab lab(3);
  EXPECT_EQ(
      output_of(lab, with_names(R"py(
WHERE = "p=$$; while true; do n=$(%somctl where $p); [ $n = node1 ] || break; done; echo $n" % TOOLS
print(ended("mosrun", "9", "true"))
print(ended("mosrun", "-F", "9", "echo", "here"))
print(ended("mosrun", "-j7-9", "true"))
print(ended("runon", "9", "true"), ended("runon", "-F", "9", "sh", "-c", "exit 3")[0])
print(ended("omrunon", "9", "sh", "-c", "exit 4")[0], ended("omsh", "9", "-c", "exit 5")[0])
print(ended("mosrun", "3", "sh", "-c", WHERE)[1:], ended("mosrun", "-j3", "-L", "sh", "-c", WHERE)[1:])
print(ended("mosrun", "-h", "sh", "-c", "exit 6")[0], ended("mosrun", "-l", "2", "/nowhere/at/all"))
print(ended("omsh", "3", "-c", WHERE + '; echo "$0 $1"', "a", "-b")[1:])
seen = set()
for _ in range(30):  # by chance
    if len(seen) < 2: seen.add(ended("mosrun", "-j2-3", "sh", "-c", WHERE)[1])
print(sorted(seen))
)py")),
      "(125, '', 'omctl: no node 9 known here (see omctl nodes): not started (with -F it would start here)\\n')\n"
      "(0, 'here\\n', 'omctl: no node 9 known here (see omctl nodes): the program runs here\\n')\n"
      "(125, '', 'omctl: no node of 7-9 is up (see omctl nodes): not started (with -F it would start here)\\n')\n"
      "(125, '', 'omctl: no node 9 known here (see omctl nodes): not started (with -F it would start here)\\n') 3\n"
      "4 5\n"
      "('node3\\n', '') ('node3\\n', '')\n"
      "6 (127, '', 'omctl: cannot run /nowhere/at/all: No such file or directory\\n')\n"
      "('node3\\na -b\\n', '')\n"
      "['node2\\n', 'node3\\n']\n");
  lab.kill_homed(2);
  EXPECT_EQ(output_of(lab, with_names(R"py(
def second(): return next(n["state"] for n in homed({"op": "nodes"})["nodes"] if n["id"] == 2)
until(lambda: second() == "down", second)
status, out, said = ended("mosrun", "2", "true")
print(status, out, said.count("\n"), said.startswith("omctl: node node2 is down"))
print(ended("mosrun", "2", "-F", "echo", "here")[:2])
print(ended("mosrun", "-j2-3", "-F", "sh", "-c", "exit 7")[0::2])
)py")),
            "125  1 True\n(0, 'here\\n')\n(7, '')\n");
}

// Root's homed, other people's processes: openMosix' rule, asked as whoever it is about.
TEST(Mosrun, WhoMayOrderAProcessAbout) {
  if (geteuid() != 0) GTEST_SKIP() << "not root: there are no other users' processes to ask about";
  EXPECT_EQ(output_of(shared_lab(), with_names(R"py(
import ctypes
child = subprocess.Popen(["sleep", "1000"], user=54321, group=54400, extra_groups=[])
def asked_by(uid, gid, groups, request):
    into, out = os.pipe()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(28, 4, 0, 0, 0)  # PR_SET_SECUREBITS, no setuid fixup: the directory is root's alone
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        answer = homed({**request, "pid": child.pid})
        os.write(out, (answer.get("code") or answer.get("reason") or str(answer["ok"])).encode())
        os._exit(0)
    os.close(out)
    os.wait()
    with os.fdopen(into) as f: return f.read()
try:
    until(lambda: homed({"op": "job", "pid": child.pid})["ok"], lambda: homed({"op": "job", "pid": child.pid}))
    orders = {"op": "job", "lock": True}, {"op": "decay", "kind": "slow"}, {"op": "why"}, {"op": "migrate", "to": "home"}
    strangers = (54322, 54322, []), (54322, 54322, [54321, 54399])
    others = (54321, 54322, []), (54322, 54400, []), (54322, 54322, [54399, 54400]), (0, 0, [])
    for who in strangers + others: print(who[0], [asked_by(*who, order) for order in orders])
finally:
    child.kill()
)py")),
            "54322 ['not permitted', 'not permitted', \"another user's process\", 'not permitted']\n"
            "54322 ['not permitted', 'not permitted', \"another user's process\", 'not permitted']\n"
            "54321 ['True', 'True', 'True', 'True']\n54322 ['True', 'True', 'True', 'True']\n"
            "54322 ['True', 'True', 'True', 'True']\n0 ['True', 'True', 'True', 'True']\n");
}

}  // namespace

}  // namespace omig::test
