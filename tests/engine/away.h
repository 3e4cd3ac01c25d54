// SPDX-License-Identifier: Apache-2.0
// A departed subject, and the calls that the tests make most.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <cstring>
#include <string>
#include <utility>

#include "tests/engine/host.h"

namespace omig::test {

// A subject whose guest "runs": committed, never coming home unless the test says so.
struct Away {
  explicit Away(int threads = 0, u32 patience_s = 0)
      : listener(patience_s), subject({"threads", std::to_string(threads)}), links(depart(subject, listener, &states)) {
    for (const Link& link : links.threads) extras.push_back(link.thread);
    commit(links);
  }
  Link& leader() { return links.leader(); }
  Link& ear() { return *links.ear; }
  u64 pid() const { return static_cast<u64>(subject.pid()); }
  Listener listener;
  Subject subject;
  std::vector<ThreadState> states;
  Links links;
  std::vector<wire::ThreadExtra> extras;  // what the first Hellos said
};

inline std::pair<u64, u64> make_pipe(Link& link, u64 flags = 0) {
  CallSpec spec(SYS_pipe2, {0, flags});
  spec.pointer(0, spec.room(8));
  const Result result = link.call(spec);
  EXPECT_EQ(result.ret(), 0);
  i32 fds[2];
  memcpy(fds, result.outs.at(0).data(), 8);
  return {fds[0], fds[1]};
}

inline CallSpec read_spec(u64 fd, u32 bytes, u32 flags = 0) {
  CallSpec spec(SYS_read, {fd, 0, bytes}, flags);
  spec.pointer(1, spec.room(bytes, 1));
  return spec;
}

inline CallSpec write_spec(u64 fd, const std::string& text, u32 flags = 0) {
  CallSpec spec(SYS_write, {fd, 0, text.size()}, flags);
  spec.pointer(1, spec.input(text.data(), text.size()));
  return spec;
}

inline CallSpec open_spec(const char* path, u64 flags = O_RDONLY) {
  CallSpec spec(SYS_openat, {static_cast<u64>(AT_FDCWD), 0, flags, 0600});
  spec.pointer(1, spec.input(path, strlen(path) + 1));
  return spec;
}

}  // namespace omig::test
