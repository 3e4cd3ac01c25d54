// SPDX-License-Identifier: Apache-2.0
// Processes: where they are and why, moving them, and what was moved.
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "lib/capi/conversation.h"

using namespace omig;
using namespace omig::capi;

struct omig_processes : List<omig_process> {};
struct omig_log : List<omig_log_entry> {
  uint64_t last = 0;
};

namespace {

omig_whereabouts place_named(const std::string& name) {
  constexpr std::array<std::pair<const char*, omig_whereabouts>, 5> kNames{{{"home", OMIG_HOME},
                                                                            {"departing", OMIG_DEPARTING},
                                                                            {"away", OMIG_AWAY},
                                                                            {"returning", OMIG_RETURNING},
                                                                            {"guest", OMIG_GUEST}}};
  for (const auto& [text, place] : kNames)
    if (name == text) return place;
  return OMIG_HOME;
}

// A structure that is handed out alone: the list of one that it stands in is freed with it.
struct Why : omig_why {
  List<char> kept;
};
struct Moved : omig_moved {
  List<char> kept;
};

omig_process process_from(omig_processes& list, const Json& p, const std::string& here, bool guest) {
  if (!p.is_object()) throw std::invalid_argument("no process");
  const std::string state = text_field(p, "state");
  return {.pid = field<pid_t>(p, "pid", 0),
          .uid = field<uid_t>(p, "uid", static_cast<uid_t>(-1)),
          .where = guest ? OMIG_GUEST : place_named(text_field(p, "where")),
          .moving = field(p, "moving", false),
          .node = guest ? list.keep(here) : list.keep(p, "node"),
          .home = guest ? list.keep(p, "home") : list.keep(here),
          .command = list.keep(p, "command"),
          .refusal = list.keep(p, "refusal"),
          .state = state.empty() ? '?' : state[0],
          .threads = field<u32>(p, "threads", 0),
          .moves = field<u32>(p, "moves", 0),
          .cpu_ms = field<u64>(p, "cpu_ms", 0),
          .rss_bytes = field<u64>(p, "rss_bytes", 0),
          .demand = field(p, "demand", 0.0),
          .locked = field(p, "locked", false),
          .kind = list.keep(p, "kind")};
}

int move(Talk& talk, pid_t pid, const char* where, const omig_moved** moved) {
  if (where == nullptr || *where == '\0') return fail(talk, EINVAL, "no node named");
  Json answer;
  if (const int status = ask(talk, {{"op", "migrate"}, {"pid", pid}, {"to", where}}, kAnswerTimeout, &answer);
      status < 0)
    return status;
  if (moved == nullptr) return 0;
  auto result = std::make_unique<Moved>();
  result->node = result->kept.keep(answer, "node");
  result->freeze_ms = field(answer, "freeze_ms", 0.0);
  result->total_ms = field(answer, "total_ms", 0.0);
  result->bytes = field<u64>(answer, "bytes", 0) + field<u64>(answer, "ahead_bytes", 0);
  *moved = result.release();
  return 0;
}

}  // namespace

