// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "lib/link/peer.h"

namespace omig {
namespace {

struct Pair {
  Fd a, b;
  Pair() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    a.reset(fds[0]);
    b.reset(fds[1]);
  }
};

TEST(Endpoint, ParsesWhatItPrints) {
  const auto endpoint = Endpoint::parse("10.1.2.255:7946");
  ASSERT_TRUE(endpoint);
  EXPECT_EQ(endpoint->text(), "10.1.2.255:7946");
  EXPECT_EQ(Endpoint::from_sockaddr(endpoint->to_sockaddr()), *endpoint);
  EXPECT_EQ(Endpoint::parse("1.2.3.4", 99)->port, 99);
}

TEST(Endpoint, RefusesEverythingElse) {
  for (const char* text : {"", "1.2.3", "1.2.3.4", "1.2.3.4:", "1.2.3.4:0", "1.2.3.256:1", "1.2.3.4:65536",
                           "1.2.3.4:1 ", "a.b.c.d:1", "1..2.3:4"})
    EXPECT_FALSE(Endpoint::parse(text)) << text;
}

std::optional<nlohmann::json> message_on(const Fd& fd) {
  return message_from([&](void* data, size_t bytes) { return read_exactly(fd.get(), data, bytes); }, kMaxMessageBytes);
}

TEST(Json, NotAByteMoreThanTheMessageIsRead) {
  Pair pair;
  const std::string frame = frame_json({{"op", "move"}});
  ASSERT_TRUE(write_all(pair.a.get(), frame.data(), frame.size()));
  ASSERT_TRUE(write_all(pair.a.get(), "image", 5));
  ASSERT_TRUE(message_on(pair.b));
  char rest[6] = {};
  EXPECT_EQ(recv(pair.b.get(), rest, sizeof(rest), MSG_DONTWAIT), 5);
  EXPECT_STREQ(rest, "image");
}

TEST(Json, LengthsAreLimited) {
  Pair pair;
  const u32 length = kMaxMessageBytes + 1;
  ASSERT_TRUE(write_all(pair.a.get(), &length, sizeof(length)));
  EXPECT_FALSE(message_on(pair.b));
  EXPECT_EQ(errno, EMSGSIZE);
  EXPECT_TRUE(frame_json(std::string(kMaxMessageBytes, 'x')).empty());
}

TEST(Json, MalformedTextIsRefused) {
  Pair pair;
  const u32 length = 3;
  ASSERT_TRUE(write_all(pair.a.get(), &length, sizeof(length)));
  ASSERT_TRUE(write_all(pair.a.get(), "{x}", 3));
  EXPECT_FALSE(message_on(pair.b));
  EXPECT_EQ(errno, EBADMSG);
}

TEST(Json, BytesThatAreNotUtf8DoNotThrow) { EXPECT_FALSE(frame_json({{"command", "\xff\xfe"}}).empty()); }

TEST(Hex, ThereAndBack) {
  const u8 bytes[4] = {0, 15, 16, 255};
  EXPECT_EQ(hex_encode(bytes, 4), "000f10ff");
  u8 back[4] = {};
  EXPECT_TRUE(hex_decode("000f10ff", back, 4));
  EXPECT_EQ(back[3], 255);
  EXPECT_FALSE(hex_decode("000f10f", back, 4));
  EXPECT_FALSE(hex_decode("000f10fg", back, 4));
}

}  // namespace
}  // namespace omig
