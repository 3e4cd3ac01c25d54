// SPDX-License-Identifier: Apache-2.0
#include "tools/omigfs/tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>

#include "lib/base/fields.h"
#include "lib/client/facts.h"
#include "lib/client/settings.h"

namespace omig::tree {

namespace {

constexpr milliseconds kRead{5'000};   // a `cat` does not hang because homed does
constexpr const char* kDown = "-101";  // what openMosix put where a node did not answer
constexpr mode_t kReadOnly = 0444, kWritten = 0644, kOwnersOrder = 0220;

struct File {
  std::string_view name;
  mode_t mode;
};

constexpr auto kAdmin = std::to_array<File>({{"block", kWritten},
                                             {"bring", kWritten},
                                             {"decay-interval", kWritten},
                                             {"expel", kWritten},
                                             {"fast-decay", kWritten},
                                             {"gateways", kWritten},
                                             {"lstay", kWritten},
                                             {"mospe", kReadOnly},
                                             {"nomfs", kWritten},
                                             {"overheads", kReadOnly},
                                             {"quiet", kWritten},
                                             {"slow-decay", kWritten},
                                             {"speed", kWritten},
                                             {"stay", kWritten},
                                             {"version", kReadOnly}});
constexpr auto kNode = std::to_array<File>({{"CPUs", kReadOnly},
                                            {"load", kReadOnly},
                                            {"mem", kReadOnly},
                                            {"rmem", kReadOnly},
                                            {"speed", kReadOnly},
                                            {"status", kReadOnly},
                                            {"tmem", kReadOnly},
                                            {"util", kReadOnly}});
constexpr auto kProcess = std::to_array<File>({{"cantmove", kReadOnly},
                                               {"disclosure", kWritten},
                                               {"goto", kOwnersOrder},
                                               {"lock", kWritten},
                                               {"migrate", kReadOnly | kOwnersOrder},
                                               {"nmigs", kReadOnly},
                                               {"stay", kWritten},
                                               {"where", kReadOnly}});

template <class Files>
const File* named(const Files& files, std::string_view name) {
  const auto found = std::ranges::find(files, name, &File::name);
  return found == files.end() ? nullptr : &*found;
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A path, taken apart: which directory, and which of its files ("": the directory itself).
struct Place {
  enum Kind { root, admin, config, nodes, node, process, self, nothing } kind = nothing;
  u32 id = 0;  // of the node or process
  const File* file = nullptr;
  std::string_view name;
};

Place place_of(std::string_view path) {
  std::vector<std::string_view> words;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    if (end > 0) words.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  if (words.empty()) return {Place::root, 0, nullptr, ""};
  // The words behind the directory's own: none, or one of its files.
  const auto in = [&](Place::Kind kind, u32 id, const auto& files, size_t own) -> Place {
    if (words.size() == own) return {kind, id, nullptr, ""};
    const File* file = words.size() == own + 1 ? named(files, words[own]) : nullptr;
    return file == nullptr ? Place{} : Place{kind, id, file, file->name};
  };
  if (words[0] == "admin") return in(Place::admin, 0, kAdmin, 1);
  if (words[0] == "self") return words.size() == 1 ? Place{Place::self, 0, nullptr, ""} : Place{};
  if (words[0] == "config") return words.size() == 1 ? Place{Place::config, 0, nullptr, ""} : Place{};
  if (words[0] == "nodes") {
    if (words.size() == 1) return {Place::nodes, 0, nullptr, ""};
    const auto id = number<u32>(words[1]);
    return id && *id > 0 && words[1][0] != '0' ? in(Place::node, *id, kNode, 2) : Place{};
  }
  const auto pid = number<pid_t>(words[0]);
  return pid && *pid > 0 && words[0][0] != '0' ? in(Place::process, static_cast<u32>(*pid), kProcess, 1) : Place{};
}

int facts(const Ask& ask, u32 id, NodeFacts* facts) {
  int error = 0;
  const auto answer = ask({{"op", "nodes"}}, kRead, &error);
  if (!answer) return -error;
  const Json* node = node_named(*answer, id == 0 ? "" : std::to_string(id));
  if (node == nullptr) return -ENOENT;
  *facts = facts_of(*node);
  return 0;
}

// There is no such process: then there is no such directory.
int as_of_a_directory(int error) { return error == ESRCH ? -ENOENT : -error; }

int where(const Ask& ask, u32 pid, Json* answer) {
  int error = 0;
  auto found = ask({{"op", "where"}, {"pid", pid}}, kRead, &error);
  if (!found) return as_of_a_directory(error);
  *answer = std::move(*found);
  return 0;
}

// openMosix' interval is in seconds.
i64 unit_of(std::string_view name) { return name == "decay-interval" ? 1000 : 1; }

int read_setting(const Ask& ask, std::string_view name, std::string* text) {
  int error = 0;
  const auto answer = ask({{"op", "settings"}}, kRead, &error);
  if (!answer) return -error;
  const auto held = answer->find("settings");
  const auto value = held == answer->end() ? std::nullopt : value_of(*held, *setting_named(name));
  if (!value) return -ENOSYS;
  *text = std::to_string(*value / unit_of(name));
  return 0;
}

int write_setting(const Ask& ask, std::string_view name, std::string_view text) {
  const auto value = number<i64>(text);
  if (!value || *value > 1'000'000'000) return -EINVAL;
  const auto request = set_request(*setting_named(name), *value * unit_of(name));
  if (!request) return -EINVAL;
  int error = 0;
  return ask(*request, kTellTimeout, &error) ? 0 : -error;
}

int read_node(const Ask& ask, const Place& place, std::string* text) {
  NodeFacts f;
  if (const int status = facts(ask, place.id, &f); status < 0) return status;
  const std::string_view name = place.name;
  if (name == "status") {
    int error = 0;
    const auto settings = f.self ? ask({{"op", "settings"}}, kRead, &error) : std::nullopt;
    if (settings && settings->contains("settings")) f.status = with_settings(f.status, settings->at("settings"));
    *text = std::to_string(f.status);
  } else if (!f.up()) {
    *text = kDown;
  } else if (name == "CPUs") {
    *text = std::to_string(std::max(1L, std::lround(std::ceil(f.cpus))));
  } else {
    *text = name == "load"    ? std::to_string(f.load)
            : name == "speed" ? std::to_string(f.speed)
            : name == "util"  ? std::to_string(f.utilisation)
            : name == "mem"   ? std::to_string(f.free_bytes)
            : name == "rmem"  ? std::to_string(f.real_free_bytes)
                              : std::to_string(f.total_bytes);
  }
  return 0;
}

int read_config(const Ask& ask, std::string* text) {
  int error = 0;
  const auto answer = ask({{"op", "nodes"}}, kRead, &error);
  if (!answer) return -error;
  const auto nodes = answer->find("nodes");
  if (nodes == answer->end() || !nodes->is_array()) return -EPROTO;
  std::vector<std::pair<u32, std::string>> lines;
  for (const Json& node : *nodes) {
    const NodeFacts f = facts_of(node);
    lines.emplace_back(f.id, f.endpoint.substr(0, f.endpoint.find(':')));
  }
  std::ranges::sort(lines);
  for (const auto& [id, address] : lines) *text += std::to_string(id) + " " + address + " 1\n";
  if (!text->empty()) text->pop_back();
  return 0;
}

// What a call home and the bytes of a move cost, as measured: openMosix' overheads were measured once, by hand.
int read_overheads(const Ask& ask, std::string* text) {
  int error = 0;
  const auto answer = ask({{"op", "nodes"}}, kRead, &error);
  if (!answer) return -error;
  const auto nodes = answer->find("nodes");
  if (nodes == answer->end() || !nodes->is_array()) return -EPROTO;
  const auto figure = [](const Json& node, const char* name, double unit) {
    const auto value = node.find(name);
    return value == node.end() || !value->is_number() ? std::string("-")
                                                      : std::to_string(std::lround(value->get<double>() * unit));
  };
  for (const Json& node : *nodes)
    *text += std::to_string(field<u32>(node, "id", 0)) + " " + figure(node, "rtt_ms", 1000) + " " +
             figure(node, "bytes_per_s", 1) + "\n";
  if (!text->empty()) text->pop_back();
  return 0;
}

// It does not leave by itself, whoever has said so: its user, or the node's administrator.
bool stays(const Ask& ask, const Json& why) {
  if (field(why, "locked", false)) return true;
  int error = 0;
  const auto answer = ask({{"op", "settings"}}, kRead, &error);
  if (!answer || !answer->contains("settings")) return false;
  const Json& settings = answer->at("settings");
  return field(settings, "stay", false) || field(settings, "lstay", false);
}

int read_process(const Ask& ask, const Place& place, std::string* text) {
  Json answer;
  if (const int status = where(ask, place.id, &answer); status < 0) return status;
  if (place.name == "nmigs" || place.name == "migrate") {
    *text = std::to_string(field<u32>(answer, "moves", 0));
  } else if (place.name == "where") {
    const std::string kind = text_field(answer, "where");
    if (kind != "away" && kind != "guest") {
      *text = "0";
      return 0;
    }
    int error = 0;
    const auto nodes = ask({{"op", "nodes"}}, kRead, &error);
    if (!nodes) return -error;
    const Json* node = node_named(*nodes, text_field(answer, "node"));
    *text = node == nullptr ? kDown : std::to_string(field<u32>(*node, "id", 0));
  } else {
    int error = 0;
    const auto why = ask({{"op", "why"}, {"pid", place.id}}, kRead, &error);
    if (!why) return as_of_a_directory(error);
    if (place.name == "lock")
      *text = field(*why, "locked", false) ? "1" : "0";
    else if (place.name == "stay")
      *text = stays(ask, *why) ? "1" : "0";
    else if (place.name == "disclosure")
      *text = std::to_string(field<u32>(*why, "disclosure", 0));
    else
      *text = field(*why, "can_move", false) ? "" : text_field(*why, "reason");
  }
  return 0;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank(" \t\r\n\0", 5);
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

}  // namespace

int look(const Ask& ask, std::string_view path, Attributes* attributes) {
  const Place place = place_of(path);
  *attributes = {place.file != nullptr ? S_IFREG | place.file->mode : S_IFDIR | 0555u, 0, 0};
  switch (place.kind) {
    case Place::nothing: return -ENOENT;
    case Place::config: attributes->mode = S_IFREG | kReadOnly; return 0;
    case Place::self: attributes->mode = S_IFLNK | 0777; return 0;
    case Place::node: {
      NodeFacts f;
      return facts(ask, place.id, &f);
    }
    case Place::process: {
      Json answer;
      if (const int status = where(ask, place.id, &answer); status < 0) return status;
      struct stat owner {};  // as /proc tells it; a guest's is nobody here
      if (text_field(answer, "where") != "guest" && stat(("/proc/" + std::to_string(place.id)).c_str(), &owner) == 0) {
        attributes->uid = owner.st_uid;
        attributes->gid = owner.st_gid;
      }
      return 0;
    }
    default: return 0;
  }
}

int list(const Ask& ask, std::string_view path, std::vector<std::string>* names) {
  const Place place = place_of(path);
  if (place.file != nullptr || place.kind == Place::config || place.kind == Place::self) return -ENOTDIR;
  const auto all = [&](const auto& files) {
    for (const File& file : files) names->emplace_back(file.name);
    return 0;
  };
  const auto known = [&](const char* op, std::initializer_list<const char*> lists, const char* key) {
    int error = 0;
    const auto answer = ask({{"op", op}}, kRead, &error);
    if (!answer) return -error;
    std::vector<u32> numbers;
    for (const char* one : lists)
      if (const auto found = answer->find(one); found != answer->end() && found->is_array())
        for (const Json& item : *found) numbers.push_back(field<u32>(item, key, 0));
    std::ranges::sort(numbers);
    const auto twice = std::ranges::unique(numbers);
    numbers.erase(twice.begin(), twice.end());
    for (const u32 n : numbers)
      if (n != 0) names->push_back(std::to_string(n));
    return 0;
  };
  switch (place.kind) {
    case Place::root: *names = {"admin", "config", "nodes", "self"}; return known("ps", {"processes", "guests"}, "pid");
    case Place::admin: return all(kAdmin);
    case Place::nodes: return known("nodes", {"nodes"}, "id");
    case Place::node: return all(kNode);
    case Place::process: return all(kProcess);
    default: return -ENOENT;
  }
}

int read(const Ask& ask, std::string_view path, std::string* text) {
  const Place place = place_of(path);
  text->clear();
  int status = -EISDIR;
  if (place.kind == Place::nothing) return -ENOENT;
  if (place.kind == Place::config) {
    status = read_config(ask, text);
  } else if (place.file == nullptr) {
    return -EISDIR;
  } else if ((place.file->mode & 0444) == 0) {
    return -EACCES;
  } else if (place.kind == Place::node) {
    status = read_node(ask, place, text);
  } else if (place.kind == Place::process) {
    status = read_process(ask, place, text);
  } else if (place.name == "bring" || place.name == "expel") {
    *text = "0";
    status = 0;
  } else if (place.name == "nomfs") {
    *text = "1";
    status = 0;
  } else if (place.name == "overheads") {
    status = read_overheads(ask, text);
  } else if (place.name == "version") {
    *text = "omig " OMIG_VERSION;
    status = 0;
  } else if (place.name == "mospe") {
    NodeFacts f;
    status = facts(ask, 0, &f);
    *text = std::to_string(f.id);
  } else {
    status = read_setting(ask, place.name, text);
  }
  if (status == 0 && !text->empty()) *text += '\n';
  return status;
}

int write(const Ask& ask, std::string_view path, std::string_view raw) {
  const Place place = place_of(path);
  const std::string_view text = trimmed(raw);
  if (place.kind == Place::nothing) return -ENOENT;
  if (place.file == nullptr) return place.kind == Place::config ? -EACCES : -EISDIR;
  if ((place.file->mode & 0222) == 0) return -EACCES;
  if (text.empty()) return -EINVAL;
  int error = 0;
  if (place.kind == Place::process && place.name == "disclosure") {
    const auto level = number<u32>(text);
    if (!level || *level > 3) return -EINVAL;
    return ask({{"op", "job"}, {"pid", place.id}, {"disclosure", *level}}, kTellTimeout, &error) ? 0 : -error;
  }
  if (place.kind == Place::process && (place.name == "lock" || place.name == "stay")) {
    if (text != "0" && text != "1") return -EINVAL;
    return ask({{"op", "job"}, {"pid", place.id}, {"lock", text == "1"}}, kTellTimeout, &error) ? 0 : -error;
  }
  if (place.kind == Place::process) {
    const std::string to = text == "0" ? "home" : text == "-1" ? "balance" : std::string(text);
    const auto moved = ask({{"op", "migrate"}, {"pid", place.id}, {"to", to}}, kAnswerTimeout, &error);
    return moved ? 0 : -error;
  }
  if (place.name == "nomfs") return text == "1" ? 0 : text == "0" ? -EOPNOTSUPP : -EINVAL;
  if (place.name == "bring" || place.name == "expel") {
    if (text != "1") return text == "0" ? 0 : -EINVAL;
    return ask({{"op", place.name}}, kAnswerTimeout, &error) ? 0 : -error;
  }
  return write_setting(ask, place.name, text);
}

bool is_self(std::string_view path) { return place_of(path).kind == Place::self; }

pid_t moved_by(std::string_view path) {
  const Place place = place_of(path);
  const bool moves = place.kind == Place::process && (place.name == "goto" || place.name == "migrate");
  return moves ? static_cast<pid_t>(place.id) : 0;
}

}  // namespace omig::tree
