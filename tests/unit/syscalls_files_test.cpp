// SPDX-License-Identifier: Apache-2.0
// The generic shapes on files, with arguments as programs pass them and as they should not.
#include <asm/unistd.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include <cstdio>
#include <numeric>
#include <string>

#include "tests/unit/syscalls_deputy.h"

namespace omig::syscalls {
namespace {

class Files : public Guest {
 protected:
  void SetUp() override {
    char name[] = "/tmp/omig-unit-XXXXXX";
    fd = mkstemp(name);
    ASSERT_GE(fd, 0);
    path = name;
  }
  void TearDown() override {
    close(fd);
    unlink(path.c_str());
  }
  void expect_contents(std::string_view wanted) {
    std::string got(wanted.size() + 1, '\0');
    EXPECT_EQ(pread(fd, got.data(), got.size(), 0), static_cast<ssize_t>(wanted.size()));
    got.resize(wanted.size());
    EXPECT_EQ(got, wanted);
  }
  int fd = -1;
  std::string path;
};

TEST_F(Files, WriteAndRead) {
  const std::string text = "hello from away\n";
  EXPECT_EQ(call(__NR_write, fd, text.data(), text.size()), static_cast<long>(text.size()));
  EXPECT_EQ(sent().flags,
            wire::kCallProbeOnNotRun | wire::kCallWantsSigpipe | wire::kCallMindsBackground | wire::kCallTimesOut);
  expect_contents(text);
  EXPECT_EQ(call(__NR_lseek, fd, 6, SEEK_SET), 6);
  char buffer[64];
  memset(buffer, '#', sizeof(buffer));
  EXPECT_EQ(call(__NR_read, fd, buffer, sizeof(buffer)), static_cast<long>(text.size() - 6));
  EXPECT_EQ(std::string(buffer, text.size() - 6), text.substr(6));
  EXPECT_EQ(buffer[text.size() - 6], '#') << "more was written than was read";
  EXPECT_EQ(sent().in_bytes, 0u) << "a read sends no data";
}

TEST_F(Files, LargeTransfers) {
  std::vector<u8> data(3 << 20);
  std::iota(data.begin(), data.end(), 0);
  EXPECT_EQ(call(__NR_pwrite64, fd, data.data(), data.size(), 5), static_cast<long>(data.size()));
  std::vector<u8> back(data.size());
  EXPECT_EQ(call(__NR_pread64, fd, back.data(), back.size(), 5), static_cast<long>(data.size()));
  EXPECT_EQ(back, data);
  EXPECT_EQ(memory.writes, data.size() / Stream::kMostAtOnce) << "large pieces, each written once";
}

TEST_F(Files, MoreThanTheLimit) {
  const u64 huge = kMaxTransfer + 4096;
  void* area = mmap(nullptr, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(area, MAP_FAILED);
  EXPECT_EQ(forward(__NR_write, fd, area, huge).gathered, Gathered::come_home);
  ASSERT_EQ(ftruncate(fd, static_cast<off_t>(huge)), 0);
  EXPECT_EQ(call(__NR_read, fd, area, huge), static_cast<long>(kMaxTransfer));
  iovec parts[2] = {{area, huge - 4096}, {static_cast<char*>(area) + huge - 4096, 4096}};
  EXPECT_EQ(forward(__NR_writev, fd, parts, 2).gathered, Gathered::come_home);
  EXPECT_EQ(call(__NR_preadv, fd, parts, 2, 0, 0), static_cast<long>(kMaxTransfer));
  munmap(area, huge);
}

TEST_F(Files, Vectors) {
  char one[] = "one", two[] = "", three[] = "three";
  iovec out[] = {{one, 3}, {two, 0}, {nullptr, 0}, {three, 5}};
  EXPECT_EQ(call(__NR_writev, fd, out, 4), 8);
  expect_contents("onethree");
  char a[5], b[10];
  memset(a, '#', sizeof(a));
  memset(b, '#', sizeof(b));
  iovec in[] = {{a, 5}, {b, 10}};
  EXPECT_EQ(call(__NR_preadv, fd, in, 2, 0, 0), 8);
  EXPECT_EQ(std::string(a, 5), "oneth");
  EXPECT_EQ(std::string(b, 4), "ree#");
  EXPECT_EQ(call(__NR_pwritev2, fd, out, 1, 8, 0, 0), 3);
  expect_contents("onethreeone");
}

TEST_F(Files, BadVectors) {
  Edge edge;
  char a[8];
  auto* at_edge = reinterpret_cast<iovec*>(edge.last(8));
  expect_as_native(__NR_readv, fd, at_edge, 1);
  expect_as_native(__NR_readv, fd, edge.end(), 1);
  expect_as_native(__NR_readv, fd, edge.end(), 0);
  expect_as_native(__NR_readv, fd, edge.end(), 1025);
  expect_as_native(__NR_readv, fd, edge.end(), -1);
  expect_as_native(__NR_readv, -1, edge.end(), 1);
  iovec negative[] = {{a, 4}, {a, static_cast<size_t>(-1)}};
  expect_as_native(__NR_readv, fd, negative, 2);
  expect_as_native(__NR_writev, fd, negative, 2);
  iovec beyond[] = {{kernel_address(), 4}};
  expect_as_native(__NR_writev, fd, beyond, 1);
  // The part before the hole is written, as natively.
  iovec partly[] = {{a, 4}, {edge.end(), 4}};
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  EXPECT_EQ(call(__NR_writev, pipes[1], partly, 2), native(__NR_writev, pipes[1], partly, 2));
  close(pipes[0]);
  close(pipes[1]);
}

TEST_F(Files, BadPointersAsNative) {
  Edge edge;
  for (void* bad : {static_cast<void*>(edge.end()), kernel_address(), minus_one(), static_cast<void*>(nullptr),
                    reinterpret_cast<void*>(8)}) {
    expect_as_native(__NR_write, fd, bad, 4);
    expect_as_native(__NR_write, fd, bad, 0);
    expect_as_native(__NR_write, -1, bad, 4);
    expect_as_native(__NR_write, fd, bad, -1);
    expect_as_native(__NR_read, -1, bad, 4);
    expect_as_native(__NR_read, fd, bad, -1);
    expect_as_native(__NR_open, bad, O_RDONLY);
    expect_as_native(__NR_openat, AT_FDCWD, bad, O_RDONLY, 0);
    expect_as_native(__NR_utimensat, -1, path.c_str(), bad, ~0u);
    expect_as_native(__NR_fstat, fd, bad);
    expect_as_native(__NR_getcwd, bad, 1);
    expect_as_native(__NR_getcwd, bad, 4096);
    expect_as_native(__NR_pipe2, bad, 0);
    expect_as_native(__NR_epoll_ctl, fd, 1, fd, bad);
    expect_as_native(__NR_openat2, AT_FDCWD, path.c_str(), bad, 24);
    expect_as_native(__NR_openat2, AT_FDCWD, path.c_str(), bad, 4);
    expect_as_native(__NR_openat2, AT_FDCWD, path.c_str(), bad, 100000);
    expect_as_native(__NR_setxattr, path.c_str(), "user.x", bad, 100000, 0);
    expect_as_native(__NR_setxattr, path.c_str(), bad, "x", 1, 0);
    expect_as_native(__NR_getgroups, -1, bad);
  }
  // The file has something to read, and the range wraps around the end of the address space.
  ASSERT_EQ(write(fd, "abc", 3), 3);
  ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
  expect_as_native(__NR_read, fd, this, -4096);
  EXPECT_EQ(call(__NR_read, fd, edge.end(), 3), -EFAULT);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 3) << "known difference: the data is consumed before the fault is seen";
}

TEST_F(Files, Names) {
  const std::string dir = path + ".d", other = path + ".e";
  EXPECT_EQ(call(__NR_mkdir, dir.c_str(), 0755), 0);
  EXPECT_EQ(call(__NR_mkdir, dir.c_str(), 0755), -EEXIST);
  EXPECT_EQ(call(__NR_renameat2, AT_FDCWD, dir.c_str(), AT_FDCWD, other.c_str(), 0), 0);
  EXPECT_EQ(call(__NR_rmdir, other.c_str()), 0);
  EXPECT_EQ(call(__NR_symlink, "target", other.c_str()), 0);
  char link[64];
  memset(link, '#', sizeof(link));
  EXPECT_EQ(call(__NR_readlink, other.c_str(), link, sizeof(link)), 6);
  EXPECT_EQ(std::string(link, 7), "target#");
  EXPECT_EQ(call(__NR_unlinkat, AT_FDCWD, other.c_str(), 0), 0);
  const std::string longest(4096, 'x'), component(256, 'y');
  expect_as_native(__NR_access, longest.c_str(), 0);
  expect_as_native(__NR_access, component.c_str(), 0);
  expect_as_native(__NR_access, "", 0);
  // A name that ends with its page, and one that does not end there.
  Edge edge;
  memcpy(edge.last(5), "/tmp", 5);
  EXPECT_EQ(call(__NR_access, edge.last(5), F_OK), 0);
  memcpy(edge.last(4), "/tmp", 4);
  EXPECT_EQ(call(__NR_access, edge.last(4), F_OK), -EFAULT);
}

TEST_F(Files, Stat) {
  struct stat mine {
  }, theirs{};
  EXPECT_EQ(call(__NR_newfstatat, AT_FDCWD, path.c_str(), &mine, 0), 0);
  ASSERT_EQ(stat(path.c_str(), &theirs), 0);
  EXPECT_EQ(memcmp(&mine, &theirs, sizeof(mine)), 0);
  struct statx extended {
  }, wanted{};
  EXPECT_EQ(call(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_ALL, &extended), 0);
  ASSERT_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &wanted), 0);
  EXPECT_EQ(memcmp(&extended, &wanted, sizeof(wanted)), 0);
  struct statfs file_system {};
  EXPECT_EQ(call(__NR_fstatfs, fd, &file_system), 0);
  EXPECT_NE(file_system.f_bsize, 0);
  char cwd[4096];
  const long bytes = call(__NR_getcwd, cwd, sizeof(cwd));
  EXPECT_EQ(bytes, static_cast<long>(strlen(cwd)) + 1);
  char reference[4096];
  EXPECT_STREQ(cwd, getcwd(reference, sizeof(reference)));
}

