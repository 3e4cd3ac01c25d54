// SPDX-License-Identifier: Apache-2.0
// A guest is scheduled as its deputy is: nice value and policy, of each thread.
#include <gtest/gtest.h>

#include "tests/system/script.h"

namespace omig::test {

namespace {

// `as_guest` says how the guest's threads are scheduled there, as (nice, policy), the main thread first.
constexpr const char* kAsGuest = R"py(
def guest(pid, node): return {g["pid"]: g for g in homed({"op": "ps"}, node)["guests"]}.get(pid, {}).get("local_pid", 0)
def as_guest(pid, node):
    until(lambda: guest(pid, node) > 0, lambda: homed({"op": "ps"}, node))
    tids = sorted(int(tid) for tid in os.listdir("/proc/%d/task" % guest(pid, node)))
    return [(os.getpriority(os.PRIO_PROCESS, tid), os.sched_getscheduler(tid)) for tid in tids]
moved = {}
def move(pid, to):  # one that only gets what others leave over may be too slow to stop: it is asked again
    def done():
        global moved
        moved = homed({"op": "migrate", "pid": pid, "to": to})
        return moved["ok"]
    until(done, lambda: moved)
def seen(pid): until(lambda: pid in processes(), lambda: "not seen")
)py";

TEST(Scheduling, NicenessTravelsFromNodeToNode) {
  EXPECT_EQ(output_of(shared_lab(), std::string(kAsGuest) + R"py(
child = subprocess.Popen(["nice", "-n", "7", sys.executable, "-c", BUSY])
idle = subprocess.Popen(["chrt", "--idle", "0", sys.executable, "-c", BUSY])
try:
    for pid in (child.pid, idle.pid): seen(pid)
    for node in ("node2", "node3"):
        for pid in (child.pid, idle.pid): move(pid, node)
        assert as_guest(child.pid, node) == [(7, os.SCHED_OTHER)], as_guest(child.pid, node)
        assert as_guest(idle.pid, node) == [(0, os.SCHED_IDLE)], as_guest(idle.pid, node)
    move(child.pid, "home")
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 7
    print("nice")
finally:
    child.kill()
    idle.kill()
)py"),
            "nice\n");
}

TEST(Scheduling, ReniceAtHomeReachesTheGuest) {
  EXPECT_EQ(output_of(shared_lab(), std::string(kAsGuest) + R"py(
child = start(BUSY)
try:
    seen(child.pid)
    move(child.pid, "node2")
    assert as_guest(child.pid, "node2") == [(0, os.SCHED_OTHER)], as_guest(child.pid, "node2")
    for nice, policy in ((5, os.SCHED_BATCH), (9, os.SCHED_OTHER)):
        os.setpriority(os.PRIO_PROCESS, child.pid, nice)
        os.sched_setscheduler(child.pid, policy, os.sched_param(0))
        until(lambda: as_guest(child.pid, "node2") == [(nice, policy)], lambda: as_guest(child.pid, "node2"))
    print("reniced")
finally:
    child.kill()
)py"),
            "reniced\n");
}

TEST(Scheduling, AThreadThatSteppedBackWhileAwayStepsBackThere) {
  EXPECT_EQ(output_of(shared_lab(), std::string(kAsGuest) + R"py(
child = subprocess.Popen([sys.executable, "-c", '''
import os, sys, threading
def work():
    os.nice(11)  # Linux: of this thread alone
    while True: pass
sys.stdin.readline()
threading.Thread(target=work, daemon=True).start()
sys.stdin.readline()
'''], stdin=subprocess.PIPE)
try:
    seen(child.pid)
    move(child.pid, "node2")
    child.stdin.write(b"go\n")
    child.stdin.flush()
    wanted = [(0, os.SCHED_OTHER), (11, os.SCHED_OTHER)]
    until(lambda: as_guest(child.pid, "node2") == wanted, lambda: as_guest(child.pid, "node2"))
    move(child.pid, "node3")
    assert as_guest(child.pid, "node3") == wanted, as_guest(child.pid, "node3")
    print("stepped back")
finally:
    child.kill()
)py"),
            "stepped back\n");
}

// Whoever is urgent at home is an ordinary guest: the node is its owner's.
TEST(Scheduling, NoVisitorGoesBeforeTheOwnersPrograms) {
  EXPECT_EQ(output_of(shared_lab(), std::string(kAsGuest) + R"py(
child = start(BUSY)
try:
    seen(child.pid)
    try: os.setpriority(os.PRIO_PROCESS, child.pid, -5)
    except PermissionError: print("ordinary"), sys.exit()
    move(child.pid, "node2")
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert as_guest(child.pid, "node2") == [(own, os.SCHED_OTHER)], as_guest(child.pid, "node2")
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == -5
    print("ordinary")
finally:
    child.kill()
)py"),
            "ordinary\n");
}

}  // namespace

}  // namespace omig::test
