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

ClusterKey key_of(u8 byte) {
  ClusterKey key{};
  key.fill(byte);
  return key;
}

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

TEST(Handshake, SameKeySucceedsOverTcpAndMessagesFollow) {
  const Fd listener = listen_tcp(Endpoint{{127, 0, 0, 1}, 0});
  ASSERT_TRUE(listener);
  std::atomic<bool> accepted = false;
  std::thread server([&] {
    const Fd fd(accept(listener.get(), nullptr, nullptr));
    accepted = accept_peer(fd.get(), key_of(1));
    const auto request = recv_json(fd.get());
    if (request) send_json(fd.get(), {{"echo", *request}});
  });
  std::string error;
  const Fd fd = connect_peer(local_endpoint(listener.get()), key_of(1), milliseconds(5'000), &error);
  EXPECT_TRUE(fd) << error;
  const auto answer = fd ? ask_json(fd.get(), {{"x", 1}}) : std::nullopt;
  server.join();
  EXPECT_TRUE(accepted);
  ASSERT_TRUE(answer);
  EXPECT_EQ((*answer)["echo"]["x"], 1);
}

TEST(Handshake, AnotherKeyFailsOnBothSides) {
  Pair pair;
  std::string server_error, client_error;
  bool accepted = true;
  std::thread server([&] {
    accepted = accept_peer(pair.b.get(), key_of(2), milliseconds(5'000), &server_error);
    pair.b.reset();
  });
  EXPECT_FALSE(greet_peer(pair.a.get(), key_of(1), milliseconds(5'000), &client_error));
  pair.a.reset();
  server.join();
  EXPECT_FALSE(accepted);
  EXPECT_NE(client_error.find("cluster.key"), std::string::npos) << client_error;
}

TEST(Handshake, ARecordedProofIsWorthlessForANewNonce) {
  Nonce client{}, server{};
  fill_random(client.data(), client.size());
  fill_random(server.data(), server.size());
  const Mac proof = handshake_mac(key_of(1), "client", client, server);
  EXPECT_TRUE(mac_equal(proof, handshake_mac(key_of(1), "client", client, server)));
  EXPECT_FALSE(mac_equal(proof, handshake_mac(key_of(1), "server", client, server)));
  server[31] ^= 1;
  EXPECT_FALSE(mac_equal(proof, handshake_mac(key_of(1), "client", client, server)));
}

TEST(Handshake, GarbageIsNotAnswered) {
  Pair pair;
  const std::string garbage(sizeof(ClientHello), 'x');
  ASSERT_TRUE(write_all(pair.a.get(), garbage.data(), garbage.size()));
  EXPECT_FALSE(accept_peer(pair.b.get(), key_of(1), milliseconds(1'000)));
  char byte = 0;
  EXPECT_EQ(recv(pair.a.get(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST(Handshake, ASilentPeerCostsOnlyTheTimeout) {
  Pair pair;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(accept_peer(pair.b.get(), key_of(1), milliseconds(50)));
  EXPECT_EQ(errno, ETIMEDOUT);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(5'000));
}

TEST(Json, NotAByteMoreThanTheMessageIsRead) {
  Pair pair;
  ASSERT_TRUE(send_json(pair.a.get(), {{"op", "move"}}));
  ASSERT_TRUE(write_all(pair.a.get(), "image", 5));
  ASSERT_TRUE(recv_json(pair.b.get()));
  char rest[6] = {};
  EXPECT_EQ(recv(pair.b.get(), rest, sizeof(rest), MSG_DONTWAIT), 5);
  EXPECT_STREQ(rest, "image");
}

TEST(Json, LengthsAreLimited) {
  Pair pair;
  const u32 length = kMaxMessageBytes + 1;
  ASSERT_TRUE(write_all(pair.a.get(), &length, sizeof(length)));
  EXPECT_FALSE(recv_json(pair.b.get()));
  EXPECT_EQ(errno, EMSGSIZE);
  EXPECT_FALSE(send_json(pair.a.get(), std::string(kMaxMessageBytes, 'x')));
}

TEST(Json, MalformedTextIsRefused) {
  Pair pair;
  const u32 length = 3;
  ASSERT_TRUE(write_all(pair.a.get(), &length, sizeof(length)));
  ASSERT_TRUE(write_all(pair.a.get(), "{x}", 3));
  EXPECT_FALSE(recv_json(pair.b.get()));
  EXPECT_EQ(errno, EBADMSG);
}

TEST(Json, BytesThatAreNotUtf8DoNotThrow) { EXPECT_FALSE(frame_json({{"command", "\xff\xfe"}}).empty()); }

TEST(Key, IsMadeOnceAndKept) {
  char dir[] = "/tmp/omig-key-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  std::string error;
  EXPECT_FALSE(load_cluster_key(dir, &error));
  EXPECT_NE(error.find("cluster.key"), std::string::npos);
  const auto first = load_or_create_cluster_key(dir, &error);
  ASSERT_TRUE(first) << error;
  EXPECT_EQ(load_or_create_cluster_key(dir), first);
  EXPECT_EQ(load_cluster_key(dir), first);
  const std::string path = std::string(dir) + "/cluster.key";
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_FALSE(load_cluster_key(dir, &error));
  EXPECT_NE(error.find("others"), std::string::npos);
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  std::ofstream(path, std::ios::app) << "x";
  EXPECT_FALSE(load_cluster_key(dir, &error));
  std::filesystem::remove_all(dir);
}

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