TEST_F(Files, Attributes) {
  const std::string value = "some value";
  const long ret = call(__NR_setxattr, path.c_str(), "user.omig", value.data(), value.size(), 0);
  if (ret == -EOPNOTSUPP) GTEST_SKIP() << "/tmp has no extended attributes";
  EXPECT_EQ(ret, 0);
  char got[64];
  memset(got, '#', sizeof(got));
  EXPECT_EQ(call(__NR_fgetxattr, fd, "user.omig", got, sizeof(got)), static_cast<long>(value.size()));
  EXPECT_EQ(std::string(got, value.size() + 1), value + "#");
  EXPECT_EQ(call(__NR_fgetxattr, fd, "user.omig", nullptr, 0), static_cast<long>(value.size()));
  EXPECT_EQ(call(__NR_fgetxattr, fd, "user.omig", got, 3), -ERANGE);
  EXPECT_EQ(call(__NR_flistxattr, fd, got, sizeof(got)), native(__NR_flistxattr, fd, nullptr, 0));
  const std::string long_name = "user." + std::string(300, 'n');
  expect_as_native(__NR_fgetxattr, fd, long_name.c_str(), got, sizeof(got));
}

TEST_F(Files, Directories) {
  const int dir = open("/etc", O_RDONLY | O_DIRECTORY);
  ASSERT_GE(dir, 0);
  alignas(8) char mine[32768], theirs[32768];
  const long got = call(__NR_getdents64, dir, mine, sizeof(mine));
  ASSERT_GT(got, 0);
  lseek(dir, 0, SEEK_SET);
  EXPECT_EQ(native(__NR_getdents64, dir, theirs, sizeof(theirs)), got);
  // The kernel leaves holes between the names, so entry by entry.
  struct Entry {
    u64 inode, offset;
    u16 bytes;
    u8 type;
    char name[1];
  };
  for (long at = 0; at < got;) {
    const auto* a = reinterpret_cast<const Entry*>(mine + at);
    const auto* b = reinterpret_cast<const Entry*>(theirs + at);
    ASSERT_EQ(a->inode, b->inode);
    ASSERT_EQ(a->bytes, b->bytes);
    ASSERT_STREQ(a->name, b->name);
    at += a->bytes;
  }
  lseek(dir, 0, SEEK_SET);
  EXPECT_EQ(call(__NR_getdents64, dir, mine, 1), -EINVAL);
  close(dir);
}