extern "C" {

int omig_processes_get(omig_conversation* conversation, omig_processes** processes) {
  return guarded(conversation, [&](Talk& talk) {
    if (processes == nullptr) return fail(talk, EINVAL, "nowhere to put the processes");
    Json answer;
    if (const int status = ask(talk, {{"op", "ps"}}, kTellTimeout, &answer); status < 0) return status;
    auto list = std::make_unique<omig_processes>();
    const std::string here = text_field(answer, "node");
    for (const Json& p : answer.at("processes")) list->items.push_back(process_from(*list, p, here, false));
    for (const Json& p : answer.at("guests")) list->items.push_back(process_from(*list, p, here, true));
    *processes = list.release();
    return 0;
  });
}

size_t omig_processes_count(const omig_processes* processes) {
  return processes == nullptr ? 0 : processes->items.size();
}

const omig_process* omig_processes_at(const omig_processes* processes, size_t index) {
  return index < omig_processes_count(processes) ? &processes->items[index] : nullptr;
}

void omig_processes_free(omig_processes* processes) { delete processes; }

int omig_where(omig_conversation* conversation, pid_t pid, char* node, size_t size) {
  return guarded(conversation, [&](Talk& talk) {
    Json answer;
    if (const int status = ask(talk, {{"op", "where"}, {"pid", pid}}, kTellTimeout, &answer); status < 0) return status;
    const std::string name = text_field(answer, "node");
    if (node != nullptr && name.size() >= size) return fail(talk, ERANGE, "the node's name " + name + " is longer");
    if (node != nullptr) std::memcpy(node, name.c_str(), name.size() + 1);
    return static_cast<int>(place_named(text_field(answer, "where")));
  });
}

int omig_why_get(omig_conversation* conversation, pid_t pid, const omig_why** why) {
  return guarded(conversation, [&](Talk& talk) {
    if (why == nullptr) return fail(talk, EINVAL, "nowhere to put the answer");
    Json answer;
    if (const int status = ask(talk, {{"op", "why"}, {"pid", pid}}, kTellTimeout, &answer); status < 0) return status;
    auto result = std::make_unique<Why>();
    result->can_move = field(answer, "can_move", false);
    result->reason = result->kept.keep(answer, "reason");
    result->last_refusal = result->kept.keep(answer, "last_refusal");
    result->policy = result->kept.keep(answer, "policy");
    result->decision = result->kept.keep(answer, "decision");
    result->came_home_for = result->kept.keep(answer, "came_home_for");
    result->came_home_ms_ago = field<i64>(answer, "came_home_ms_ago", -1);
    *why = result.release();
    return 0;
  });
}

void omig_why_free(const omig_why* why) { delete static_cast<const Why*>(why); }

int omig_migrate(omig_conversation* conversation, pid_t pid, const char* where, const omig_moved** moved) {
  return guarded(conversation, [&](Talk& talk) { return move(talk, pid, where, moved); });
}

void omig_moved_free(const omig_moved* moved) { delete static_cast<const Moved*>(moved); }

int omig_migrate_home(omig_conversation* conversation, pid_t pid) {
  return omig_migrate(conversation, pid, "home", nullptr);
}

int omig_balance(omig_conversation* conversation, pid_t pid) {
  return omig_migrate(conversation, pid, "balance", nullptr);
}

int omig_place(omig_conversation* conversation, pid_t pid, const char* where, void (*ready)(void*), void* argument) {
  return guarded(conversation, [&](Talk& talk) {
    if (where == nullptr || *where == '\0') return fail(talk, EINVAL, "no node named");
    Json answer;
    return ask(talk, {{"op", "place"}, {"pid", pid}, {"to", where}}, kAnswerTimeout, &answer, [&](const Json&) {
      if (ready != nullptr) ready(argument);
    });
  });
}

int omig_set_decay(omig_conversation* conversation, pid_t pid, const char* kind) {
  return guarded(conversation, [&](Talk& talk) {
    if (kind == nullptr || *kind == '\0')
      return fail(talk, EINVAL, "no kind of decay named: there are slow, fast, none");
    Json answer;
    return ask(talk, {{"op", "decay"}, {"pid", pid}, {"kind", kind}}, kTellTimeout, &answer);
  });
}

int omig_set_lock(omig_conversation* conversation, pid_t pid, int locked, const char* node) {
  return guarded(conversation, [&](Talk& talk) {
    Json request{{"op", "job"}, {"pid", pid}, {"lock", locked != 0}}, answer;
    if (node != nullptr) request["node"] = node;
    return ask(talk, request, kTellTimeout, &answer);
  });
}

int omig_set_kind(omig_conversation* conversation, pid_t pid, const char* kind) {
  return guarded(conversation, [&](Talk& talk) {
    if (kind == nullptr || *kind == '\0') return fail(talk, EINVAL, "no kind named: there are cpu, io, none");
    Json answer;
    return ask(talk, {{"op", "job"}, {"pid", pid}, {"kind", kind}}, kTellTimeout, &answer);
  });
}

int omig_set_disclosure(omig_conversation* conversation, pid_t pid, int level) {
  return guarded(conversation, [&](Talk& talk) {
    if (level < 0) return fail(talk, EINVAL, "disclosure is 0 to 3");
    Json answer;
    return ask(talk, {{"op", "job"}, {"pid", pid}, {"disclosure", static_cast<unsigned>(level)}}, kTellTimeout,
               &answer);
  });
}

int omig_log_get(omig_conversation* conversation, uint64_t after, unsigned most, int wait, omig_log** log) {
  return guarded(conversation, [&](Talk& talk) {
    if (log == nullptr) return fail(talk, EINVAL, "nowhere to put the log");
    Json answer;
    const Json request{{"op", "log"}, {"n", most}, {"after", after}, {"wait", wait != 0}};
    if (const int status = ask(talk, request, milliseconds(40'000), &answer); status < 0) return status;
    auto list = std::make_unique<omig_log>();
    list->last = field<u64>(answer, "last", 0);
    for (const Json& m : answer.at("moves")) {
      if (!m.is_object()) return not_understood(talk);
      list->items.push_back({.seq = field<u64>(m, "seq", 0),
                             .at_ms = field<i64>(m, "at_ms", 0),
                             .pid = field<pid_t>(m, "pid", 0),
                             .ok = field(m, "ok", false),
                             .home = list->keep(m, "home"),
                             .command = list->keep(m, "command"),
                             .from = list->keep(m, "from"),
                             .to = list->keep(m, "to"),
                             .cause = list->keep(m, "cause"),
                             .reason = list->keep(m, "reason"),
                             .outcome = list->keep(m, "outcome"),
                             .freeze_ms = field(m, "freeze_ms", 0.0),
                             .times = field<u32>(m, "times", 1)});
    }
    *log = list.release();
    return 0;
  });
}

size_t omig_log_count(const omig_log* log) { return log == nullptr ? 0 : log->items.size(); }

const omig_log_entry* omig_log_at(const omig_log* log, size_t index) {
  return index < omig_log_count(log) ? &log->items[index] : nullptr;
}

uint64_t omig_log_last(const omig_log* log) { return log == nullptr ? 0 : log->last; }

void omig_log_free(omig_log* log) { delete log; }
}
