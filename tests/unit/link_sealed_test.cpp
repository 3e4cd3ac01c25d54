// SPDX-License-Identifier: Apache-2.0
// What the engine seals by BearSSL the host opens by OpenSSL, and the other way round; and nothing else is opened. The
// engine's own source is compiled in.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include "lib/link/sealed.h"
// After those: the engine's source has no includes of the C library.
#include "preload/engine/seal.cpp"

namespace omig {
namespace {

struct Ends {
  wire::Hello hello;
  Token token{};
  engine::Seals deputy;
  std::optional<Seals> host;

  explicit Ends(wire::Cipher cipher) {
    fill_random(hello.nonce, sizeof hello.nonce);
    fill_random(token.data(), token.size());
    hello.cipher = cipher;
    engine::begin_seals(deputy, token.data(), hello);
    host = seals_of(token, hello, true);
  }
};

class Records : public testing::TestWithParam<wire::Cipher> {
 protected:
  void SetUp() override {
    if (GetParam() == wire::Cipher::aes128_gcm && best_cipher() != wire::Cipher::aes128_gcm)
      GTEST_SKIP() << "this processor has no instructions for AES";
  }
};

std::vector<u8> some(size_t bytes, u64 seed) {
  std::mt19937_64 random(seed);
  std::vector<u8> data(bytes);
  for (u8& byte : data) byte = static_cast<u8>(random());
  return data;
}

std::vector<u8> with_room(std::vector<u8> data) {
  data.resize(data.size() + wire::kTagBytes);
  return data;
}

TEST_P(Records, PassBothWays) {
  Ends ends(GetParam());
  u64 seed = 1;
  for (const size_t bytes : {1, 15, 16, 17, 31, 32, 64, 100, 255, 256, 4095, 65535, 65536}) {
    const std::vector<u8> plain = some(bytes, ++seed);
    std::vector<u8> out = with_room(plain);
    const wire::Hello* hello = seed == 2 ? &ends.hello : nullptr;
    const wire::RecordHead head{static_cast<u32>(bytes), static_cast<u32>(seed)};
    engine::seal(ends.deputy.out, head, out.data(), hello);
    EXPECT_FALSE(bytes > 15 && std::equal(plain.begin(), plain.end(), out.begin())) << bytes;
    ASSERT_TRUE(ends.host->to_host.open(head, out.data(), hello)) << bytes;
    EXPECT_TRUE(std::equal(plain.begin(), plain.end(), out.begin())) << bytes;
    std::vector<u8> record;
    ends.host->from_host.seal(plain, &record, nullptr, seed);
    ASSERT_EQ(record.size(), record_bytes(bytes));
    const wire::RecordHead back = record_head(record.data());
    EXPECT_EQ(back.bytes, bytes);
    EXPECT_EQ(back.received, seed);
    ASSERT_TRUE(engine::unseal(ends.deputy.in, back, record.data() + sizeof back)) << bytes;
    EXPECT_TRUE(std::equal(plain.begin(), plain.end(), record.begin() + sizeof back)) << bytes;
  }
}

// Everything that somebody between the two ends can do.
TEST_P(Records, NothingElseIsOpened) {
  const std::vector<u8> plain = some(100, 7);
  constexpr wire::RecordHead kHead{100, 3};
  const auto sealed = [&](Ends& ends) {
    std::vector<u8> out = with_room(plain);
    engine::seal(ends.deputy.out, kHead, out.data(), nullptr);
    return out;
  };
  for (const size_t at : {size_t{0}, size_t{50}, size_t{99}, size_t{100}, size_t{115}}) {
    Ends ends(GetParam());
    std::vector<u8> record = sealed(ends);
    record[at] ^= 1;
    EXPECT_FALSE(ends.host->to_host.open(kHead, record.data())) << at;
  }
  {
    Ends ends(GetParam());
    std::vector<u8> record = sealed(ends), again = record;
    EXPECT_TRUE(ends.host->to_host.open(kHead, record.data()));
    EXPECT_FALSE(ends.host->to_host.open(kHead, again.data())) << "played again";
  }
  {
    Ends ends(GetParam());
    sealed(ends);
    std::vector<u8> second = sealed(ends);
    EXPECT_FALSE(ends.host->to_host.open(kHead, second.data())) << "the first was left out";
  }
  {
    Ends ends(GetParam());
    std::vector<u8> record = sealed(ends);
    EXPECT_FALSE(ends.host->to_host.open({84, 3}, record.data())) << "shortened";
  }
  {
    Ends ends(GetParam());
    std::vector<u8> record = sealed(ends);
    EXPECT_FALSE(ends.host->to_host.open({100, 4}, record.data())) << "more is said to have been received";
  }
  {
    Ends ends(GetParam());
    std::vector<u8> record = sealed(ends);
    EXPECT_FALSE(engine::unseal(ends.deputy.in, kHead, record.data())) << "sent back";
  }
  {
    Ends ends(GetParam()), other(GetParam());
    std::vector<u8> record = sealed(other);
    EXPECT_FALSE(ends.host->to_host.open(kHead, record.data())) << "of another link";
  }
  {
    Ends ends(GetParam());
    std::vector<u8> record = with_room(plain);
    engine::seal(ends.deputy.out, kHead, record.data(), &ends.hello);
    wire::Hello changed = ends.hello;
    changed.pid = 4711;
    EXPECT_FALSE(ends.host->to_host.open(kHead, record.data(), &changed)) << "a changed hello";
  }
}

TEST_P(Records, KeysAreReplacedTogether) {
  Ends ends(GetParam());
  const std::array<u8, wire::kKeyBytes> key = [&] {
    std::array<u8, wire::kKeyBytes> copy;
    std::copy_n(ends.deputy.out.key, copy.size(), copy.begin());
    return copy;
  }();
  ends.deputy.out.count = wire::kRecordsPerKey - 2;
  Seal host(key, GetParam(), false, wire::kRecordsPerKey - 2);
  for (int i = 0; i < 5; ++i) {
    const std::vector<u8> plain = some(40, static_cast<u64>(i));
    std::vector<u8> record = with_room(plain);
    engine::seal(ends.deputy.out, {40, 0}, record.data(), nullptr);
    ASSERT_TRUE(host.open({40, 0}, record.data())) << i;
    EXPECT_TRUE(std::equal(plain.begin(), plain.end(), record.begin())) << i;
  }
  EXPECT_FALSE(std::equal(key.begin(), key.end(), ends.deputy.out.key));
}

INSTANTIATE_TEST_SUITE_P(Ciphers, Records, testing::Values(wire::Cipher::aes128_gcm, wire::Cipher::chacha20_poly1305),
                         [](const auto& info) {
                           return std::string(info.param == wire::Cipher::aes128_gcm ? "aes128_gcm" : "chacha20");
                         });

TEST(Cipher, BothEndsFindTheSame) { EXPECT_EQ(best_cipher(), engine::best_cipher()); }

// A link over a socket: messages of any size, and what is not a record ends it.
TEST(SealedLink, CarriesMessagesAndEndsAtNonsense) {
  for (const bool nonsense : {false, true}) {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    Fd ours(fds[0]);
    const Fd theirs(fds[1]);
    Ends ends(wire::Cipher::chacha20_poly1305);
    ends.hello.extra_bytes = 5;
    const std::vector<u8> message = some(300'000, 3);
    std::thread deputy([&] {
      std::vector<u8> record = with_room({'h', 'e', 'l', 'l', 'o'});
      const wire::RecordHead head{5, 0};
      engine::seal(ends.deputy.out, head, record.data(), &ends.hello);
      write_all(theirs.get(), &head, sizeof head);
      write_all(theirs.get(), record.data(), record.size());
      for (size_t at = 0; at < message.size(); at += wire::kMaxRecord) {
        const u32 here = static_cast<u32>(std::min<size_t>(message.size() - at, wire::kMaxRecord));
        record = with_room({message.begin() + static_cast<i64>(at), message.begin() + static_cast<i64>(at + here)});
        const wire::RecordHead next{here, 0};
        engine::seal(ends.deputy.out, next, record.data(), nullptr);
        if (nonsense && at > 0) record[7] ^= 1;
        write_all(theirs.get(), &next, sizeof next);
        write_all(theirs.get(), record.data(), record.size());
      }
    });
    std::vector<u8> first;
    SealedLink link = SealedLink::answer(ours, ends.token, ends.hello, &first, milliseconds(5'000));
    ASSERT_TRUE(link);
    EXPECT_EQ(std::string(first.begin(), first.end()), "hello");
    std::vector<u8> got(message.size());
    u8 byte = 0;
    EXPECT_TRUE(link.receive(got.data(), 1));
    EXPECT_TRUE(link.has_input());
    EXPECT_TRUE(link.peek(&byte, 1));
    EXPECT_EQ(byte, message[1]);
    EXPECT_EQ(link.receive(got.data() + 1, got.size() - 1), !nonsense);
    if (!nonsense) {
      EXPECT_EQ(got, message);
    }
    deputy.join();
  }
}

// A deputy of these tests' own: its end of a link's connection, over TCP.
class Caller {
 public:
  // The connection, with its first record; `link`: the host's end.
  Caller(const Fd& listener, const Ends& ends, const void* extra, u32 bytes, SealedLink* link)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), seals_(ends.deputy) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    Fd theirs(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    say(extra, bytes, &ends.hello);
    std::vector<u8> first;
    *link = SealedLink::answer(theirs, ends.token, ends.hello, &first, milliseconds(5'000));
  }
  void say(const void* bytes, u32 count, const wire::Hello* hello = nullptr) {
    std::vector<u8> record(static_cast<const u8*>(bytes), static_cast<const u8*>(bytes) + count);
    record = with_room(record);
    const wire::RecordHead head{count, 0};
    engine::seal(seals_.out, head, record.data(), hello);
    write_all(fd_.get(), &head, sizeof head);
    write_all(fd_.get(), record.data(), record.size());
  }
  void continue_as(const Caller& link) { seals_ = link.seals_; }
  void reset() {
    const linger at_once{1, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    fd_.reset();
  }

 private:
  Fd fd_;
  engine::Seals seals_;
};

// A deputy that got no answer on a new connection resets it, and comes again: that is not the reset by which its node
// says that there is no deputy (which ends the ear's link after its patience, here a second).
TEST(SealedLink, AConnectionThatTheDeputyGaveUpIsNotItsEnd) {
  Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(listen(listener.get(), 8), 0);
  for (const bool given_up : {true, false}) {
    Ends ends(wire::Cipher::chacha20_poly1305);
    ends.hello.role = wire::Role::ear;
    ends.hello.patience_s = 1;
    ends.hello.extra_bytes = 1;
    SealedLink link;
    Caller deputy(listener, ends, "e", 1, &link);
    ASSERT_TRUE(link);
    link.persist();
    char byte = 0;
    std::atomic<bool> heard = false;
    std::thread host([&] { heard = link.receive(&byte, 1) && byte == 'w'; });
    u32 attempt = 0;
    std::unique_ptr<Caller> last;
    const auto come_back = [&](bool tell) {
      Ends again(wire::Cipher::chacha20_poly1305);
      again.token = ends.token;
      wire::Resume resume{};
      resume.attempt = ++attempt;
      std::copy_n(ends.hello.nonce, sizeof resume.link, resume.link);
      again.hello.role = wire::Role::resume;
      again.hello.extra_bytes = sizeof resume;
      engine::begin_seals(again.deputy, again.token.data(), again.hello);
      SealedLink word;
      last = std::make_unique<Caller>(listener, again, &resume, sizeof resume, &word);
      EXPECT_TRUE(word);
      const bool back = link.trace().resume(std::move(word), resume);
      if (back && tell) last->continue_as(deputy), last->say("w", 1);
      return back;
    };
    deputy.reset();
    if (given_up) {
      EXPECT_TRUE(come_back(false));
      last->reset();
    }
    poll(nullptr, 0, 2'500);
    EXPECT_EQ(come_back(true), given_up);
    host.join();
    EXPECT_EQ(heard, given_up);
  }
}

TEST(SealedLink, IsNoneWithoutTheToken) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  Fd ours(fds[0]);
  const Fd theirs(fds[1]);
  Ends ends(wire::Cipher::chacha20_poly1305), other(wire::Cipher::chacha20_poly1305);
  ends.hello.extra_bytes = 5;
  std::vector<u8> record = with_room({'h', 'e', 'l', 'l', 'o'});
  const wire::RecordHead head{5, 0};
  engine::seal(other.deputy.out, head, record.data(), &ends.hello);
  write_all(theirs.get(), &head, sizeof head);
  write_all(theirs.get(), record.data(), record.size());
  std::vector<u8> first;
  EXPECT_FALSE(SealedLink::answer(ours, ends.token, ends.hello, &first, milliseconds(5'000)));
  EXPECT_TRUE(ours) << "it is the caller's to close";
}

}  // namespace
}  // namespace omig
