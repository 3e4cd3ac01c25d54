// SPDX-License-Identifier: Apache-2.0
// omig-host: carries out one departure (depart) or serves one visit (arrive). Started by homed only.
#include <execinfo.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <optional>

#include "homed/host/arrive.h"
#include "homed/host/depart.h"

namespace {

// A host that crashes takes its guests with it: host.log must at least say where.
void last_words(int number) {
  void* frames[48];
  const int count = backtrace(frames, 48);
  dprintf(2, "omig-host %d: crashed with signal %d at\n", getpid(), number);
  backtrace_symbols_fd(frames, count, 2);
  signal(number, SIG_DFL);
  raise(number);
}

// A ticket's key must not stand in a command line, which everybody can read.
std::optional<omig::Ticket> read_ticket(int fd) {
  char text[512];
  const ssize_t got = read(fd, text, sizeof text);
  close(fd);
  if (got <= 0) return std::nullopt;
  return omig::Ticket::from_json(nlohmann::json::parse(text, text + got, nullptr, false));
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) signal(number, last_words);
  CLI::App app{"omig-host: moves one process. Started by homed; nothing here is for people."};
  app.require_subcommand(1);

  omig::host::DepartOptions depart;
  std::string to;
  CLI::App* leave = app.add_subcommand("depart", "a program of this node leaves for another");
  leave->add_option("--pid", depart.pid)->required();
  leave->add_option("--to", to, "A.B.C.D:PORT of the target's homed")->required();
  leave->add_option("--node", depart.node, "the target's name")->required();
  leave->add_option("--state-dir", depart.state_dir)->required();
  leave->add_option("--home", depart.home_name, "this node's name");
  leave->add_option("--patience", depart.patience_s, "seconds for which a broken link is made again");
  leave->add_flag("--multipath", depart.multipath, "links are MPTCP, where both nodes have it");
  leave->add_option("--job", depart.job, "what its user said of it");
  int ticket_fd = -1;
  leave->add_option("--ticket-fd", ticket_fd, "where the target's ticket can be read")->required();

  omig::host::ArriveOptions arrive;
  int fd = -1;
  std::string address, request;
  CLI::App* come = app.add_subcommand("arrive", "a process arrives from another node");
  come->add_option("--fd", fd, "the connection from the source")->required();
  come->add_option("--ticket-fd", ticket_fd, "where its ticket can be read")->required();
  std::vector<int> groups;
  come->add_option("--group-fd", groups, "a cgroup.procs: the guests' cgroup");
  come->add_option("--state-dir", arrive.state_dir)->required();
  come->add_option("--address", address, "where deputies reach this node")->required();
  come->add_option("--node", arrive.node, "this node's name")->required();
  come->add_option("--request", request, "the move request")->required();
  CLI11_PARSE(app, argc, argv);

  const auto ticket = read_ticket(ticket_fd);
  if (!ticket) {
    fmt::print(stderr, "omig-host: no ticket\n");
    return 2;
  }
  if (leave->parsed()) {
    const auto endpoint = omig::Endpoint::parse(to);
    if (!endpoint) {
      fmt::print(stderr, "omig-host: bad address {}\n", to);
      return 2;
    }
    depart.to = *endpoint;
    depart.ticket = *ticket;
    const omig::host::MoveReport report = omig::host::depart(depart);
    fmt::print("{}\n", report.to_json().dump());
    return report.ok ? 0 : 1;
  }
  const auto endpoint = omig::Endpoint::parse(address, 1);
  arrive.request = nlohmann::json::parse(request, nullptr, false);
  if (!endpoint || !arrive.request.is_object()) {
    fmt::print(stderr, "omig-host: bad arguments\n");
    return 2;
  }
  arrive.address = endpoint->address;
  arrive.socket.reset(fd);
  for (const int group : groups) arrive.groups.emplace_back(group);
  arrive.ticket = *ticket;
  const int status = omig::host::arrive(std::move(arrive));
  fflush(nullptr);
  _exit(status);  // threads that still wait for links must not see the visit torn down
}
