// SPDX-License-Identifier: Apache-2.0
// Programs that belong at home: those that read and write much, and those that somebody at a terminal talks to.
#include <gtest/gtest.h>

#include "tests/system/script.h"

namespace omig::test {

namespace {

TEST(Affinity, AGuestThatCallsHomeAllTheTimeIsDrawnHome) {
  Lab lab(2, {"--balance"});
  EXPECT_EQ(output_of(lab, R"py(
child = start(CALLS)
try:
    until(lambda: child.pid in processes(), lambda: "not seen")
    moved = homed({"op": "migrate", "pid": child.pid, "to": "node2"})
    assert moved["ok"], moved
    until(lambda: processes()[child.pid]["where"] == "home", lambda: homed({"op": "why", "pid": child.pid}))
    assert processes()[child.pid]["moves"] == 2, processes()[child.pid]
    print("home")
finally:
    child.kill()
)py"),
            "home\n");
}

TEST(Affinity, InACrowdThoseThatComputeLeaveAndTheOneThatReadsStays) {
  Lab lab(2, {"--balance", "--cpu", "40"});
  EXPECT_EQ(output_of(lab, R"py(
assert homed({"op": "policy", "name": "home"})["ok"]
reader = start(CALLS)
busy = [start(BUSY) for _ in range(3)]
try:
    until(lambda: processes().get(reader.pid, {}).get("demand", 0) >= 0.5 and
                  homed({"op": "decay", "pid": reader.pid})["calls_per_s"] > 5000, processes)
    assert homed({"op": "policy", "name": "omig"})["ok"]
    until(lambda: sum(p["where"] == "away" for p in processes().values()) >= 2, processes)
    assert processes()[reader.pid]["moves"] == 0, processes()
    print("stays")
finally:
    for child in [reader, *busy]: child.kill()
)py"),
            "stays\n");
}

TEST(Affinity, WhoSitsAtATerminalIsNotMovedAway) {
  Lab lab(2, {"--balance", "--cpu", "40"});
  EXPECT_EQ(output_of(lab, R"py(
talker, terminal = pty.fork()
if talker == 0:  # works for a moment after every line, as an editor does
    work = "import sys\nfor line in sys.stdin:\n  for i in range(200000): pass\n"
    os.execv(sys.executable, [sys.executable, "-c", work])
busy = [start(BUSY) for _ in range(3)]
def speak():
    os.write(terminal, b"x\n")
    os.read(terminal, 1000)  # its echo
    return sum(p["where"] == "away" for p in processes().values()) >= 1
try:
    until(speak, processes)
    why = ""
    def told():
        global why
        speak()
        why = homed({"op": "why", "pid": talker}).get("decision", "")
        return "foreground of a terminal" in why
    until(told, lambda: why)
    assert processes()[talker]["moves"] == 0, processes()
    asked = homed({"op": "migrate", "pid": talker, "to": "node2"})
    assert asked["ok"], asked
    print("asked")
finally:
    for child in busy: child.kill()
    os.kill(talker, signal.SIGKILL)
)py"),
            "asked\n");
}

// Another process opens the file whose mapping it has taken along: homed brings it home by itself, and says so.
TEST(Affinity, WhoIsBroughtHomeIsInTheLog) {
  EXPECT_EQ(output_of(shared_lab(), R"py(
import mmap, tempfile
pid = os.getpid()
with tempfile.NamedTemporaryFile() as file:
    file.truncate(4096)
    opener = subprocess.Popen(["sh", "-c", f"read x; exec 3<>{file.name}; read x"], stdin=subprocess.PIPE)
    memory = mmap.mmap(file.fileno(), 4096)
    last = homed({"op": "log"})["last"]
    moved = homed({"op": "migrate", "pid": pid, "to": "node2"})
    assert moved["ok"], moved
    opener.stdin.write(b"go\n")
    opener.stdin.flush()
    mine = []
    def told():
        global mine
        mine = [m for m in homed({"op": "log", "after": last})["moves"] if m["pid"] == pid]
        return mine
    until(told, lambda: homed({"op": "why", "pid": pid}))
    print(mine[0]["cause"], mine[0]["ok"], mine[0]["from"], mine[0]["to"])
    opener.stdin.close()
    opener.wait()
)py"),
            "home True node2 node1\n");
}

TEST(Affinity, DecayIsTheProcessOwnAndItsChildrens) {
  EXPECT_EQ(output_of(shared_lab(), R"py(
print(homed({"op": "decay"}))
print(homed({"op": "decay", "interval_ms": 0})["ok"], homed({"op": "decay", "slow": 1001})["ok"])
print(homed({"op": "decay", "interval_ms": 60000, "slow": 900, "fast": 205}) == homed({"op": "decay"}))
homed({"op": "decay", "interval_ms": 1000, "slow": 975, "fast": 926})
pid = os.getpid()
until(lambda: pid in processes(), lambda: "not seen")
print(homed({"op": "decay", "pid": pid})["kind"], homed({"op": "decay", "pid": pid, "kind": "none"})["kind"])
print(homed({"op": "decay", "pid": pid, "kind": "sideways"})["reason"])
child = start(BUSY)
until(lambda: child.pid in processes(), lambda: "not seen")
print(homed({"op": "decay", "pid": child.pid})["kind"])
child.kill()
)py"),
            "{'fast': 926, 'interval_ms': 1000, 'ok': True, 'slow': 975}\nFalse False\nTrue\nslow none\n"
            "no decay sideways: there are slow, fast, none\nnone\n");
}

}  // namespace

}  // namespace omig::test
