// SPDX-License-Identifier: Apache-2.0
#include "lib/base/paths.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>

namespace omig {

std::string state_dir_of(const std::function<std::optional<std::string>(std::string_view)>& get, uid_t uid) {
  if (auto dir = get("OMIG_DIR"); dir && !dir->empty()) return *dir;
  if (uid == 0) return "/run/omig";
  if (auto dir = get("XDG_RUNTIME_DIR"); dir && !dir->empty()) return *dir + "/omig";
  return "/tmp/omig-" + std::to_string(uid);
}

std::string default_state_dir() {
  return state_dir_of(
      [](std::string_view name) -> std::optional<std::string> {
        const char* value = std::getenv(std::string(name).c_str());
        if (value == nullptr) return std::nullopt;
        return value;
      },
      geteuid());
}

std::string own_directory() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0 || length == sizeof(path)) return {};
  const std::string text(path, static_cast<size_t>(length));
  return text.substr(0, text.rfind('/'));
}

std::string find_binary(std::string_view name) {
  const auto usable = [](const std::string& path) { return access(path.c_str(), R_OK) == 0; };
  const std::string leaf = "/" + std::string(name);
  if (const char* libexec = std::getenv("OMIG_LIBEXEC"); libexec != nullptr && *libexec != '\0') {
    if (const std::string path = libexec + leaf; usable(path)) return path;
  }
  const std::string own = own_directory();
  if (!own.empty()) {
    // The build tree keeps every binary in its room's folder; ours may be one or two levels below the root. Installed,
    // omctl is in PREFIX/bin and all others are in PREFIX/lib/omig.
    for (const char* up : {"/..", "/../.."}) {
      for (const char* room : {"/preload", "/homed/host", "/homed", "/tools", "/tools/omctl", "/lib/omig", "/bin"}) {
        const std::string path = own + up + room + leaf;
        if (!usable(path)) continue;
        char resolved[PATH_MAX];
        if (realpath(path.c_str(), resolved) == nullptr) continue;
        // A folder of that name (homed/) is not the program of that name (homed/homed).
        if (usable(std::string(resolved) + "/.")) continue;
        return resolved;
      }
    }
    if (usable(own + leaf) && !usable(own + leaf + "/.")) return own + leaf;
  }
  if (const std::string path = "/usr/lib/omig" + leaf; usable(path)) return path;
  return {};
}

}  // namespace omig
