// SPDX-License-Identifier: Apache-2.0
#include "homed/allow.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lib/confine/allow.h"

namespace omig {

namespace {

std::string directory_of(const Daemon& d) { return d.config.state_dir + "/deputy.allow"; }
std::string file_of(const Daemon& d, uid_t uid) { return fmt::format("{}/{}", directory_of(d), uid); }

// Empty: done; else why not.
std::string keep(const Daemon& d, uid_t uid, const std::string& text) {
  std::string wrong;
  if (!confine::parse_allow(text, &wrong)) return "deputy.allow, " + wrong;
  mkdir(directory_of(d).c_str(), 0700);
  if (replace_file(file_of(d, uid), text)) return "";
  return fmt::format("cannot write {}: {}", file_of(d, uid), std::strerror(errno));
}

std::string forget(const Daemon& d, uid_t uid) {
  if (unlink(file_of(d, uid).c_str()) == 0 || errno == ENOENT) return "";
  return fmt::format("cannot remove {}: {}", file_of(d, uid), std::strerror(errno));
}

}  // namespace

Json answer_allow(const Daemon& d, const Json& request, const Asker& asker) {
  const uid_t uid = field<u32>(request, "uid", asker.uid);
  if (uid != asker.uid && asker.uid != 0) return refusal("another user's deputy.allow", "not permitted");
  if (const auto it = request.find("text"); it != request.end()) {
    if (!it->is_null() && !it->is_string()) return refusal("text is a string or null", "invalid");
    const std::string wrong = it->is_null() ? forget(d, uid) : keep(d, uid, it->get<std::string>());
    if (!wrong.empty()) return refusal(wrong, "invalid");
  }
  Json answer{{"ok", true}, {"uid", uid}, {"text", nullptr}};
  if (const auto text = read_text_file(file_of(d, uid), confine::kMostAllowBytes)) answer["text"] = *text;
  return answer;
}

std::optional<std::string> why_not_held(const Daemon& d, const Process& process) {
  if (process.job.held || access(file_of(d, process.uid).c_str(), F_OK) != 0) return std::nullopt;
  return "not held to its user's deputy.allow; start it with omctl run (omctl allow)";
}

}  // namespace omig
