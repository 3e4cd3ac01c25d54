// SPDX-License-Identifier: Apache-2.0
#include "tools/omigfs/caller.h"

#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "lib/base/fields.h"
#include "lib/client/facts.h"

namespace omig::tree {

namespace {

// Credentials are a thread's own, as long as libc is not asked, which would change them everywhere. So a thread becomes
// the caller, connects, and ends. Its capabilities stay (no "fixup"), for the socket lies in a directory that is closed
// to others; whether the caller may do what it asks for is homed's to say.
bool become(const Caller& caller) {
  return prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0 &&
         syscall(SYS_setgroups, caller.groups.size(), caller.groups.data()) == 0 &&
         syscall(SYS_setresgid, -1, caller.gid, -1) == 0 && syscall(SYS_setresuid, -1, caller.uid, -1) == 0;
}

std::optional<Client> connect_as(const std::string& state_dir, const Caller& caller, int* error) {
  if (geteuid() != 0 || caller.uid == 0) return Client::connect(state_dir, error);
  std::optional<Client> client;
  std::thread([&] {
    if (become(caller)) {
      client = Client::connect(state_dir, error);
    } else {
      *error = errno;
    }
  }).join();
  return client;
}

}  // namespace

Ask ask_as(std::string state_dir, Caller caller) {
  return [dir = std::move(state_dir), caller = std::move(caller)](const Json& request, milliseconds limit,
                                                                  int* error) -> std::optional<Json> {
    auto client = connect_as(dir, caller, error);
    if (!client) return std::nullopt;
    auto answer = client->ask(request, limit);
    if (!answer) {
      *error = client->error();
    } else if (!field(*answer, "ok", false)) {
      *error = errno_of_refusal(*answer);
      answer.reset();
    }
    return answer;
  };
}

}  // namespace omig::tree