TEST_F(Files, OffsetsBothWays) {
  ASSERT_EQ(write(fd, "0123456789", 10), 10);
  int pipes[2];
  EXPECT_EQ(call(__NR_pipe2, pipes, O_CLOEXEC), 0);
  EXPECT_EQ(fcntl(pipes[0], F_GETFD), FD_CLOEXEC);
  off_t offset = 4;
  EXPECT_EQ(call(__NR_sendfile, pipes[1], fd, &offset, 3), 3);
  EXPECT_EQ(offset, 7);
  loff_t from = 8;
  EXPECT_EQ(call(__NR_splice, fd, &from, pipes[1], nullptr, 100, 0), 2);
  EXPECT_EQ(from, 10);
  char got[8] = {};
  EXPECT_EQ(call(__NR_read, pipes[0], got, sizeof(got)), 5);
  EXPECT_STREQ(got, "45689");
  close(pipes[0]);
  close(pipes[1]);
}

// What was aligned for direct I/O in the guest is aligned at home.
TEST_F(Files, DirectIo) {
  alignas(4096) static char block[8192];
  const int direct = open(path.c_str(), O_RDWR | O_DIRECT);
  if (direct < 0) GTEST_SKIP() << "/tmp cannot do direct I/O";
  memset(block, 'd', sizeof(block));
  EXPECT_EQ(call(__NR_write, direct, block, sizeof(block)), 8192);
  memset(block, 0, sizeof(block));
  iovec parts[2] = {{block, 512 * 3}, {block + 512 * 3, 8192 - 512 * 3}};
  EXPECT_EQ(call(__NR_preadv, direct, parts, 2, 0, 0), 8192);
  EXPECT_EQ(block[8191], 'd');
  close(direct);
}

TEST_F(Files, ReusedBuffersDoNotGrow) {
  std::string text(100, 't');
  ASSERT_EQ(call(__NR_pwrite64, fd, text.data(), text.size(), 0), 100);
  ASSERT_EQ(call(__NR_pread64, fd, text.data(), text.size(), 0), 100);
  const u8* before = prepared.message.data();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(call(__NR_pread64, fd, text.data(), text.size(), 0), 100);
  EXPECT_EQ(prepared.message.data(), before);
}

}  // namespace
}  // namespace omig::syscalls
