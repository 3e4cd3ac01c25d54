// SPDX-License-Identifier: Apache-2.0
// Who may speak to whom: certificates, tokens, tickets, revocations.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "homed/tickets.h"
#include "lib/link/conversation.h"

namespace omig {
namespace {

constexpr milliseconds kLimit{10'000};

struct Directory {
  std::string path;
  Directory() {
    char name[] = "/tmp/omig-identity-XXXXXX";
    EXPECT_NE(mkdtemp(name), nullptr);
    path = name;
  }
  ~Directory() { std::filesystem::remove_all(path); }
};

// What the two ends of a connection make of each other, and whether they can speak then.
struct Met {
  std::string caller_error, answerer_error;
  bool spoke = false;
};

template <class Answers, class Calls>
Met meet(Answers answers, Calls calls) {
  signal(SIGPIPE, SIG_IGN);
  Met met;
  const Fd listener = listen_tcp(Endpoint{{127, 0, 0, 1}, 0});
  std::thread answerer([&] {
    Conversation peer = answers(Fd(accept(listener.get(), nullptr, nullptr)), &met.answerer_error);
    const auto request = peer.receive();
    if (request) peer.send({{"echo", *request}});
  });
  Conversation peer = calls(local_endpoint(listener.get()), &met.caller_error);
  // Who calls has finished the handshake before it hears what the other end thinks of its certificate.
  if (peer.send({{"x", 1}})) {
    const auto answer = peer.receive();
    met.spoke = answer && answer->at("echo").at("x") == 1;
  }
  peer.end();
  answerer.join();
  return met;
}

Met meet_members(const Identity& answerer, const Identity& caller) {
  return meet([&](Fd fd, std::string* error) { return Conversation::answer(std::move(fd), answerer, kLimit, error); },
              [&](const Endpoint& to, std::string* error) { return Conversation::call(to, caller, kLimit, error); });
}

Met meet_by_ticket(const Ticket& answerer, const Ticket& caller) {
  const auto answers = [&](Fd fd, std::string* error) {
    TicketHello hello;
    EXPECT_TRUE(read_exactly(fd.get(), &hello, sizeof hello));
    EXPECT_EQ(hello.magic, kTicketMagic);
    EXPECT_EQ(hello.name, caller.name);
    return Conversation::answer(std::move(fd), answerer, kLimit, error);
  };
  return meet(answers,
              [&](const Endpoint& to, std::string* error) { return Conversation::call(to, caller, kLimit, error); });
}

TEST(Identity, MembersOfAClusterSpeak) {
  const Identity founder = new_cluster("one");
  const Met met = meet_members(founder, new_member(founder, "two"));
  EXPECT_TRUE(met.spoke) << met.caller_error << met.answerer_error;
}

TEST(Identity, OthersDoNot) {
  const Identity ours = new_cluster("one"), theirs = new_cluster("one");
  for (const auto& [answerer, caller] : {std::pair{ours, theirs}, std::pair{theirs, ours}}) {
    const Met met = meet_members(answerer, caller);
    EXPECT_FALSE(met.spoke);
    EXPECT_NE(met.caller_error, "");
  }
  // The names are right, the signature is not: as the other cluster would certify one of ours.
  Identity forged = new_member(theirs, "two");
  forged.cluster = ours.cluster;
  EXPECT_FALSE(meet_members(ours, forged).spoke);
}

TEST(Identity, IsKeptAndReadBack) {
  const Directory dir;
  std::string error;
  EXPECT_FALSE(load_identity(dir.path, &error));
  EXPECT_NE(error.find("identity.pem"), std::string::npos) << error;
  const auto founder = load_or_found(dir.path, "one", &error);
  ASSERT_TRUE(founder) << error;
  const auto again = load_or_found(dir.path, "other", &error);
  ASSERT_TRUE(again) << error;
  EXPECT_EQ(again->certificate, founder->certificate);
  EXPECT_EQ(again->key, founder->key);
  EXPECT_EQ(again->authority, founder->authority);
  EXPECT_EQ(again->multicast, founder->multicast);
  EXPECT_EQ(founder_of(again->cluster), "one");
  // Another cluster's member has no authority, and the old one is not left.
  const Identity member = new_member(new_cluster("two"), "one");
  ASSERT_TRUE(keep_identity(dir.path, member, &error)) << error;
  EXPECT_EQ(load_identity(dir.path, &error)->authority, "");
  EXPECT_FALSE(std::filesystem::exists(dir.path + "/authority.pem"));
  const std::string file = dir.path + "/identity.pem";
  ASSERT_EQ(chmod(file.c_str(), 0644), 0);
  EXPECT_FALSE(load_identity(dir.path, &error));
  EXPECT_NE(error.find("may be read by others"), std::string::npos) << error;
  ASSERT_EQ(chmod(file.c_str(), 0600), 0);
  std::filesystem::resize_file(file, 300);
  EXPECT_FALSE(load_or_found(dir.path, "one", &error)) << "a damaged identity must not be replaced by a new one";
  EXPECT_NE(error.find("no identity of a node"), std::string::npos) << error;
}

TEST(Identity, AnAuthorityOfAnotherClusterIsNone) {
  const Directory dir;
  std::string error;
  ASSERT_TRUE(keep_identity(dir.path, new_cluster("one"), &error));
  const Identity member = new_member(new_cluster("two"), "one");
  Identity mixed = member;
  mixed.authority = new_cluster("three").authority;
  ASSERT_TRUE(keep_identity(dir.path, mixed, &error));
  EXPECT_EQ(load_identity(dir.path, &error)->authority, "");
}

TEST(Identity, FingerprintsNameKeys) {
  const Identity founder = new_cluster("one"), member = new_member(founder, "two");
  EXPECT_EQ(fingerprint_of(member.certificate).size(), 32u);
  EXPECT_NE(fingerprint_of(member.certificate), fingerprint_of(founder.certificate));
  EXPECT_EQ(fingerprint_of(certify(founder, public_key_of(member.key), "new name")),
            fingerprint_of(member.certificate));
  EXPECT_EQ(fingerprint_of(std::string("no certificate")), "");
  EXPECT_EQ(certify(member, public_key_of(member.key), "two"), "") << "it has no authority";
  EXPECT_EQ(certify(founder, "no key", "two"), "");
}

TEST(Revocations, OnlyTheAuthorityRevokes) {
  const Identity founder = new_cluster("one"), other = new_cluster("two");
  const std::string node = fingerprint_of(new_member(founder, "bad").certificate);
  Revocations list{1, {node}, ""};
  EXPECT_FALSE(sign(&list, new_member(founder, "two")));
  ASSERT_TRUE(sign(&list, founder));
  EXPECT_TRUE(is_signed(list, founder.cluster));
  EXPECT_FALSE(is_signed(list, other.cluster));
  EXPECT_TRUE(list.has(node));
  EXPECT_FALSE(list.has(fingerprint_of(founder.certificate)));
  const auto told = revocations_from_json(to_json(list));
  ASSERT_TRUE(told);
  EXPECT_TRUE(is_signed(*told, founder.cluster));
  Revocations changed = list;
  changed.number = 2;
  EXPECT_FALSE(is_signed(changed, founder.cluster));
  changed = list;
  changed.nodes.clear();
  EXPECT_FALSE(is_signed(changed, founder.cluster));
}

TEST(Token, SaysWhomToAskAndWhomToBelieve) {
  const Invitation invitation{{{10, 1, 2, 3}, 7946}, std::string(32, 'a'), std::string(32, '1')};
  const std::string token = token_of(invitation);
  const auto read = invitation_in(token);
  ASSERT_TRUE(read) << token;
  EXPECT_EQ(read->at, invitation.at);
  EXPECT_EQ(read->cluster, invitation.cluster);
  EXPECT_EQ(read->secret, invitation.secret);
  for (size_t bytes = 0; bytes < token.size(); ++bytes) EXPECT_FALSE(invitation_in(token.substr(0, bytes))) << bytes;
  EXPECT_FALSE(invitation_in(token + "0"));
  EXPECT_FALSE(invitation_in("x" + token));
}

TEST(Ticket, OpensOneConversation) {
  const Ticket ticket = Ticket::fresh();
  EXPECT_TRUE(meet_by_ticket(ticket, ticket).spoke);
  Ticket other = Ticket::fresh();
  other.name = ticket.name;
  const Met met = meet_by_ticket(ticket, other);
  EXPECT_FALSE(met.spoke);
  EXPECT_NE(met.answerer_error, "");
  const auto told = Ticket::from_json(ticket.to_json());
  ASSERT_TRUE(told);
  EXPECT_EQ(told->key, ticket.key);
  EXPECT_FALSE(Ticket::from_json({{"name", "00"}, {"key", 1}}));
}

TEST(Ticket, IsUsedOnceAndInTime) {
  OneTime<int, std::string> tickets(2);
  tickets.give(1, "one", 100);
  EXPECT_EQ(tickets.use(1, 99), "one");
  EXPECT_EQ(tickets.use(1, 99), std::nullopt);
  tickets.give(2, "two", 100);
  EXPECT_EQ(tickets.use(2, 100), std::nullopt);
  tickets.give(3, "three", 200, 2);
  EXPECT_EQ(tickets.use(3, 150), "three");
  EXPECT_EQ(tickets.use(3, 150), "three");
  EXPECT_EQ(tickets.use(3, 150), std::nullopt);
  for (int i = 0; i < 3; ++i) tickets.give(10 + i, "", 300);
  EXPECT_EQ(tickets.use(10, 200), std::nullopt) << "of too many the oldest is forgotten";
  EXPECT_EQ(tickets.use(12, 200), "");
}

// Two conversations with something between them that passes bytes on.
TEST(Conversation, WhatIsChangedOnTheWayIsNoticed) {
  signal(SIGPIPE, SIG_IGN);
  const Ticket ticket = Ticket::fresh();
  const std::string text(200'000, 't');
  for (const char* harm : {"none", "changed", "left out", "twice", "cut off"}) {
    const Fd listener = listen_tcp(Endpoint{{127, 0, 0, 1}, 0}), middle = listen_tcp(Endpoint{{127, 0, 0, 1}, 0});
    std::string got(text.size(), '\0');
    bool whole = false;
    std::thread answerer([&] {
      Fd fd(accept(listener.get(), nullptr, nullptr));
      TicketHello hello;
      std::string error;
      EXPECT_TRUE(read_exactly(fd.get(), &hello, sizeof hello));
      Conversation peer = Conversation::answer(std::move(fd), ticket, kLimit, &error);
      EXPECT_TRUE(peer) << error;
      whole = peer.read(got.data(), got.size());
    });
    std::thread between([&] {
      const Fd from(accept(middle.get(), nullptr, nullptr));
      const Fd to = connect_tcp(local_endpoint(listener.get()), kLimit);
      std::thread back([&] {
        char bytes[4096];
        for (ssize_t count; (count = recv(to.get(), bytes, sizeof bytes, 0)) > 0;)
          if (!write_all(from.get(), bytes, static_cast<size_t>(count))) break;
      });
      std::string bytes(1000, '\0');
      size_t passed = 0;
      bool harmed = false;
      for (size_t count; (count = read_some(from.get(), bytes.data(), bytes.size(), kLimit)) > 0;) {
        const bool now = !harmed && passed > 50'000;
        passed += count;
        harmed = harmed || now;
        const std::string_view what = now ? harm : "none";
        if (what == "changed") bytes[count / 2] ^= 1;
        if (what == "cut off") break;
        if (what != "left out" && !write_all(to.get(), bytes.data(), count)) break;
        if (what == "twice" && !write_all(to.get(), bytes.data(), count)) break;
      }
      shutdown(to.get(), SHUT_RDWR);
      back.join();
    });
    std::string error;
    Conversation peer = Conversation::call(local_endpoint(middle.get()), ticket, kLimit, &error);
    ASSERT_TRUE(peer) << error;
    peer.write(text.data(), text.size());
    peer.end();
    answerer.join();
    between.join();
    EXPECT_EQ(whole, std::string_view(harm) == "none") << harm;
    if (whole) {
      EXPECT_EQ(got, text);
    }
  }
}

}  // namespace
}  // namespace omig
