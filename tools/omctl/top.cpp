// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/top.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"
#include "tools/omctl/top_model.h"

#define NCURSES_NOMACROS 1
#include <ncurses.h>

namespace omig {

namespace {

constexpr milliseconds kPatience{3000};  // for homed's answer, before it is said that there is none
constexpr milliseconds kRefresh{1000};

// homed is asked beside the keys: they work while it does not answer. One connection, one question at a time, so that a
// homed that hangs finds one question when it goes on and not a queue; a homed that was restarted is found again.
class Asking {
 public:
  using Clock = std::chrono::steady_clock;

  void ask(const char* op) {
    if (asked_) return;
    if (!client_ || client_->ended()) client_ = Client::connect();
    since_ = Clock::now();
    asked_ = client_ && client_->send({{"op", op}});
    if (!asked_) lose();
  }
  // The answer, if it is there by now.
  std::optional<Json> answer() {
    if (!asked_) return std::nullopt;
    auto answer = client_->receive(milliseconds(0));
    if (answer) asked_ = silent_ = false;
    if (!answer && client_->ended()) lose();
    if (answer && answer->value("ok", false)) return answer;
    return std::nullopt;
  }
  bool asked() const { return asked_; }
  bool silent() const { return silent_ || (asked_ && Clock::now() - since_ > kPatience); }
  int fd() const { return asked_ ? client_->fd() : -1; }

 private:
  void lose() {
    client_.reset();
    asked_ = false;
    silent_ = true;
  }

  std::optional<Client> client_;
  Clock::time_point since_;
  bool asked_ = false, silent_ = false;
};

int letter_of(int key) {
  if (key == KEY_LEFT || key == KEY_UP) return 'p';
  if (key == KEY_RIGHT || key == KEY_DOWN) return 'n';
  return key == KEY_ENTER ? '\n' : key;
}

void draw(const std::vector<std::string>& lines) {
  erase();
  for (size_t row = 0; row < lines.size(); ++row) mvaddstr(static_cast<int>(row), 0, lines[row].c_str());
  refresh();
}

int full_screen(TopView view, Json nodes) {
  SCREEN* screen = newterm(nullptr, stdout, stdin);
  if (screen == nullptr) {
    say_reason("top: this terminal is not known (TERM); try omctl top --once");
    return 1;
  }
  cbreak();
  noecho();
  keypad(stdscr, true);
  curs_set(0);
  timeout(0);
  Json ps = Json::object();
  Asking asking;
  auto due = Asking::Clock::now() + kRefresh;
  const auto take_answer = [&] {
    auto fresh = asking.answer();
    if (fresh && fresh->contains("processes") != view.processes) due = Asking::Clock::now();  // asked before the key
    if (fresh && fresh->contains("processes")) ps = std::move(*fresh);
    if (fresh && fresh->contains("nodes")) nodes = std::move(fresh->at("nodes"));
  };
  for (bool quit = false; !quit;) {
    const auto rows = static_cast<size_t>(std::max(1, getmaxy(stdscr)));
    const auto columns = static_cast<size_t>(std::max(2, getmaxx(stdscr))) - 1;
    const std::string status = asking.silent() ? "homed does not answer: this is what it said last; trying again" : "";
    draw(view.processes ? top_processes(ps, view, rows, columns, status)
                        : top_picture(nodes, view, rows, columns, status));
    const auto left = std::chrono::ceil<milliseconds>(due - Asking::Clock::now()).count();
    pollfd entries[2] = {{STDIN_FILENO, POLLIN, 0}, {asking.fd(), POLLIN, 0}};
    poll(entries, 2, static_cast<int>(std::clamp<i64>(left, 0, 1000)));
    // A terminal that is gone answers ERR at once, for ever.
    if (isatty(STDIN_FILENO) == 0) break;
    bool now = Asking::Clock::now() >= due;
    for (int key = getch(); key != ERR && !quit; key = getch()) {
      const bool had_processes = view.processes;
      const TopKey meaning = key == KEY_RESIZE ? TopKey::none : top_key(view, letter_of(key));
      quit = meaning == TopKey::quit;
      if (meaning == TopKey::redraw) clearok(stdscr, true);
      now = now || meaning == TopKey::redraw || view.processes != had_processes;
    }
    take_answer();
    if (!now) continue;
    asking.ask(view.processes ? "ps" : "nodes");
    due = Asking::Clock::now() + kRefresh;
  }
  endwin();
  delscreen(screen);
  return 0;
}

}  // namespace

int top_main(const cli::Words& words) {
  CLI::App app{"the cluster on a full screen, a bar per node; h tells the keys", "omctl top"};
  TopView view;
  bool once = false, json = false;
  app.add_flag("-d", view.dead, "show nodes that are down");
  app.add_flag("-t", view.count, "tell how many nodes are up");
  app.add_flag("--once", once, "print one page, a line per node, and end");
  app.add_flag("--json", json, "print what omctl nodes --json prints, and end");
  cli::example(app, "  omctl top -t\n  omctl top --once");
  if (const auto end = cli::parse(app, words)) return *end;
  if (json) return nodes_command(true);
  if (!once && (isatty(STDOUT_FILENO) == 0 || isatty(STDIN_FILENO) == 0)) {
    say_reason("top: needs a terminal for input and output; try omctl top --once");
    return 1;
  }
  auto client = Client::connect();
  if (!client) {
    say_no_homed();
    return 1;
  }
  const auto answer = client->send({{"op", "nodes"}}) ? client->receive(kPatience) : std::nullopt;
  if (!answer || !answer->contains("nodes")) {
    say_no_answer(*client);
    return 1;
  }
  Json nodes = answer->at("nodes");
  if (!once) return full_screen(view, std::move(nodes));
  view.vertical = false;
  for (const std::string& line : top_picture(nodes, view, nodes.size() + 2, 79, ""))
    if (!line.empty()) fmt::print("{}\n", line);
  return 0;
}

}  // namespace omig
