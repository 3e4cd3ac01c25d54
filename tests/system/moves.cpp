// SPDX-License-Identifier: Apache-2.0
#include "tests/system/moves.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "tests/system/fifos.h"
#include "tests/system/mover.h"
#include "tests/system/wait.h"

namespace omig::test {

namespace {

// True when every thread of the process sleeps in the kernel.
bool all_asleep(pid_t pid) {
  std::error_code error;
  for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    std::string stat = read_file(task.path() / "stat");
    size_t end = stat.rfind(')');
    if (end == std::string::npos || end + 2 >= stat.size() || stat[end + 2] != 'S') return false;
  }
  return !error;
}

// The guest of a process that is away, if it is on this machine: the same number, in a namespace of its own. 0: none.
pid_t find_guest(pid_t pid) {
  std::error_code error;
  const std::string own = fmt::format("\t{}\n", pid);
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const pid_t other = atoi(entry.path().filename().c_str());
    if (other <= 0 || other == pid) continue;
    const std::string status = read_file(entry.path() / "status");
    const size_t at = status.find("NSpid:");
    const size_t end = at == std::string::npos ? at : status.find('\n', at);
    if (end != std::string::npos && status.substr(at, end + 1 - at).ends_with(own)) return other;
  }
  return 0;
}

// The deputy of a guest sleeps as well when it has nothing to do: the call that the guest waits for may not have come
// there yet. It has when both are in the same one. Where the kernel does not let us see, it has.
bool calls_arrived(pid_t pid, pid_t guest) {
  std::error_code error;
  for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", guest), error)) {
    if (read_file(task.path() / "wchan").find("seccomp") == std::string::npos) continue;
    const std::string status = read_file(task.path() / "status"), there = read_file(task.path() / "syscall");
    const size_t at = status.find("NSpid:");
    const size_t end = at == std::string::npos ? at : status.find('\n', at);
    if (end == std::string::npos || there.empty()) continue;
    const size_t tid = status.find_last_of('\t', end) + 1;
    const std::string here = read_file(fmt::format("/proc/{}/task/{}/syscall", pid, status.substr(tid, end - tid)));
    if (!here.empty() && here.substr(0, here.find(' ')) != there.substr(0, there.find(' '))) return false;
  }
  return true;
}

bool all_blocked(pid_t pid, pid_t* guest) {
  if (!all_asleep(pid)) return false;
  if (*guest != 0 && !is_alive(*guest)) *guest = 0;
  if (*guest == 0) *guest = find_guest(pid);
  return *guest == 0 || (all_asleep(*guest) && calls_arrived(pid, *guest));
}

class Session {
 public:
  Session(Flavour flavour, Lab* lab, const MovePlan& plan, const fs::path& directory)
      : flavour_(flavour), lab_(lab), plan_(plan), random_(plan.seed), fifos_(directory) {}

  MovedRun drive(Child& child) {
    auto end = Clock::now() + plan_.limit;
    std::vector<Ready> waiting;
    while (!child.ended() && Clock::now() < end && run_.trouble.empty()) {
      pollfd polled[2] = {{fifos_.ready_fd(), POLLIN, 0}, {child.pidfd(), POLLIN, 0}};
      poll(polled, 2, 200);
      Ready ready;
      while (fifos_.next(&ready)) waiting.push_back(ready);
      if (!waiting.empty() && static_cast<int>(waiting.size()) >= waiting.front().parties) {
        wait_until_blocked(waiting);
        if (plan_.instead && first_)
          run_.trouble = plan_.instead(waiting.front().pid), first_ = false;
        else if (flavour_ == Flavour::moved || flavour_ == Flavour::faults)
          move_all(waiting);
        if (flavour_ == Flavour::away && !asked_where_) check_away(child.pid());
        // Again: a call that a move cut short is issued anew a moment after it.
        if (flavour_ != Flavour::native && run_.trouble.empty()) wait_until_blocked(waiting);
        fifos_.go(waiting.size());
        waiting.clear();
      }
    }
    run_.outcome = child.outcome();
    return run_;
  }

 private:
  // In every flavour: what go makes happen may not come before the call that it is meant for.
  static void wait_until_blocked(const std::vector<Ready>& parties) {
    auto end = Clock::now() + std::chrono::seconds(10);
    for (const Ready& ready : parties) {
      pid_t guest = 0;
      while (ready.state == "blocked" && !all_blocked(ready.pid, &guest) && is_alive(ready.pid) && Clock::now() < end)
        pause_ms(1);
    }
  }

  void move_all(const std::vector<Ready>& parties) {
    auto start = Clock::now();
    int moves = first_ ? plan_.first_moves : plan_.later_moves;
    for (const Ready& ready : parties) run_.blocked = run_.blocked || ready.state == "blocked";
    if (!plan_.stays.empty()) moves = 1;
    first_ = false;
    for (int i = 0; i < moves && run_.trouble.empty(); i++)
      for (const Ready& ready : parties) {
        // A margin, because the last move must be over before the program's own time-out is.
        if (ready.limit_ms && Clock::now() > start + milliseconds(ready.limit_ms - 400)) return;
        move(ready, i == moves - 1);
        if (!run_.trouble.empty()) return;
        if (ready.state == "busy") pause_ms(static_cast<int>(random_() % 30));
      }
  }

