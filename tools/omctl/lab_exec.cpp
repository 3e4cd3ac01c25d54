// SPDX-License-Identifier: Apache-2.0
// Becoming a process of a node, and `lab exec`, which then becomes the command: by exec, not as its parent, so that
// the exit status, signals, stops and the terminal need no passing through.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lib/base/paths.h"
#include "tools/omctl/lab_state.h"

namespace omig::lab {

namespace {

// The namespaces live as long as anything in them: the holder is only the usual one to ask.
Fd open_namespaces(const Lab& lab, const Node& node) {
  for (pid_t pid : {node.holder, living_homed(lab, node)})
    if (Fd pidfd = open_member(pid, lab.dir)) return pidfd;
  throw LabError(
      fmt::format("{} is gone (neither its holder {} nor its homed lives): omctl lab down --dir {}, then up again",
                  node.name(), node.holder, lab.dir.string()));
}

// `value` in front of what the variable holds already.
void prepend(const char* variable, const std::string& value, char separator) {
  const char* old = getenv(variable);
  if (!old || !*old) {
    setenv(variable, value.c_str(), 1);
    return;
  }
  std::string text = old;
  if (text == value || text.rfind(value + separator, 0) == 0) return;  // one exec inside the other
  setenv(variable, (value + separator + text).c_str(), 1);
}

}  // namespace

void enter_node(const Lab& lab, const Node& node) {
  if (!node.cgroup.empty()) {
    if (int error = join_cgroup(node.cgroup, getpid()); error < 0)
      throw LabError(fmt::format("cannot join {}: {}{}", node.cgroup.string(), std::strerror(-error),
                                 error == -EACCES ? " (the lab belongs to another user)" : ""));
  }
  setenv("OMIG_DIR", node.state_dir.c_str(), 1);
  if (lab.mode == Mode::loopback) return;
  setenv("OMIG_LAB_PRIVATE", lab.common_private().c_str(), 1);  // for programs that want to know where they are
  // setns puts us at the new namespace's root: the way back is by name, from the same tree.
  std::error_code lost;
  fs::path here = fs::current_path(lost);
  Fd namespaces = open_namespaces(lab, node);
  if (setns(namespaces.get(), CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS) != 0)
    throw LabError(fmt::format("cannot enter {}'s namespaces: {}", node.name(), std::strerror(errno)));
  if (lost || chdir(here.c_str()) != 0)
    throw LabError(fmt::format("the working directory {} is not there on {}", here.string(), node.name()));
}

int exec(const Options& options, const std::string& node_text, const std::vector<std::string>& command) {
  Lab lab = load(options.dir);
  const Node& node = lab.node(node_text);
  std::string preload = find_binary("libomig.so");
  if (preload.empty())
    throw LabError("libomig.so is not next to omctl: build it (tools/dev build) or set OMIG_LIBEXEC");
  enter_node(lab, node);
  prepend("LD_PRELOAD", preload, ':');
  prepend("PATH", own_directory(), ':');
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  int error = errno;
  fmt::print(stderr, "omctl lab exec: cannot run {}: {}\n", command[0], std::strerror(error));
  return error == ENOENT ? 127 : 126;  // as a shell says it
}

// A node's namespaces, kept. Started by `up` with stdout as a pipe to it: "ready", or what went wrong, is said there.
int hold(const fs::path& dir, int id) {
  close_range(3, ~0U, 0);
  std::string name = id == kBridgeId ? "bridge" : "node" + std::to_string(id);
  auto say = [](const std::string& text) {
    if (write(1, text.data(), text.size()) < 0) _exit(1);
  };
  auto fail = [&](const char* what) {
    say(fmt::format("{}: {}: {}", name, what, std::strerror(errno)));
    return 1;
  };
  int flags = id == kBridgeId ? CLONE_NEWNET : CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS;
  if (unshare(flags) != 0) return fail("cannot make namespaces");
  if (id != kBridgeId) {
    fs::path own = dir / name / "private";
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return fail("cannot make its mounts private");
    if (mount(own.c_str(), (dir / "private").c_str(), nullptr, MS_BIND, nullptr) != 0)
      return fail("cannot bind its private directory");
    if (sethostname(name.data(), name.size()) != 0) return fail("cannot set its host name");
  }
  if (chdir("/") != 0) return fail("cannot go to /");
  int null = open("/dev/null", O_RDWR);
  if (null < 0) return fail("cannot open /dev/null");
  say("ready");
  for (int fd : {0, 1, 2}) dup2(null, fd);
  close(null);
  for (;;) pause();
}

}  // namespace omig::lab
