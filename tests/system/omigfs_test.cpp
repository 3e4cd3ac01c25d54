// SPDX-License-Identifier: Apache-2.0
// The file tree in a lab, mounted: cat and echo, whose orders they are, and a homed that is gone.
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

// Mounts at `tree`, in the node's own mount namespace; taken down at the end.
const std::string kMounted = R"PY(
import atexit, errno, os, subprocess, sys, time
omctl, omigfs, place = sys.argv[1:]
tree = os.path.join(place, "tree")
os.mkdir(tree)
subprocess.run([omigfs, tree], check=True)
atexit.register(lambda: subprocess.run(["fusermount3", "-u", "-q", "-z", tree]))
def read(name):
    with open(os.path.join(tree, name)) as file: return file.read()
def shell(text): return subprocess.run(["bash", "-c", text], cwd=tree, capture_output=True, text=True)
)PY";

// Why it cannot be mounted here; "": it can.
std::string no_mount() {
  if (!fs::exists(build_path("tools/omigfs"))) return "omigfs is not built (no libfuse3)";
  if (access("/dev/fuse", R_OK | W_OK) != 0) return "/dev/fuse cannot be opened here";
  if (geteuid() != 0 && access("/usr/bin/fusermount3", X_OK) != 0) return "no fusermount3, and not root";
  return "";
}

void expect_done(const std::string& script, const Lab& lab) {
  const fs::path place = fresh_directory("omigfs");
  fs::permissions(place, fs::perms::owner_all | fs::perms::others_exec);
  const Outcome outcome = run(
      {.words = lab.on_node(1, {"python3", "-c", kMounted + script, omctl_path(), build_path("tools/omigfs"), place})},
      milliseconds(120'000));
  EXPECT_EQ(outcome.out, "done\n") << outcome.describe() << outcome.err;
}

TEST(Omigfs, CatShowsTheClusterAndEchoMovesAProgram) {
  if (const std::string why = no_mount(); !why.empty()) GTEST_SKIP() << why;
  expect_done(R"PY(
assert shell("cat nodes/4/CPUs nodes/4/status").stdout.split() == [str(os.cpu_count()), "1"], shell("cat nodes/4/*")
assert sorted(os.listdir(tree + "/nodes")) == ["1", "2", "3", "4"]
assert int(read("nodes/2/tmem")) >= int(read("nodes/2/mem")) > 1 << 20
assert read("admin/mospe") == "1\n" and len(read("config").splitlines()) == 4
program = subprocess.Popen(["sleep", "1000"])
pid = str(program.pid)
try:
    while pid not in os.listdir(tree): time.sleep(0.02)
    assert read(pid + "/where") == "0\n" and read(pid + "/cantmove") == "", read(pid + "/cantmove")
    moved = shell(f"echo 2 > {pid}/goto && cat {pid}/where {pid}/nmigs")
    assert moved.stdout == "2\n1\n", moved
    assert subprocess.run([omctl, "where", pid], capture_output=True).stdout == b"node2\n"
    moved = shell(f"echo home > {pid}/goto && cat {pid}/where {pid}/nmigs")
    assert moved.stdout == "0\n2\n", moved
    for order, reason in (("echo 9 > %s/goto", "No such device or address"), ("echo 1 > %s/where", "Permission denied"),
                          ("cat %s/goto", "Permission denied"), ("cat nodes/9/load %s/where", "No such file or directory")):
        refused = shell(order % pid)
        assert refused.returncode == 1 and reason in refused.stderr, refused
finally:
    program.kill()
    program.wait()
print("done")
)PY",
              shared_lab());
}

TEST(Omigfs, EchoAdministersTheNode) {
  if (const std::string why = no_mount(); !why.empty()) GTEST_SKIP() << why;
  expect_done(R"PY(
for name, value in ("block", "1"), ("quiet", "1"), ("stay", "1"), ("speed", "15000"), ("decay-interval", "90"), ("fast-decay", "300"):
    before = read("admin/" + name)
    assert before != value + "\n", (name, before)
    changed = shell(f"echo {value} > admin/{name} && cat admin/{name}; cat nodes/1/status; echo {before.strip()} > admin/{name}")
    status = {"block": "3", "quiet": "17", "stay": "5"}.get(name, "1")
    assert changed.stdout == f"{value}\n{status}\n" and changed.stderr == "", (name, changed)
    assert read("admin/" + name) == before, name
refused = shell("echo 2 > admin/block")
assert refused.returncode == 1 and "Invalid argument" in refused.stderr, refused
program = subprocess.Popen(["sleep", "1000"])
try:
    while str(program.pid) not in os.listdir(tree): time.sleep(0.02)
    moved = shell(f"echo 3 > {program.pid}/goto && cat {program.pid}/where && echo 1 > admin/bring && cat {program.pid}/where admin/lstay; echo 0 > admin/lstay")
    assert moved.stdout == "3\n0\n1\n" and moved.stderr == "", moved
finally:
    program.kill()
    program.wait()
print("done")
)PY",
              shared_lab());
}

// Who waits for the file system cannot be frozen: the order is carried out when the write is over.
TEST(Omigfs, AProgramSendsItselfAway) {
  if (const std::string why = no_mount(); !why.empty()) GTEST_SKIP() << why;
  expect_done(R"PY(
me = str(os.getpid())
for to, node in (("2", "2"), ("3", "3"), ("home", "0")):
    with open(f"{tree}/{me}/goto", "w") as file: file.write(to)
    limit = time.monotonic() + 30
    while read(me + "/where").strip() != node:
        assert time.monotonic() < limit, (node, read(me + "/where"), read(me + "/cantmove"))
        time.sleep(0.05)
print("done")
)PY",
              shared_lab());
}

