// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>

#include "tools/omctl/client.h"

namespace omig {

void print_move(const Json& move) {
  const i64 at_ms = move.value("at_ms", i64{0});
  const bool ok = move.value("ok", false);
  std::string outcome = ok ? "moved" : "not moved: " + move.value("outcome", "");
  if (move.contains("freeze_ms")) outcome += fmt::format(", frozen for {:.1f} ms", move.value("freeze_ms", 0.0));
  if (const u32 times = move.value("times", 1u); times > 1) outcome += fmt::format(" ({} times)", times);
  fmt::print("{:%Y-%m-%d %H:%M:%S}.{:03} {:<5} {:>7} of {} ({}) {} -> {}: {}\n    {}\n",
             fmt::localtime(static_cast<std::time_t>(at_ms / 1000)), at_ms % 1000, move.value("cause", ""),
             move.value("pid", 0), move.value("home", ""), move.value("command", ""), move.value("from", ""),
             move.value("to", ""), outcome, move.value("reason", ""));
}

int log_main(const cli::Words& words) {
  CLI::App app{"what this node's scheduler moved by itself, what it tried, and why", "omctl log"};
  bool json = false, follow = false;
  u32 most = 20;
  app.add_flag("--json", json, "print JSON, a line per move (docs/JSON.md)");
  app.add_flag("-f,--follow", follow, "go on with every new move, until interrupted");
  app.add_option("-n", most, "so many, the newest (default 20)")->type_name("N")->check(CLI::Range(0u, 1'000'000u));
  cli::example(app, "  omctl log -n 5\n  omctl log --follow");
  if (const auto end = cli::parse(app, words)) return *end;
  auto client = Client::connect();
  if (!client) {
    say_no_homed();
    return 1;
  }
  Json request{{"op", "log"}, {"n", most}};
  do {
    const auto answer = client->ask(request, 2 * kTellTimeout);  // it waits 20 s for news itself
    if (!answer) {
      say_no_answer(*client);
      return 1;
    }
    if (!answer->value("ok", false)) {
      say_reason(answer->value("reason", "refused without a reason"));
      return 1;
    }
    for (const Json& move : answer->at("moves")) {
      if (json) {
        fmt::print("{}\n", move.dump());
      } else {
        print_move(move);
      }
    }
    std::fflush(stdout);
    request = {{"op", "log"}, {"after", answer->value("last", u64{0})}, {"wait", true}};
  } while (follow);
  return 0;
}

}  // namespace omig
