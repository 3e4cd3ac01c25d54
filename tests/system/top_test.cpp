// SPDX-License-Identifier: Apache-2.0
// `omctl top`, driven in tmux: keys typed, screens read.
#include <gtest/gtest.h>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

// tmux with a server of its own; `see` waits until the screen holds a text.
const std::string kTerminal = R"(
import atexit, json, os, shutil, socket, subprocess, sys, tempfile, threading, time
omctl = sys.argv[1]
place = tempfile.mkdtemp()
atexit.register(shutil.rmtree, place, ignore_errors=True)
def tmux(*words):
    return subprocess.run(["tmux", "-S", place + "/tmux", "-f", "/dev/null", *words], check=True, capture_output=True, text=True).stdout
def start(): tmux("new-session", "-d", "-x", "80", "-y", "24", omctl + " top -t; echo ended $?; exec cat")
def see(*texts):
    limit = time.monotonic() + 40
    while True:
        screen = tmux("capture-pane", "-p")
        if all(text in screen for text in texts): return screen
        assert time.monotonic() < limit, (texts, screen)
        time.sleep(0.05)
def key(*keys): tmux("send-keys", *keys)
)";

TEST(Top, ShowsALab) {
  const std::string script = kTerminal + R"(
start()
try:
    see("load (100", "nodes 1-4 of 4, 4 up")
    key("m"); see("memory used", "++++")  # how much is used depends on the machine
    key("v"); see("node1 ", "node4 ")
    key("c"); see("COMMAND", "tmux -S", str(os.getpid()), "processes 1-")
    key("c"); see("nodes 1-4 of 4")
    key("q"); see("ended 0")
finally: tmux("kill-server")
print("seen")
)";
  Outcome outcome =
      run({.words = shared_lab().on_node(1, {"python3", "-c", script, omctl_path()})}, milliseconds(120'000));
  EXPECT_EQ(outcome.out, "seen\n") << outcome.describe() << outcome.err;
}

// A thousand nodes, a terminal that changes its size, a homed that goes and comes back: told by a control socket of the
// test's.
TEST(Top, AThousandNodesAndAHomedThatComesBack) {
  const std::string script = kTerminal + R"(
os.environ["OMIG_DIR"] = place
nodes = [{"id": i, "name": f"node{i}", "state": "down" if i == 3 else "up", "told": i, "utilisation": 0.5, "cpus": 1.0, "speed": 1.0,
          "free_bytes": 1 << 30, "total_bytes": 2 << 30, "real_free_bytes": 512 << 20} for i in range(1, 1001)]
answer = json.dumps({"ok": True, "node": "node1", "nodes": nodes, "problems": []}).encode() + b"\n"
answering = threading.Event()
answering.set()
def serve():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place + "/homed.sock")
    listener.listen()
    def loop():
        while True:
            try: link = listener.accept()[0]
            except OSError: return
            link.recv(4096)
            answering.wait()
            try: link.sendall(answer)
            except OSError: pass
            link.close()
    threading.Thread(target=loop, daemon=True).start()
    return listener
listener = serve()
start()
try:
    see("nodes 1-10 of 999, 999 up")
    key("n"); see("nodes 2-11 of 999")
    key("Left"); see("nodes 1-10 of 999")
    key("d"); see("nodes 1-10 of 1000, 999 up", "DEAD")
    key("D"); see("nodes 1-10 of 999")
    key("h"); see("Enter redraws"); key("h"); see("nodes 1-10")
    key("u"); see("utilisation", " 50 ")
    key("m"); see("memory used", " 1024 "); key("r"); see("real memory", " 1536 ")
    key("s"); see("speed times CPUs", " 10000")
    tmux("resize-window", "-x", "120", "-y", "40"); see("nodes 1-15 of 999")
    tmux("resize-window", "-x", "80", "-y", "24"); see("nodes 1-10 of 999")
    answering.clear(); see("homed does not answer")  # and the keys do not wait for it
    begun = time.monotonic()
    for i in range(4):
        key("h"); see("Enter redraws"); key("h"); key("u"); see("utilisation,"); key("l"); see("load (100")
    assert time.monotonic() - begun < 12, time.monotonic() - begun
    answering.set(); see("nodes 1-10 of 999")
    os.unlink(place + "/homed.sock"); listener.close(); see("homed does not answer")
    listener = serve(); see("nodes 1-10 of 999")
    key("Enter"); see("nodes 1-10 of 999")
    key("q"); see("ended 0")
finally: tmux("kill-server")
page = subprocess.run([omctl, "top", "--once", "-d"], capture_output=True, text=True, check=True).stdout
assert len(page.splitlines()) == 1002, page
os.symlink(os.path.realpath(omctl), place + "/mosmon")
page = subprocess.run([place + "/mosmon", "--once"], capture_output=True, text=True, check=True).stdout
assert len(page.splitlines()) == 1001, page
refused = subprocess.run([omctl, "top"], capture_output=True, text=True)
assert refused.returncode == 1 and "needs a terminal" in refused.stderr, refused
print("seen")
)";
  Outcome outcome = run({.words = {"python3", "-c", script, omctl_path()}}, milliseconds(180'000));
  EXPECT_EQ(outcome.out, "seen\n") << outcome.describe() << outcome.err;
}

}  // namespace

}  // namespace omig::test
