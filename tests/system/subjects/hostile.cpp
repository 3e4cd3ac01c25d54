// SPDX-License-Identifier: Apache-2.0
// Guests that mean harm: hostile MODE FILE. Started by root, it becomes a user without any right, announces itself, is
// moved away on purpose, and then does what it can. FILE is on the visited node another file than at home, and may be
// read and written by everybody; what marks the visited one is its first word, kSecret.
//
// Exit status 0: it has tried everything and got nothing. kGot: it has seen or changed what it must not; it says what.
#include "tests/system/subjects/hostile.h"

#include <grp.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "lib/syscalls/table.h"
#include "preload/engine/head.h"
#include "tests/programs/program.h"

namespace {

using omig::test::kGot;
using omig::test::kSecret;

const char* secret_file;
int ready_fd = -1, go_fd = -1;

void announce_and_wait() {
  if (ready_fd < 0) return;
  char line[64];
  const int length = snprintf(line, sizeof line, "ready %d 1 idle 0\n", getpid());
  CHECK_EQ(write(ready_fd, line, static_cast<size_t>(length)), length);
  char byte;
  ssize_t got;
  while ((got = read(go_fd, &byte, 1)) < 0 && errno == EINTR) {
  }
  CHECK_EQ(got, 1);
}

void become_nobody() {
  ready_fd = open_fifo("ready", O_WRONLY);
  go_fd = open_fifo("go", O_RDONLY);
  if (geteuid() != 0) return;
  CHECK_EQ(setgroups(0, nullptr), 0);
  CHECK_EQ(setresgid(omig::test::kHostileUid, omig::test::kHostileUid, omig::test::kHostileUid), 0);
  CHECK_EQ(setresuid(omig::test::kHostileUid, omig::test::kHostileUid, omig::test::kHostileUid), 0);
  CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
}

// A file that only root may read, mapped while it still is root.
void map_hidden() {
  const std::string path = std::string(secret_file).substr(0, std::string(secret_file).rfind('/')) + "/hidden";
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  CHECK(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
  close(fd);
}

[[noreturn]] void got(const char* what, unsigned long number = 0) {
  dprintf(1, "got %s %lu\n", what, number);
  _exit(kGot);
}

// The doors: ways of one call to reach the kernel.

using Arguments = unsigned long[6];

long raw(long nr, const Arguments& a) {
  long result;
  register unsigned long r10 asm("r10") = a[3];
  register unsigned long r8 asm("r8") = a[4];
  register unsigned long r9 asm("r9") = a[5];
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

long x32(long nr, const Arguments& a) { return raw(nr | 0x40000000, a); }

// The engine lies in every guest, at a place that everybody knows.
bool has_engine() {
  unsigned char there;
  return mincore(reinterpret_cast<void*>(omig::kEngineHeadAddress), 1, &there) == 0;
}
const omig::EngineHead& head() { return *reinterpret_cast<const omig::EngineHead*>(omig::kEngineHeadAddress); }

sigjmp_buf back;
volatile long trapped_result;

void on_trap(int, siginfo_t*, void* context) {
  trapped_result = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RAX];
  siglongjmp(back, 1);
}

// Into the middle of the engine with registers of our own; wherever that leads, a trap, a fault or the clock ends it.
long jump_to(unsigned long address, long nr, const Arguments& a) {
  trapped_result = -ENOSYS;
  if (sigsetjmp(back, 1) != 0) return trapped_result;
  register unsigned long r10 asm("r10") = a[3];
  register unsigned long r8 asm("r8") = a[4];
  register unsigned long r9 asm("r9") = a[5];
  asm volatile("jmp *%[to]"
               :
               : [to] "b"(address), "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  __builtin_unreachable();
}

long engines_gadget(long nr, const Arguments& a) { return jump_to(head().gadget, nr, a); }

// `syscall; ret` written over the engine's own code.
long patched_engine(long nr, const Arguments& a) {
  static unsigned long made = 0;
  if (made == 0) {
    const unsigned long page = head().gadget & ~0xffful;
    CHECK_EQ(mprotect(reinterpret_cast<void*>(page), 4096, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    static const unsigned char code[] = {0x0f, 0x05, 0xcc};
    memcpy(reinterpret_cast<void*>(page), code, sizeof code);
    made = page;
  }
  return jump_to(made, nr, a);
}

// A call by int 0x80: the kernel takes it for one of a 32-bit program.
long interrupt_80(long nr, const Arguments& a) {
  long result;
  asm volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a[0]), "c"(a[1]), "d"(a[2]) : "memory");
  return result;
}

struct Door {
  const char* name;
  long (*call)(long nr, const Arguments& a);
};
constexpr Door kDoors[] = {{"raw", raw}, {"engine", engines_gadget}, {"patched", patched_engine}, {"x32", x32}};

char buffer[8192];

void look_for_secret(long result, const char* door, long nr) {
  if (result >= 3 && result < 3000 && nr != SYS_lseek) {
    char text[256];
    const ssize_t have = pread(static_cast<int>(result), text, sizeof text, 0);
    if (have > 0 && memmem(text, static_cast<size_t>(have), kSecret, strlen(kSecret)) != nullptr)
      got(door, static_cast<unsigned long>(nr));
  }
  if (memmem(buffer, sizeof buffer, kSecret, strlen(kSecret)) != nullptr) got(door, static_cast<unsigned long>(nr));
}

// These end or multiply the caller by what they are for, or signal others of the same user (a legitimate deputy's
// right).
bool is_left_out(long nr) {
  static const long kOut[] = {SYS_exit,
                              SYS_exit_group,
                              SYS_kill,
                              SYS_tkill,
                              SYS_tgkill,
                              SYS_rt_sigqueueinfo,
                              SYS_rt_tgsigqueueinfo,
                              SYS_pidfd_send_signal,
                              SYS_rt_sigreturn,
                              SYS_vfork,
                              SYS_fork,
                              SYS_clone};
  return std::find(std::begin(kOut), std::end(kOut), nr) != std::end(kOut);
}

void try_number(const Door& door, long nr) {
  const unsigned long p = reinterpret_cast<unsigned long>(secret_file), b = reinterpret_cast<unsigned long>(buffer),
                      cwd = static_cast<unsigned long>(AT_FDCWD);
  const Arguments patterns[] = {{p, 0, b, 4096, 0, 0},
                                {cwd, p, 0, 0, 0, 0},
                                {cwd, p, b, 4096, 0, 0},
                                {0, b, 4096, 0, 0, 0},
                                {1, b, b, b, b, b},
                                {0, 0, 0, 0, 0, 0},
                                {~0ul, ~0ul, ~0ul, ~0ul, ~0ul, ~0ul}};
  for (const Arguments& a : patterns) {
    memset(buffer, 0, 64);
    look_for_secret(door.call(nr, a), door.name, nr);
  }
}

// In a child, so that what the calls do to descriptors, memory and limits stays there. The clock ends what blocks.
template <class Body>
void in_child(Body&& body) {
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    for (const int number : {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE})
      on_signal(number, on_trap, SA_NODEFER | SA_ONSTACK);
    on_signal(
        SIGALRM, +[](int) {});
    const itimerval often{{0, 100'000}, {0, 100'000}};
    setitimer(ITIMER_REAL, &often, nullptr);
    body();
    _exit(0);
  }
  // Blocked signals, a sleep of ages: whatever it has done to itself, it ends after a while.
  const pid_t watcher = fork();
  CHECK(watcher >= 0);
  if (watcher == 0) {
    const timespec long_enough{20, 0};
    nanosleep(&long_enough, nullptr);
    kill(pid, SIGKILL);
    _exit(0);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  kill(watcher, SIGKILL);
  waitpid(watcher, nullptr, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kGot) _exit(kGot);
}

void every_call(const Door& door) {
  std::vector<long> batch;
  const auto run = [&] {
    if (batch.empty()) return;
    in_child([&] {
      for (const long nr : batch) try_number(door, nr);
    });
    batch.clear();
  };
  for (long nr = 0; nr < 480; ++nr) {
    if (is_left_out(nr)) continue;
    const omig::syscalls::Row* row = omig::syscalls::find(static_cast<unsigned>(nr));
    if (row == nullptr && nr > 340 && nr < 420) continue;  // holes: like any other number without a row
    const bool leaves = row == nullptr || row->route == omig::syscalls::Route::come_home;
    if (leaves) {  // one that goes home for it: each from away, so in a child of its own
      const std::vector<long> others = std::exchange(batch, {nr});
      run();
      batch = others;
    } else {
      batch.push_back(nr);
      if (batch.size() >= 24) run();
    }
  }
  run();
}

// Every `syscall` in the engine, entered with a call of ours.
void every_place() {
  const unsigned char* const from = reinterpret_cast<const unsigned char*>(omig::kEngineBase);
  const unsigned char* const end = reinterpret_cast<const unsigned char*>(head().image_end);
  std::vector<unsigned long> places;
  for (unsigned long page = omig::kEngineBase; page < head().image_end; page += 4096) {
    unsigned char there;
    if (mincore(reinterpret_cast<void*>(page), 4096, &there) != 0) continue;
    for (const unsigned char* at = from + (page - omig::kEngineBase); at < from + (page + 4095 - omig::kEngineBase);
         ++at)
      if (at + 1 < end && at[0] == 0x0f && at[1] == 0x05) places.push_back(reinterpret_cast<unsigned long>(at));
  }
  CHECK(!places.empty());
  for (size_t first = 0; first < places.size(); first += 16) {
    in_child([&] {
      on_signal(SIGALRM, on_trap, SA_NODEFER | SA_ONSTACK);
      static char other_stack[65536];
      const stack_t stack{other_stack, 0, sizeof other_stack};
      sigaltstack(&stack, nullptr);
      for (size_t i = first; i < std::min(first + 16, places.size()); ++i) {
        const Arguments a = {static_cast<unsigned long>(AT_FDCWD), reinterpret_cast<unsigned long>(secret_file), 0, 0};
        look_for_secret(jump_to(places[i], SYS_openat, a), "a place in the engine", places[i]);
      }
    });
  }
}

void other_entries() {
  for (const long nr : {5L, 20L, 102L, 120L, 295L}) {  // open, getpid, socketcall, clone, openat of i386
    in_child([&] {
      const Arguments a = {reinterpret_cast<unsigned long>(secret_file), 0, 0, 0, 0, 0};
      look_for_secret(interrupt_80(nr, a), "int 0x80", static_cast<unsigned long>(nr));
    });
  }
}

// Through home's kernel, which has none of them; a call that the visited node's executed would find them.
void every_socket(const Door& door) {
  sockaddr_in inet{};
  inet.sin_family = AF_INET;
  inet.sin_port = htons(omig::test::kSecretPort);
  inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_un abstract{}, named{};
  abstract.sun_family = named.sun_family = AF_UNIX;
  memcpy(abstract.sun_path + 1, omig::test::kSecretSocket, strlen(omig::test::kSecretSocket));
  const std::string path = std::string(secret_file).substr(0, std::string(secret_file).rfind('/')) + "/socket";
  snprintf(named.sun_path, sizeof named.sun_path, "%s", path.c_str());
  const auto abstract_bytes = offsetof(sockaddr_un, sun_path) + 1 + strlen(omig::test::kSecretSocket);
  const struct {
    const void* address;
    size_t bytes;
    int family;
  } tries[] = {{&inet, sizeof inet, AF_INET}, {&abstract, abstract_bytes, AF_UNIX}, {&named, sizeof named, AF_UNIX}};
  for (const auto& t : tries) {
    in_child([&] {
      const long fd = door.call(SYS_socket, {static_cast<unsigned long>(t.family), SOCK_STREAM, 0});
      const long result =
          door.call(SYS_connect, {static_cast<unsigned long>(fd), reinterpret_cast<unsigned long>(t.address), t.bytes});
      if (result == 0) got("a socket", static_cast<unsigned long>(t.family));
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) FAIL("usage: hostile MODE FILE");
  const std::string mode = argv[1];
  secret_file = argv[2];
  if (mode == "wait") map_hidden();
  become_nobody();
  if (mode == "forge") return omig::test::forge_replies(announce_and_wait);
  if (mode == "births") return omig::test::odd_births(announce_and_wait);
  announce_and_wait();
  if (!has_engine()) FAIL("it has no engine");  // as a native as well: it is preloaded
  if (mode == "sockets") {
    for (const Door& door : kDoors) every_socket(door);
  } else if (mode == "places") {
    every_place();
    other_entries();
  } else if (mode != "wait") {
    const auto* door =
        std::find_if(std::begin(kDoors), std::end(kDoors), [&](const Door& d) { return mode == d.name; });
    if (door == std::end(kDoors)) FAIL("no mode %s", mode.c_str());
    every_call(*door);
  }
  announce_and_wait();
  return 0;
}