  void move(const Ready& ready, bool last) {
    if (flavour_ == Flavour::faults) return move_among_faults(ready);
    std::string target = next_target(ready.pid, last);
    std::string answer = migrate(*lab_, ready.pid, target);
    run_.moves.push_back(fmt::format("{} -> {}{}{}", ready.pid, target, answer.empty() ? "" : ": ", answer));
    bool refused = !answer.empty() && answer != "gone";
    if (answer.empty()) run_.succeeded++;
    if (plan_.stays.empty() ? refused : answer.find(plan_.stays) == std::string::npos)
      run_.trouble = plan_.stays.empty()
                         ? run_.moves.back()
                         : fmt::format("{}; expected a refusal with \"{}\"", run_.moves.back(), plan_.stays);
  }

  // Every other move breaks: its program must be where it was, and be able to go elsewhere.
  void move_among_faults(const Ready& ready) {
    std::string& place = places_[ready.pid];
    const size_t turn = counts_[ready.pid]++;
    const bool breaks = turn % 2 == 0;
    const std::string target = breaks             ? (turn % 4 == 0 ? kKillsHosts : kCutsLinks)
                               : place == "node4" ? "home"
                                                  : "node4";
    const std::string answer = migrate(*lab_, ready.pid, target);
    run_.moves.push_back(fmt::format("{} -> {}{}{}", ready.pid, target, answer.empty() ? "" : ": ", answer));
    if (answer == "gone") return;
    if (answer.empty() == breaks) {
      run_.trouble = run_.moves.back() + (breaks ? ": it was to break" : "");
    } else if (breaks) {
      run_.broken++;
    } else {
      run_.succeeded++;
      place = target;
    }
  }

  // Out, on, home, out; then as the seed says, never to where it is. The checks happen away: that is where a call that
  // goes wrong shows.
  std::string next_target(pid_t pid, bool last) {
    static const std::string kFirst[] = {"node2", "node3", "home", "node2"};
    std::string& place = places_[pid];
    size_t& count = counts_[pid];
    std::string target = count < 4 ? kFirst[count] : place;
    while (target == place || (last && target == "home")) {
      auto draw = 1 + random_() % static_cast<unsigned long>(plan_.nodes);
      target = draw == 1 ? "home" : fmt::format("node{}", draw);
    }
    count++;
    return place = target;
  }

  // `omctl run -n` moves the program as soon as it has started, which may be a little after its announcement.
  void check_away(pid_t pid) {
    asked_where_ = true;
    if (!plan_.stays.empty()) return;
    Outcome where;
    auto end = Clock::now() + std::chrono::seconds(5);
    do where = lab_->omctl(1, {"where", std::to_string(pid)});
    while (where.out != "node2\n" && is_alive(pid) && Clock::now() < end);
    run_.moves.push_back("where: " + where.out);
    if (where.out != "node2\n")
      run_.trouble = fmt::format("omctl where {} says {}: {}{}; the program should be on node2", pid, where.describe(),
                                 where.out, where.err);
  }

  static void pause_ms(int ms) { poll(nullptr, 0, ms); }

  Flavour flavour_;
  Lab* lab_;
  MovePlan plan_;
  std::mt19937_64 random_;
  Fifos fifos_;
  MovedRun run_;
  bool first_ = true, asked_where_ = false;
  std::map<pid_t, std::string> places_;
  std::map<pid_t, size_t> counts_;
};

// What we fork executes `omctl lab exec`, which belongs to no node; what that becomes does from the first moment.
bool has_become_the_program(pid_t pid) {
  std::error_code gone;
  static const fs::path ours = fs::read_symlink("/proc/self/exe"), omctl = fs::canonical(omctl_path());
  const fs::path now = fs::read_symlink(fmt::format("/proc/{}/exe", pid), gone);
  return now != ours && now != omctl;
}

// What lives on after the program's end. A guest, which has the program's environment too, dies a moment after its
// deputy.
std::vector<pid_t> left_behind(const fs::path& directory) {
  // A deputy that was killed with something unread resets its links: its host gives it 15 s (lib/link/sealed.cpp).
  auto end = Clock::now() + std::chrono::seconds(20);
  while (true) {
    std::vector<pid_t> left = descendants_of_run(directory);
    std::erase_if(left, [](pid_t pid) { return !is_alive(pid); });
    if (left.empty() || Clock::now() > end) return left;
    poll(nullptr, 0, 5);
  }
}

Command prepared(const Command& command, Flavour flavour, Lab* lab, const fs::path& directory) {
  Command prepared = command;
  if (prepared.directory.empty()) {
    prepared.directory = directory / "cwd";
    fs::create_directory(prepared.directory);
    fs::permissions(prepared.directory, fs::perms::all);
  }
  for (auto& each : program_environment(lab, flavour)) prepared.environment.push_back(each);
  prepared.environment.emplace_back("OMIG_TEST_FIFOS", directory);
  if (flavour == Flavour::away)
    prepared.words.insert(prepared.words.begin(), {omctl_path(), "run", "-n", "node2", "--"});
  if (flavour != Flavour::native) prepared.words = lab->on_node(1, prepared.words);
  return prepared;
}

}  // namespace