// At home and away: `self` is whoever looks, in each of its threads.
TEST(Omigfs, AProgramSaysItsOwnDisclosure) {
  if (const std::string why = no_mount(); !why.empty()) GTEST_SKIP() << why;
  expect_done(R"PY(
import threading
me = str(os.getpid())
def says(level):
    with open(f"{tree}/self/disclosure", "w") as file: file.write(level)
    assert read("self/disclosure") == level + "\n", read("self/disclosure")
    assert os.readlink(tree + "/self") == me
says("1")
for to in ("node2", "node3", "home"):
    subprocess.run([omctl, "migrate", me, to], check=True)
    says("0")
    thread = threading.Thread(target=says, args=("2",))
    thread.start()
    thread.join()
    assert read(me + "/disclosure") == "2\n"
print("done")
)PY",
              shared_lab());
}

TEST(Omigfs, OrdersCountAsTheirUsers) {
  if (const std::string why = no_mount(); !why.empty()) GTEST_SKIP() << why;
  if (geteuid() != 0) GTEST_SKIP() << "not root: there is one user only";
  expect_done(R"PY(
def become_user():
    os.setgroups([]); os.setgid(54321); os.setuid(54321)
program = subprocess.Popen(["sleep", "1000"])
own = subprocess.Popen(["sleep", "1000"], preexec_fn=become_user)
def order(process, to):
    child = subprocess.run(["bash", "-c", f"echo {to} > {tree}/{process.pid}/goto"], cwd="/", preexec_fn=become_user, capture_output=True, text=True)
    return child.returncode, child.stderr.strip().split(": ")[-1]
try:
    while not {str(program.pid), str(own.pid)} <= set(os.listdir(tree)): time.sleep(0.02)
    assert os.stat(f"{tree}/{own.pid}/goto").st_uid == 54321
    assert order(program, "2") == (1, "Operation not permitted"), order(program, "2")
    assert read(f"{program.pid}/where") == "0\n"
    assert order(own, "2") == (0, ""), order(own, "2")
    assert read(f"{own.pid}/where") == "2\n"
    assert order(own, "home") == (0, "")
    refused = subprocess.run(["bash", "-c", f"echo 1 > {tree}/admin/block"], cwd="/", preexec_fn=become_user, capture_output=True, text=True)
    assert refused.returncode == 1 and "Operation not permitted" in refused.stderr and read("admin/block") == "0\n", refused
finally:
    for process in program, own:
        process.kill()
        process.wait()
print("done")
)PY",
              shared_lab());
}

// As "nobody", for fusermount3 wants a user with a name. /dev/fuse, which may be closed to users, is another one for
// him: in a mount namespace of the test's own.
TEST(Omigfs, WithoutRoot) {
  if (const std::string why = no_mount(); !why.empty()) GTEST_SKIP() << why;
  if (geteuid() != 0) GTEST_SKIP() << "not root: cannot become somebody else";
  const fs::path place = fresh_directory("omigfs-user");
  fs::permissions(place, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  for (const char* name : {"homed/homed", "tools/omigfs"})
    fs::copy_file(build_path(name), place / fs::path(name).filename());
  const std::string script = R"SH(
set -eu
cd "$1"; mknod -m 666 fuse c 10 229; mount --bind fuse /dev/fuse
mkdir run; chown nobody run; unset OMIG_DIR LD_PRELOAD
exec setpriv --reuid nobody --regid nogroup --clear-groups env XDG_RUNTIME_DIR="$1/run" bash -euc '
./homed --id 7 --name alone --listen 127.0.0.1:17999
trap "kill \$(cat run/omig/homed.pid)" EXIT
./omigfs
cat run/omig/hpc/admin/mospe run/omig/hpc/config
echo 1 > run/omig/hpc/admin/block; cat run/omig/hpc/nodes/7/status
fusermount3 -u run/omig/hpc
[ ! -e run/omig/hpc/admin ]'
)SH";
  const Outcome outcome = run({.words = {"unshare", "-m", "bash", "-c", script, "-", place}}, milliseconds(60'000));
  EXPECT_EQ(outcome.out, "7\n7 127.0.0.1 1\n3\n") << outcome.describe() << outcome.err;
}

TEST(Omigfs, WithoutHomedItSaysSo) {
  if (const std::string why = no_mount(); !why.empty()) GTEST_SKIP() << why;
  expect_done(R"PY(
home = os.path.join(place, "state")
os.mkdir(home, 0o700)
other = os.path.join(place, "other")
os.mkdir(other)
subprocess.run([omigfs, "--state-dir", home, other], check=True)
try:
    assert os.listdir(other + "/admin")
    for name in "nodes/1/load", "4711/where", "admin/block":
        began = time.monotonic()
        try: open(os.path.join(other, name)).read()
        except OSError as error: assert error.errno == errno.ENOTCONN, (name, error)
        else: raise AssertionError(name)
        assert time.monotonic() - began < 5, name
    import socket
    silent = socket.socket(socket.AF_UNIX)  # one that hangs: it takes the call, and says nothing
    silent.bind(home + "/homed.sock")
    silent.listen(8)
    try: open(other + "/admin/mospe").read()
    except OSError as error: assert error.errno == errno.ETIMEDOUT, error
    else: raise AssertionError("an answer")
finally: subprocess.run(["fusermount3", "-u", "-q", "-z", other])
print("done")
)PY",
              shared_lab());
}

}  // namespace

}  // namespace omig::test
