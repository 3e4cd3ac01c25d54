// SPDX-License-Identifier: Apache-2.0
// Tests that are told best as a script of node 1: it starts programs, asks homed, and prints what must be.
#pragma once

#include <string>

#include "tests/system/compare.h"

namespace omig::test {

// Every script begins with this.
constexpr const char* kTools = R"py(
import json, os, pty, signal, socket, subprocess, sys, time
def homed(request, node=None):
    place = os.environ["OMIG_DIR"] if node is None else os.path.join(os.path.dirname(os.environ["OMIG_DIR"]), node)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(place + "/homed.sock")
        with s.makefile("rw") as f:
            f.write(json.dumps(request) + "\n")
            f.flush()
            return json.loads(f.readline())
def until(true, what, limit=60):
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, what()
        time.sleep(0.1)  # the interval of asking
def processes(): return {p["pid"]: p for p in homed({"op": "ps"})["processes"]}
def start(text): return subprocess.Popen([sys.executable, "-c", text])
BUSY = "while True: pass"
CALLS = "import os\nfd = os.open('/proc/self/exe', os.O_RDONLY)\nwhile True: os.pread(fd, 1, 0)"
)py";

// What the script prints, or everything that helps to see why it failed.
inline std::string output_of(Lab& lab, const std::string& script) {
  const Outcome outcome = run({.words = lab.on_node(1, {"python3", "-c", kTools + script})}, milliseconds(180'000));
  return outcome.succeeded() ? outcome.out : outcome.describe() + outcome.out + outcome.err + lab.logs();
}

}  // namespace omig::test
