// SPDX-License-Identifier: Apache-2.0
// A disk that becomes full: full_disk DIRECTORY, where DIRECTORY is a small file system of its own (the harness mounts
// one). What every call returned is printed, so that it is compared with the native run.
#include <sys/uio.h>

#include "tests/programs/program.h"

static ssize_t say(const char* what, ssize_t result) {
  if (result < 0)
    printf("%s: %s\n", what, strerror(errno));
  else
    printf("%s: %zd\n", what, result);
  return result;
}

int main(int argc, char** argv) {
  if (argc != 2 || chdir(argv[1]) != 0) FAIL("usage: full_disk DIRECTORY");
  constexpr size_t kPiece = 40'000;  // no divisor of any file system's size: the last one is cut
  static char piece[kPiece], back[kPiece];
  fill(piece, kPiece, 7);
  int fd = open("full", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  ready_and_wait();
  off_t written = 0;
  ssize_t put;
  while ((put = write(fd, piece, kPiece)) == static_cast<ssize_t>(kPiece)) written += put;
  say("the write that did not fit", put);
  CHECK(put > 0 && written > 0);
  written += put;
  ready_and_wait();
  say("a write after it", write(fd, piece, kPiece));
  say("one byte", write(fd, piece, 1));
  iovec parts[2] = {{piece, 10}, {piece, kPiece}};
  say("writev", writev(fd, parts, 2));
  say("pwrite inside", pwrite(fd, piece, kPiece, 0));
  say("pwrite across the end", pwrite(fd, piece, kPiece, written - 100));
  say("posix_fallocate", posix_fallocate(fd, written, 1 << 20));
  say("another file", open("other", O_WRONLY | O_CREAT, 0600) >= 0 ? 0 : -1);
  FILE* stream = fopen("stream", "w");
  say("fprintf", stream ? fprintf(stream, "text that stays in the buffer\n") : -1);
  say("fclose", stream ? fclose(stream) : -1);
  CHECK_EQ(lseek(fd, 0, SEEK_END), written);  // what did not fit moved nothing
  // It lives on: room is made, and everything works again.
  ready_and_wait();
  say("ftruncate", ftruncate(fd, static_cast<off_t>(kPiece)));
  CHECK_EQ(lseek(fd, 0, SEEK_END), kPiece);
  say("a write that fits", write(fd, piece, kPiece));
  CHECK_EQ(pread(fd, back, kPiece, static_cast<off_t>(kPiece)), kPiece);
  CHECK(memcmp(piece, back, kPiece) == 0);
  say("fsync", fsync(fd));
  say("close", close(fd));
  for (const char* name : {"full", "other", "stream"}) unlink(name);
  return 0;
}
