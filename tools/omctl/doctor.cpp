// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include "lib/base/paths.h"
#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"
#include "tools/omctl/probes.h"

namespace omig {

namespace {

Probe probe_binary(const char* name) {
  const std::string path = find_binary(name);
  Probe probe{name, true, !path.empty(), path, ""};
  if (path.empty()) {
    probe.detail = "not found";
    probe.cure = "build or install it, or set OMIG_LIBEXEC to its directory";
  }
  return probe;
}

Probe probe_homed() {
  auto client = Client::connect();
  const auto answer = client ? client->ask({{"op", "ping"}}, kTellTimeout) : std::nullopt;
  Probe probe{"homed running", false, answer.has_value(), default_state_dir(), ""};
  if (answer) {
    probe.detail = fmt::format("{} at {}", answer->value("node", ""), default_state_dir());
  } else {
    probe.cure = "start it with: homed --foreground, or omctl lab up";
  }
  return probe;
}

Probe probe_root() {
  Probe probe{"root", false, geteuid() == 0, "", ""};
  if (!probe.ok) {
    probe.detail =
        "ordinary user: only your own programs move, and lab nodes are loopback addresses without CPU shares";
    probe.cure = "run homed as root to serve all users";
  }
  return probe;
}

}  // namespace

int doctor_main(const cli::Words& words) {
  CLI::App app{"what this machine allows, and what to do about the rest", "omctl doctor"};
  bool json = false;
  cli::json_flag(app, json);
  cli::example(app, "  omctl doctor");
  if (const auto end = cli::parse(app, words)) return *end;
  std::vector<Probe> probes = probe_kernel();
  for (const char* name : {"homed", "omig-host", "omig-stub", "omig-engine", "libomig.so"})
    probes.push_back(probe_binary(name));
  probes.push_back(probe_homed());
  probes.push_back(probe_root());
  bool all = true;
  Json list = Json::array();
  for (const Probe& p : probes) {
    all = all && (p.ok || !p.needed);
    Json item{{"name", p.name}, {"needed", p.needed}, {"ok", p.ok}};
    if (!p.detail.empty()) item["detail"] = p.detail;
    if (!p.cure.empty()) item["cure"] = p.cure;
    list.push_back(std::move(item));
    if (json) continue;
    fmt::print("{:<8} {}{}\n",
               p.ok       ? "ok"
               : p.needed ? "MISSING"
                          : "absent",
               p.name, p.detail.empty() ? "" : " (" + p.detail + ")");
    if (!p.ok) fmt::print("         cure: {}\n", p.cure);
  }
  if (json) {
    fmt::print("{}\n", Json{{"ok", all}, {"probes", list}}.dump());
  } else {
    fmt::print("{}\n", all ? "omig works here" : "omig does not work here until what is MISSING is there");
  }
  return all ? 0 : 1;
}

}  // namespace omig
