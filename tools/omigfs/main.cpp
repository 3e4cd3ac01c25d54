// SPDX-License-Identifier: Apache-2.0
// omigfs: the tree (tree.h) as a file system, by libfuse's high-level interface. A file's text is made when it is
// opened, so that a reader sees one state of things; a write is one order, and returns what became of it.
#define FUSE_USE_VERSION 312
#include <fcntl.h>
#include <fmt/format.h>
#include <fuse.h>
#include <fuse_log.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "lib/base/paths.h"
#include "lib/cli/command_line.h"
#include "tools/omigfs/caller.h"
#include "tools/omigfs/tree.h"

namespace {

using namespace omig;

std::string state_dir;  // set before the mount

tree::Caller caller() {
  const fuse_context* context = fuse_get_context();
  tree::Caller caller{context->uid, context->gid, {}};
  if (caller.uid == 0 || geteuid() != 0) return caller;
  caller.groups.resize(1024);
  const int count = fuse_getgroups(static_cast<int>(caller.groups.size()), caller.groups.data());
  caller.groups.resize(static_cast<size_t>(std::clamp(count, 0, 1024)));
  return caller;
}

tree::Ask ask() { return tree::ask_as(state_dir, caller()); }

// The process of a thread; FUSE tells the thread.
pid_t process_of(pid_t thread) {
  pid_t process = 0;
  if (FILE* file = std::fopen(fmt::format("/proc/{}/status", thread).c_str(), "re")) {
    char line[256];
    while (process == 0 && std::fgets(line, sizeof line, file) != nullptr) std::sscanf(line, "Tgid: %d", &process);
    std::fclose(file);
  }
  return process;
}

// The kernel takes ENOSYS for "this file system has no such operation", and never asks again.
template <class Body>
int guarded(Body&& body) noexcept {
  try {
    const int status = body();
    return status == -ENOSYS ? -EOPNOTSUPP : status;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (...) {
    return -EIO;
  }
}

int get_attributes(const char* path, struct stat* into, fuse_file_info*) {
  return guarded([&] {
    tree::Attributes attributes;
    const int status = tree::look(ask(), path, &attributes);
    if (status < 0) return status;
    *into = {};
    into->st_mode = attributes.mode;
    into->st_nlink = S_ISDIR(attributes.mode) ? 2 : 1;
    into->st_uid = geteuid() == 0 ? attributes.uid : geteuid();
    into->st_gid = geteuid() == 0 ? attributes.gid : getegid();
    return 0;
  });
}

int read_directory(const char* path, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info*, fuse_readdir_flags) {
  return guarded([&] {
    std::vector<std::string> names{".", ".."};
    const int status = [&] {
      std::vector<std::string> inside;
      const int result = tree::list(ask(), path, &inside);
      names.insert(names.end(), inside.begin(), inside.end());
      return result;
    }();
    if (status < 0) return status;
    for (const std::string& name : names) fill(buffer, name.c_str(), nullptr, 0, fuse_fill_dir_flags{});
    return 0;
  });
}

int open_file(const char* path, fuse_file_info* file) {
  return guarded([&] {
    file->direct_io = 1;  // its length is known when it is read
    file->nonseekable = 0;
    file->fh = 0;
    if ((file->flags & O_ACCMODE) == O_WRONLY) return 0;
    auto text = std::make_unique<std::string>();
    const int status = tree::read(ask(), path, text.get());
    if (status < 0) return status;
    file->fh = reinterpret_cast<uint64_t>(text.release());
    return 0;
  });
}

int read_file(const char*, char* buffer, size_t size, off_t from, fuse_file_info* file) {
  const auto* text = reinterpret_cast<const std::string*>(file->fh);
  if (text == nullptr) return -EBADF;
  if (from < 0 || static_cast<size_t>(from) >= text->size()) return 0;
  return static_cast<int>(text->copy(buffer, size, static_cast<size_t>(from)));
}

int write_file(const char* path, const char* data, size_t size, off_t, fuse_file_info*) {
  return guarded([&] {
    tree::Ask as_caller = ask();
    std::string text(data, size);
    const pid_t moved = tree::moved_by(path);
    if (moved != 0 && moved == process_of(fuse_get_context()->pid)) {
      // It waits for us, and whoever waits in the kernel cannot be frozen. openMosix took such a word for a wish, too.
      std::thread([as_caller, path = std::string(path), text] {
        guarded([&] { return tree::write(as_caller, path, text); });
      }).detach();
      return static_cast<int>(size);
    }
    const int status = tree::write(as_caller, path, text);
    return status < 0 ? status : static_cast<int>(size);
  });
}

int read_link(const char* path, char* into, size_t size) {
  return guarded([&] {
    if (!tree::is_self(path)) return -EINVAL;
    const pid_t process = process_of(fuse_get_context()->pid);
    if (process == 0) return -ENOENT;  // of another pid namespace
    *fmt::format_to_n(into, size - 1, "{}", process).out = '\0';
    return 0;
  });
}

// `>` cuts a file off before it writes.
int cut(const char*, off_t, fuse_file_info*) { return 0; }

int release(const char*, fuse_file_info* file) {
  delete reinterpret_cast<std::string*>(file->fh);
  return 0;
}

fuse_operations operations() {
  fuse_operations all{};
  all.getattr = get_attributes;
  all.readlink = read_link;
  all.readdir = read_directory;
  all.open = open_file;
  all.read = read_file;
  all.write = write_file;
  all.truncate = cut;
  all.release = release;
  return all;
}

std::string last_complaint;

int say(const std::string& text) {
  fmt::print(stderr, "omigfs: {}\n", text);
  return 1;
}

int serve(const std::string& place, bool foreground) {
  fuse_set_log_func([](fuse_log_level, const char* format, va_list arguments) {
    char line[512];
    std::vsnprintf(line, sizeof line, format, arguments);
    last_complaint = line;
    last_complaint.erase(last_complaint.find_last_not_of(" \n") + 1);
  });
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  fuse_opt_add_arg(&arguments, "omigfs");
  fuse_opt_add_arg(&arguments, "-ofsname=omig,subtype=omigfs");
  if (geteuid() == 0) fuse_opt_add_arg(&arguments, "-oallow_other");
  const fuse_operations all = operations();
  struct fuse* fuse = fuse_new(&arguments, &all, sizeof all, nullptr);
  fuse_opt_free_args(&arguments);
  if (fuse == nullptr) return say("cannot start: " + last_complaint);
  if (fuse_mount(fuse, place.c_str()) != 0) {
    const int status = say(fmt::format("cannot mount at {}: {} (needs /dev/fuse, and without root fusermount3)", place,
                                       last_complaint.empty() ? std::strerror(errno) : last_complaint.c_str()));
    fuse_destroy(fuse);
    return status;
  }
  int status = 1;
  if (fuse_daemonize(foreground ? 1 : 0) == 0 && fuse_set_signal_handlers(fuse_get_session(fuse)) == 0) {
    fuse_loop_config* config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_max_threads(config, 64);  // an order holds one until it is done
    fuse_loop_cfg_set_clone_fd(config, 0);
    status = fuse_loop_mt(fuse, config) >= 0 ? 0 : 1;  // a signal ends it: that is no failure
    fuse_loop_cfg_destroy(config);
    fuse_remove_signal_handlers(fuse_get_session(fuse));
  }
  fuse_unmount(fuse);
  fuse_destroy(fuse);
  return status;
}

// It serves those who are moved, and must not be moved itself: started under omig it starts itself again without.
void leave_omig(char** argv) {
  const char* preload = std::getenv("LD_PRELOAD");
  if (preload == nullptr || std::strstr(preload, "libomig.so") == nullptr) return;
  unsetenv("LD_PRELOAD");
  execv("/proc/self/exe", argv);
}

}  // namespace

int main(int argc, char** argv) {
  leave_omig(argv);
  CLI::App app{"openMosix' file tree, of this node's homed", "omigfs"};
  std::string place;
  bool foreground = false;
  state_dir = default_state_dir();
  app.add_option("DIR", place, "where to mount it (default: hpc in the node's state directory)");
  app.add_flag("-f,--foreground", foreground, "stay in the foreground; ended by SIGINT or SIGTERM, which unmount it");
  app.add_option("--state-dir", state_dir, "of the homed that is asked (default: $OMIG_DIR, or as for homed)")
      ->type_name("DIR");
  cli::example(app, "  omigfs && cat /run/omig/hpc/nodes/*/load\n  fusermount3 -u /run/omig/hpc");
  if (const auto end = cli::parse(app, {argv + std::min(argc, 1), argv + argc})) return *end;
  if (place.empty()) {
    place = state_dir + "/hpc";
    if (access(state_dir.c_str(), F_OK) != 0)
      return say(fmt::format("no {}: start homed first, or name a directory", state_dir));
    if (mkdir(place.c_str(), 0755) != 0 && errno != EEXIST)
      return say(fmt::format("cannot make {}: {}", place, std::strerror(errno)));
  }
  return serve(place, foreground);
}
