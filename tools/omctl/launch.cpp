// SPDX-License-Identifier: Apache-2.0
// omctl becomes the command, preloaded. No process is added: pid, descriptors, terminal and exit status are those of an
// ordinary exec. The request to move is left with homed before the exec; it acts when the program's constructor
// announces itself. Without a homed there is no cluster, and the command simply runs here.
//
// What its user says of the program (lib/cluster/job.h) goes two ways: homed is told, which also reaches programs that
// no constructor announces; and it stands in the environment, which outlives homed.
#include "tools/omctl/launch.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <random>

#include "lib/base/paths.h"
#include "lib/client/facts.h"
#include "lib/confine/confine.h"
#include "lib/wire/link.h"
#include "tools/omctl/client.h"

namespace omig {

namespace {

constexpr milliseconds kPatience{5'000};

void preload() {
  const std::string library = find_binary("libomig.so");
  if (library.empty()) {
    say_reason("libomig.so is not next to omctl: the program runs, but cannot move (set OMIG_LIBEXEC)");
    return;
  }
  const char* present = std::getenv("LD_PRELOAD");
  if (present == nullptr || *present == '\0') {
    setenv("LD_PRELOAD", library.c_str(), 1);
  } else if (std::string(present).find(library) == std::string::npos) {
    setenv("LD_PRELOAD", (library + ":" + present).c_str(), 1);
  }
}

// For a program whose constructor will not say it, because it loads no library: a static one, Go's.
void announce() {
  const wire::Announcement message{.pid = getpid()};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = default_state_dir() + "/announce.sock";
  if (path.size() >= sizeof address.sun_path) return;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  sendto(fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
         sizeof address);
  close(fd);
}

// One of the list's nodes that are up. Nothing: `reason` says why there is none.
std::optional<std::string> choose_node(Client& client, const std::string& list, std::string* reason) {
  const auto answer = client.ask({{"op", "nodes"}}, kPatience);
  if (!answer || !answer->value("ok", false)) {
    *reason = "homed does not say which nodes there are";
    return std::nullopt;
  }
  std::vector<std::string> up;
  for (const Json& node : answer->value("nodes", Json::array())) {
    const NodeFacts facts = facts_of(node);
    if (facts.up() && cluster::list_has(list, facts.id).value_or(false)) up.push_back(std::to_string(facts.id));
  }
  if (up.empty()) {
    *reason = fmt::format("no node of {} is up (see omctl nodes)", list);
    return std::nullopt;
  }
  std::random_device random;
  return up[std::uniform_int_distribution<size_t>(0, up.size() - 1)(random)];
}

// Says what is special about this program to homed, if there is one, and into the environment.
void tell_job(Client* client, const cluster::JobChange& change) {
  if (!change.any()) return;
  const char* inherited = std::getenv(cluster::kJobVariable);
  std::string text = cluster::text_of(change.applied_to(cluster::job_from(inherited == nullptr ? "" : inherited)));
  Json request{{"op", "job"}, {"pid", getpid()}};
  if (change.locked) request["lock"] = *change.locked;
  if (change.node) request["node"] = *change.node;
  if (change.kind) request["kind"] = cluster::name_of(*change.kind);
  if (change.decay) request["decay"] = cluster::name_of(*change.decay);
  if (change.disclosure) request["disclosure"] = *change.disclosure;
  if (change.protect_s) request["protect"] = *change.protect_s;
  if (change.protect_mb) request["protect_mb"] = *change.protect_mb;
  if (change.held) request["held"] = *change.held;
  // What it inherits may have been changed since our environment was made: if homed knows us, it knows.
  const auto answer = client == nullptr ? std::nullopt : client->ask(request, kPatience);
  if (answer && answer->value("ok", false)) text = answer->value("job", text);
  setenv(cluster::kJobVariable, text.c_str(), 1);
}

// Empty: it will be sent there, or there is nobody to ask.
std::string place(Client& client, const std::string& node) {
  if (!client.send({{"op", "place"}, {"pid", getpid()}, {"to", node}})) return "";
  const auto answer = client.receive(kPatience);
  return answer && !answer->value("ok", false) ? answer->value("reason", "refused without a reason") : "";
}

// This user's deputy.allow; nothing: he has none, or there is nobody who would let a program leave.
std::optional<std::string> allow_of_user(Client* client) {
  const auto answer = client == nullptr ? std::nullopt : client->ask({{"op", "allow"}}, kPatience);
  if (!answer || !answer->contains("text") || !(*answer)["text"].is_string()) return std::nullopt;
  return (*answer)["text"].get<std::string>();
}

// Empty: from here on we are held to it.
std::string hold_to(const std::string& text) {
  std::string wrong;
  const auto allow = confine::parse_allow(text, &wrong);
  if (!allow) return wrong;
  const passwd* user = getpwuid(getuid());
  const char* home = std::getenv("HOME");
  const std::string library = find_binary("libomig.so");
  const size_t slash = std::min(library.rfind('/'), library.size());
  return confine::confine(*allow, {.home = home != nullptr   ? home
                                           : user != nullptr ? user->pw_dir
                                                             : "",
                                   .binaries = library.substr(0, slash),
                                   .state = default_state_dir()});
}

int execute(const cli::Words& command, const std::optional<std::string>& allow) {
  if (allow) {
    if (const std::string wrong = hold_to(*allow); !wrong.empty()) {
      say_reason(fmt::format("deputy.allow: {}: not started (omctl allow)", wrong));
      return kNotLaunched;
    }
  }
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  const int code = errno;
  say_reason(fmt::format("cannot run {}: {}{}", command[0], std::strerror(code),
                         allow && code == EACCES ? " (by deputy.allow, unless by its mode: omctl allow)" : ""));
  return code == ENOENT ? 127 : 126;  // as shells do
}

}  // namespace

int launch(const Launch& launch, const cli::Words& command) {
  preload();
  announce();
  auto client = Client::connect();
  std::string node = launch.node, problem;
  if (client && !launch.node_list.empty()) node = choose_node(*client, launch.node_list, &problem).value_or("");
  cluster::JobChange job = launch.job;
  if (!node.empty() && node != "home") job.node = node;
  if (job.locked && !job.node) job.node = "";
  const auto allow = allow_of_user(client ? &*client : nullptr);
  if (allow) job.held = true;
  // Last of all the place: from then on homed may move us.
  if (problem.empty()) tell_job(client ? &*client : nullptr, job);
  if (client && problem.empty() && !node.empty()) problem = place(*client, node);
  if (problem.empty()) return execute(command, allow);
  if (launch.strict) {
    say_reason(problem + ": not started (with -F it would start here)");
    return kNotLaunched;
  }
  say_reason(problem + ": the program runs here");
  if (job.node) job.node = "";
  tell_job(&*client, job);
  return execute(command, allow);
}

CLI::Validator node_list_check() {
  const auto check = [](const std::string& text) {
    if (cluster::list_has(text, 1)) return std::string();
    return "needs nodes' numbers like 1,4-6, not " + text;
  };
  return CLI::Validator(check, "");
}

}  // namespace omig