const char* name_of(Flavour flavour) {
  switch (flavour) {
    case Flavour::native: return "native";
    case Flavour::away: return "away";
    case Flavour::moved: return "moved";
    case Flavour::faults: return "faults";
  }
  return "?";
}

bool is_alive(pid_t pid) {
  std::string stat = read_file(fmt::format("/proc/{}/stat", pid));
  size_t end = stat.rfind(')');
  return end != std::string::npos && end + 2 < stat.size() && stat[end + 2] != 'Z' && stat[end + 2] != 'X';
}

bool until_it_is(const std::string& name, pid_t pid) {
  const std::string file = fmt::format("/proc/{}/comm", pid);
  return wait_until([&] { return read_file(file) == name + "\n"; }, milliseconds(30'000));
}

std::string migrate(const Lab& lab, pid_t pid, const std::string& target, int home, milliseconds patience) {
  const auto start = Clock::now();
  const auto again = [&](const Outcome& answer) {
    const auto says = [&](const char* words) { return answer.err.find(words) != std::string::npos; };
    // The visited node knows of an end first; home's process must follow at once.
    const bool ends = !answer.succeeded() && (says("it ended") || says("has ended"));
    return (ends || (is_busy(answer) && Clock::now() < start + patience)) && is_alive(pid);
  };
  const Outcome outcome = answer_to_migrate(lab, pid, target, home, again);
  if (outcome.succeeded()) return "";
  if (!is_alive(pid)) return "gone";
  std::string text = outcome.err.empty() ? outcome.describe() : outcome.err;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::vector<std::pair<std::string, std::string>> program_environment(const Lab* lab, Flavour flavour) {
  std::vector<std::pair<std::string, std::string>> environment = {{"LC_ALL", "C"}, {"TZ", "UTC"}};
  if (lab && flavour != Flavour::native) {
    environment.emplace_back("OMIG_TEST_HOST", lab->host_name(1));
    if (lab->has_namespaces()) environment.emplace_back("OMIG_LAB_PRIVATE", lab->private_directory());
  }
  return environment;
}

MovedRun run_program(const Command& command, Flavour flavour, Lab* lab, const MovePlan& plan) {
  fs::path directory = fresh_directory(fs::path(command.words.at(0)).filename().string() + "-" + name_of(flavour));
  fs::permissions(directory, fs::perms::all);
  Session session(flavour, lab, plan, directory);
  MovedRun run;
  {
    Child child(prepared(command, flavour, lab, directory), directory);
    run = session.drive(child);
    std::vector<pid_t> left = left_behind(directory);
    if (!left.empty() && !run.outcome.timed_out && run.trouble.empty())
      run.trouble = fmt::format("process {} was left behind", left.front());
  }
  if (!getenv("OMIG_TEST_KEEP")) fs::remove_all(directory);
  return run;
}

MovedRun run_by_clock(const Command& command, Lab& lab, const MovePlan& plan, bool family, milliseconds native_time) {
  fs::path directory = fresh_directory(fs::path(command.words.at(0)).filename().string() + "-clock");
  std::mt19937_64 random(plan.seed);
  MovedRun run;
  std::map<pid_t, std::string> places;
  {
    Child child(prepared(command, Flavour::moved, &lab, directory), directory);
    wait_until([&] { return child.ended() || has_become_the_program(child.pid()); });
    auto end = Clock::now() + plan.limit;
    auto pause = std::clamp(native_time / 12, milliseconds(5), milliseconds(200));
    while (!child.wait_for_end(pause + milliseconds(random() % 100) * pause.count() / 200) && Clock::now() < end &&
           run.trouble.empty()) {
      pid_t pid = child.pid();
      if (family && random() % 3 != 0) {  // the short-lived ones must not get all the moves
        std::vector<pid_t> all = descendants_of_run(directory);
        std::erase_if(all, [](pid_t each) { return !is_alive(each) || !is_native(each); });
        if (!all.empty()) pid = all[random() % all.size()];
      }
      std::string& place = places[pid];
      std::string target = place;
      while (target == place || (place.empty() && target == "home")) {
        const auto draw = 1 + random() % static_cast<unsigned long>(plan.nodes);
        target = draw == 1 ? "home" : fmt::format("node{}", draw);
      }
      std::string answer = migrate(lab, pid, target, 1, pause);
      run.moves.push_back(fmt::format("{} -> {}{}{}", pid, target, answer.empty() ? "" : ": ", answer));
      const auto says = [&](const std::string& words) { return answer.find(words) != std::string::npos; };
      if (answer.empty())
        run.succeeded++, place = target;
      else if (answer != "gone" && !says("try again") && (plan.may_stay.empty() || !says(plan.may_stay)))
        run.trouble = run.moves.back();
    }
    run.outcome = child.outcome();
  }
  if (!getenv("OMIG_TEST_KEEP")) fs::remove_all(directory);
  return run;
}

}  // namespace omig::test
