// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share. Each is a function of bytes that a peer could send; libFuzzer (tools/dev fuzz) or the
// corpus (corpus_main.cpp, part of the tests) calls it. Whatever the bytes are, it must return, and CLAIM's must hold.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "lib/link/conversation.h"

extern "C" int LLVMFuzzerTestOneInput(const omig::u8* data, size_t bytes);

#define CLAIM(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                  \
    }                                                                           \
  } while (0)

namespace omig::fuzz {

// Bytes as numbers, zeros when they are used up.
class Bytes {
 public:
  Bytes(const u8* data, size_t bytes) : at_(data), end_(data + bytes) {}
  bool empty() const { return at_ == end_; }
  template <class T>
  T take() {
    T value{};
    const size_t have = std::min(sizeof value, static_cast<size_t>(end_ - at_));
    if (have > 0) memcpy(&value, at_, have);  // of nothing there may be no address
    at_ += have;
    return value;
  }
  bool take(void* to, size_t bytes) {
    if (static_cast<size_t>(end_ - at_) < bytes) return false;
    if (bytes > 0) memcpy(to, at_, bytes);
    at_ += bytes;
    return true;
  }

 private:
  const u8* at_;
  const u8* end_;
};

// A peer that says these bytes and then hangs up. More than fits into a socket's buffer is cut off.
class Peer final : public ByteSource {
 public:
  Peer(const u8* data, size_t bytes) {
    int ends[2] = {-1, -1};
    CLAIM(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ours_.reset(ends[0]);
    theirs_.reset(ends[1]);
    CLAIM(send(theirs_.get(), data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || bytes == 0 || errno == EAGAIN);
    shutdown(theirs_.get(), SHUT_WR);
  }
  int fd() const { return ours_.get(); }
  bool read(void* to, size_t bytes, milliseconds timeout) override { return read_exactly(fd(), to, bytes, timeout); }

 private:
  Fd ours_, theirs_;
};

}  // namespace omig::fuzz
