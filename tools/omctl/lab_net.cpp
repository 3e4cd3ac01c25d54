// SPDX-License-Identifier: Apache-2.0
// The lab's network: one bridge in a namespace of its own, one veth per node. iproute2 does the work, run inside the
// namespace it works on, so nothing ever appears in the host's network.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tools/omctl/lab_state.h"

namespace omig::lab {

namespace {

// Runs a program in the network namespace of `holder` with `input` on stdin. Throws what it said if it failed.
void run_in_network(const Lab& lab, pid_t holder, const std::string& where, std::vector<std::string> words,
                    const std::string& input) {
  Fd pidfd = open_member(holder, lab.dir);
  if (!pidfd) throw LabError(fmt::format("the process that holds {}'s network is gone", where));
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
    throw LabError(fmt::format("pipe: {}", std::strerror(errno)));
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = fork();
  if (child == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(out[1], 2);
    const char* what = "setns";
    if (setns(pidfd.get(), CLONE_NEWNET) == 0) {
      what = argv[0];
      // Where Debian puts iproute2; a user's PATH often lacks the sbin directories.
      setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
      execvp(argv[0], argv.data());
    }
    dprintf(2, "%s: %s", what, std::strerror(errno));
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  Fd to(in[1]), from(out[0]);
  if (child < 0) throw LabError(fmt::format("fork: {}", std::strerror(errno)));
  // A batch is far smaller than a pipe holds, so this never waits for the reader.
  bool written = write(to.get(), input.data(), input.size()) == static_cast<ssize_t>(input.size());
  to.reset();
  std::string said;
  char buffer[4096];
  for (ssize_t got; (got = read(from.get(), buffer, sizeof buffer)) != 0;) {
    if (got > 0)
      said.append(buffer, static_cast<size_t>(got));
    else if (errno != EINTR)
      break;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!written || status != 0) {
    std::replace(said.begin(), said.end(), '\n', ' ');
    std::string hint = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? " (is iproute2 installed?)" : "";
    throw LabError(fmt::format("{} failed in {}'s network: {}{}", words[0], where, said, hint));
  }
}

// tbf on `device`: MBIT with room for 10 ms of it at once and 50 ms of queue.
std::vector<std::string> rate_command(const std::string& device, int rate_mbit) {
  long burst_bytes = std::max(32768L, rate_mbit * 1'000'000L / 8 / 100);
  return {"tc",
          "qdisc",
          "add",
          "dev",
          device,
          "root",
          "tbf",
          "rate",
          fmt::format("{}mbit", rate_mbit),
          "burst",
          fmt::format("{}b", burst_bytes),
          "latency",
          "50ms"};
}

}  // namespace

void wire_bridge(const Lab& lab) {
  run_in_network(lab, lab.bridge_holder, "the bridge", {"ip", "-batch", "-"},
                 "link set lo up\n"
                 "link add br0 type bridge\n"
                 "link set br0 up\n");
}

void wire_node(const Lab& lab, const Node& node) {
  std::string port = fmt::format("port{}", node.id);
  run_in_network(lab, lab.bridge_holder, "the bridge", {"ip", "-batch", "-"},
                 fmt::format("link add {0} type veth peer name eth0 netns {1}\n"
                             "link set {0} master br0\n"
                             "link set {0} up\n",
                             port, node.holder));
  run_in_network(lab, node.holder, node.name(), {"ip", "-batch", "-"},
                 fmt::format("link set lo up\n"
                             "addr add {}/24 dev eth0\n"
                             "link set eth0 up\n",
                             node.address));
  if (!lab.rate_mbit) return;
  // Both ends: what the node sends, and what all others together send to it.
  run_in_network(lab, node.holder, node.name(), rate_command("eth0", *lab.rate_mbit), "");
  run_in_network(lab, lab.bridge_holder, "the bridge", rate_command(port, *lab.rate_mbit), "");
}

bool loopback_free(const std::string& address) {
  auto endpoint = Endpoint::parse(address, kPort);
  return endpoint && listen_tcp(*endpoint).valid();
}

}  // namespace omig::lab
