// SPDX-License-Identifier: Apache-2.0
// Coming home, and moving on to another node.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "tests/engine/away.h"

namespace omig::test {
namespace {

void write_memory_at(Link& link, u64 address, const std::string& bytes) {
  std::string body(reinterpret_cast<const char*>(&address), 8);
  body += bytes;
  link.send(wire::Type::write_memory, body.data(), body.size());
}

TEST(Home, WithWhatTheGuestChanged) {
  for (int i = 0; i < 10; ++i) {
    Subject subject({"spin"});
    wait_until_it_spins(subject);
    Listener listener;
    std::vector<ThreadState> states;
    Links links = depart(subject, listener, &states);
    commit(links);
    const u64 page = subject.address("page");
    const u64 one = 1;
    write_memory_at(links.leader(), subject.address("flag"), std::string(reinterpret_cast<const char*>(&one), 8));
    write_memory_at(links.leader(), page, std::string(8192, '\x5a'));
    write_memory_at(links.leader(), page, "\x11");
    // A mapping that the guest made: home makes it, fills it, and it is there.
    const u64 fresh = 0x10'0000'0000;
    EXPECT_EQ(links.leader().number(SYS_mmap, {fresh, 32 << 20, PROT_READ | PROT_WRITE,
                                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0}),
              static_cast<long>(fresh));
    std::string large(20 << 20, 0);
    for (size_t k = 0; k < large.size(); ++k) large[k] = static_cast<char>(k * 31 >> 3);
    write_memory_at(links.leader(), fresh + 100, large);
    states[0].regs.r12 = 0xabcdef;
    states[0].regs.rbx = 0x77;
    for (int b = 0; b < 16; ++b) states[0].xstate[160 + 16 * 5 + static_cast<size_t>(b)] ^= 0xff;  // xmm5
    EXPECT_EQ(links.leader().number(SYS_getppid), getpid());
    come_home(links, states);
    EXPECT_EQ(subject.line(), "changed: rbx=77 r12=abcdef ymm5");
    EXPECT_EQ(subject.line(), "page 11 5a");
    const Anchor anchor = read_anchor(subject.pid());
    EXPECT_EQ(anchor.where, Where::home);
    EXPECT_EQ(anchor.moves, 2u);
    std::string back(large.size(), 0);
    read_memory(subject.pid(), fresh + 100, back.data(), back.size());
    EXPECT_TRUE(back == large);
    subject.say("");
    EXPECT_EQ(subject.wait_status(), 0);
  }
}

TEST(Home, ABadAddressIsToldAndEverythingGoesOn) {
  Away away(1);
  const u64 page = away.subject.address("page");
  const u64 hole = 0x10'0000'0000;
  EXPECT_EQ(away.leader().number(SYS_mmap, {hole, 8192, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0}),
            static_cast<long>(hole));
  for (size_t bytes : {size_t{100}, size_t{20'000}, size_t{1} << 20}) {
    for (u64 bad : {hole + 8192 - 50, u64{0x4000}, u64{0xffff'8000'0000'0000}}) {
      write_memory_at(away.leader(), bad, std::string(bytes, 'b'));
      write_memory_at(away.leader(), page, "fine");
      u64 seq;
      send_resume_state(away.leader(), &seq, resume_state_of(away.states[0], away.leader().thread, 2), away.states[0]);
      EXPECT_EQ(away.leader().reply(seq).ret(), -EFAULT);
      send_resume_state(away.leader(), &seq, resume_state_of(away.states[0], away.leader().thread, 2), away.states[0]);
      EXPECT_EQ(away.leader().reply(seq).ret(), 0);
      EXPECT_EQ(away.leader().number(SYS_getppid), getpid());  // resume_state is reversible
    }
  }
  come_home(away.links, away.states);
  away.subject.say("quit");
  EXPECT_EQ(away.subject.line(), "verdict errors=0 line=0");
}

// Out and home again, many times, with signals on the way: nothing is lost, nothing is doubled, the kernel's
// registrations are the old ones, and the threads go on from the very instruction.
TEST(Home, FiftyTimesWithThreadsAndSignals) {
  Subject subject({"threads", "4"});
  const std::string before = registrations(states_at_home(subject));
  for (int i = 1; i <= 50; ++i) {
    Listener listener;
    std::vector<ThreadState> states;
    const u32 leader = static_cast<u32>(i % 5);
    size_t threads = 0;
    {
      Frozen frozen(subject.pid());
      frozen.prepare(listener.port(), listener.token(), leader);
      threads = frozen.threads().size();
      states = frozen.threads();
      frozen.divert();
    }
    ASSERT_EQ(threads, 5u);
    ASSERT_EQ(kill(subject.pid(), SIGUSR1), 0);
    Links links = accept_links(listener, threads);
    commit(links, "elsewhere", leader);
    ASSERT_EQ(kill(subject.pid(), SIGUSR2), 0);
    come_home(links, states);
    ASSERT_EQ(kill(subject.pid(), 64), 0);
    const std::string wanted = "count " + std::to_string(i) + " " + std::to_string(i) + " " + std::to_string(i);
    std::string count;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    do {
      subject.say("count");
      count = subject.line();
    } while (count != wanted && std::chrono::steady_clock::now() < end);
    ASSERT_EQ(count, wanted);
    EXPECT_EQ(registrations(states_at_home(subject)), before);  // no handler is running any more
    EXPECT_EQ(tasks(subject.pid()).size(), 5u);
    EXPECT_EQ(descriptors(subject.pid()).size(), 3u);
    ASSERT_EQ(read_anchor(subject.pid()).moves, 2u * static_cast<u32>(i));
  }
  subject.say("quit");
  EXPECT_EQ(subject.line(), "verdict errors=0 line=0");
  EXPECT_EQ(subject.wait_status(), 0);
}

// Late aborts stay inside: the program's own handler of that signal must not run for them.
TEST(Home, NoAbortReachesTheProgram) {
  for (int i = 0; i < 50; ++i) {
    Away away(2);
    for (u32 slot = 0; slot < 3; ++slot) {
      wire::AbortCall order;
      order.slot = slot;
      order.seq = 1;
      for (int k = 0; k < 20; ++k) away.ear().send(wire::Type::abort_call, order);
    }
    come_home(away.links, away.states);
    states_at_home(away.subject);
    away.subject.say("count");
    EXPECT_EQ(away.subject.line(), "count 0 0 0");
    away.subject.say("quit");
    EXPECT_EQ(away.subject.line(), "verdict errors=0 line=0");
  }
}

// Aborts that come when a thread has its `go` and blocks everything already, and waits for the others.
TEST(Home, AbortsDuringTheGoAreDropped) {
  for (int i = 0; i < 20; ++i) {
    Away away(2);
    std::vector<u64> seqs(3);
    for (size_t k = 0; k < 3; ++k)
      send_resume_state(away.links.threads[k], &seqs[k],
                        resume_state_of(away.states[k], away.links.threads[k].thread, 3), away.states[k]);
    for (size_t k = 0; k < 3; ++k) EXPECT_EQ(away.links.threads[k].reply(seqs[k]).ret(), 0);
    const wire::KernelSigaction action = away.ear().process.actions[63];
    for (size_t k = 0; k < 2; ++k) seqs[k] = away.links.threads[k].send(wire::Type::go, action);
    // Both are at the barrier when they block the signal.
    for (size_t k = 0; k < 2; ++k) {
      const std::string path =
          "/proc/" + std::to_string(away.subject.pid()) + "/task/" + std::to_string(away.states[k].tid) + "/status";
      for (std::string blocked; blocked != "ffffffff";) {
        std::ifstream file(path);
        for (std::string line; std::getline(file, line);)
          if (line.starts_with("SigBlk:")) blocked = line.substr(line.find_first_not_of(" \t", 7), 8);
      }
    }
    for (u32 slot = 0; slot < 2; ++slot) {
      wire::AbortCall order;
      order.slot = slot;
      order.seq = 1;
      for (int k = 0; k < 3; ++k) away.ear().send(wire::Type::abort_call, order);
    }
    const u64 all = ~0ull;
    EXPECT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, all)).ret(), 0);
    seqs[2] = away.links.threads[2].send(wire::Type::go, action);
    for (size_t k = 0; k < 3; ++k) EXPECT_EQ(away.links.threads[k].reply(seqs[k]).ret(), 0);
    states_at_home(away.subject);
    away.subject.say("count");
    EXPECT_EQ(away.subject.line(), "count 0 0 0");
    away.subject.say("quit");
    EXPECT_EQ(away.subject.line(), "verdict errors=0 line=0");
  }
}

// A thread that was born away.
TEST(Home, ThreadsBornAwayComeAlong) {
  for (int i = 0; i < 20; ++i) {
    Away away(1);
    ASSERT_GT(away.leader().reply(away.leader().send(wire::Type::new_thread)).ret(), 0);
    Link link = away.listener.accept();
    ThreadState fresh = away.states[1];
    fresh.regs.rip = away.subject.address("spare");
    fresh.regs.rsp = away.subject.address("stack");
    fresh.regs.fs_base = fresh.regs.gs_base = 0;
    fresh.rseq = 0;
    fresh.robust_list = 0;
    away.links.threads.push_back(std::move(link));
    away.states.push_back(fresh);
    // No clear_child_tid of its own: the Hello of a fresh thread says 0.
    EXPECT_EQ(away.links.threads[2].thread.clear_child_tid, 0u);
    come_home(away.links, away.states);
    EXPECT_EQ(away.subject.line(), "spare runs");
    away.subject.say("quit");
    EXPECT_EQ(away.subject.line(), "verdict errors=0 line=0");
    EXPECT_EQ(away.subject.wait_status(), 0);
  }
}

TEST(Home, ALinkThatDiesBeforeEverybodyHasGoEndsTheProcess) {
  Away away(2);
  std::vector<u64> seqs(3);
  for (size_t k = 0; k < 3; ++k)
    send_resume_state(away.links.threads[k], &seqs[k], resume_state_of(away.states[k], away.links.threads[k].thread, 3),
                      away.states[k]);
  for (size_t k = 0; k < 3; ++k) EXPECT_EQ(away.links.threads[k].reply(seqs[k]).ret(), 0);
  away.links.threads[0].send(wire::Type::go, wire::KernelSigaction{});
  away.links.threads[2].send(wire::Type::go, wire::KernelSigaction{});
  EXPECT_TRUE(away.links.threads[0].silent(20));
  away.links.threads[1].close();
  const int status = away.subject.wait_status();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

std::vector<u64> send_relinks(Links& links, Listener& to, size_t leader) {
  std::vector<u64> seqs;
  for (size_t i = 0; i < links.threads.size(); ++i) {
    wire::Relink relink;
    relink.port = to.port();
    relink.leader = i == leader;
    const u8 loopback[4] = {127, 0, 0, 1};
    memcpy(relink.address, loopback, 4);
    memcpy(relink.token, to.token(), sizeof relink.token);
    strcpy(relink.node, "third");
    seqs.push_back(links.threads[i].send(wire::Type::relink, relink));
  }
  return seqs;
}

TEST(Relink, ThereAndOnAndHome) {
  Away away(3);
  Listener listeners[2];
  Links now = std::move(away.links);
  for (int i = 0; i < 50; ++i) {
    Listener& next = listeners[i % 2];
    const size_t leader = static_cast<size_t>(i % 4);
    const u64 all = ~0ull, none = 0;
    ASSERT_EQ(now.ear->reply(now.ear->send(wire::Type::exclude, all)).ret(), 0);
    ASSERT_EQ(kill(away.subject.pid(), SIGUSR1), 0);
    send_relinks(now, next, leader);
    Links fresh = accept_links(next, 4);
    EXPECT_EQ(fresh.ear->process.actions[63].handler, fresh.ear->process.actions[SIGUSR1 - 1].handler);
    for (size_t k = 0; k < 4; ++k) EXPECT_EQ(fresh.threads[k].hello.tid, now.threads[k].hello.tid);
    EXPECT_TRUE(now.leader().silent(0));
    commit(fresh, "third", leader);
    for (Link& link : now.threads) EXPECT_TRUE(link.at_end());
    EXPECT_TRUE(now.ear->at_end());
    now = std::move(fresh);
    EXPECT_EQ(now.ear->reply(now.ear->send(wire::Type::exclude, none)).ret(), 0);
    if (now.ear->collected.empty()) now.ear->collected.push_back(now.ear->signal());
    EXPECT_EQ(now.ear->collected.at(0).si_signo, SIGUSR1);
    now.ear->collected.clear();
    for (Link& link : now.threads) EXPECT_EQ(link.number(SYS_gettid), link.hello.tid);
    const Anchor anchor = read_anchor(away.subject.pid());
    EXPECT_EQ(anchor.moves, 2u + static_cast<u32>(i));
    EXPECT_STREQ(anchor.node, "third");
    EXPECT_EQ(anchor.host_port, next.port());
    EXPECT_EQ(descriptors(away.subject.pid()).size(), 3u + 6u);
  }
  for (size_t k = 0; k < 4; ++k) now.threads[k].thread = away.extras[k];
  come_home(now, away.states);
  away.subject.say("quit");
  EXPECT_EQ(away.subject.line(), "verdict errors=0 line=0");
}

TEST(Relink, FailureStaysWhereItWas) {
  Away away(3);
  for (int i = 0; i < 60; ++i) {
    Listener next;
    const size_t leader = static_cast<size_t>(i % 4);
    const u64 all = ~0ull, none = 0;
    ASSERT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, all)).ret(), 0);
    std::vector<u64> seqs;
    if (i % 3 == 0) {  // nobody listens there
      next.close();
      seqs = send_relinks(away.links, next, leader);
    } else if (i % 3 == 1) {  // it takes some links and dies
      seqs = send_relinks(away.links, next, leader);
      std::vector<Link> some;
      for (int k = 0; k < i % 5; ++k) some.push_back(next.accept());
      some.clear();
      next.close();
    } else {  // it refuses at the last moment
      seqs = send_relinks(away.links, next, leader);
      Links fresh = accept_links(next, 4);
      fresh.threads[leader].close();
      for (size_t k = 0; k < 4; ++k) {
        if (k != leader) {
          EXPECT_TRUE(fresh.threads[k].at_end());
        }
      }
      EXPECT_TRUE(fresh.ear->at_end());
    }
    for (size_t k = 0; k < 4; ++k) EXPECT_EQ(away.links.threads[k].reply(seqs[k]).ret(), -ECONNRESET);
    EXPECT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, none)).ret(), 0);
    ASSERT_EQ(kill(away.subject.pid(), SIGUSR1), 0);
    EXPECT_EQ(away.ear().signal().si_signo, SIGUSR1);
    for (Link& link : away.links.threads) EXPECT_EQ(link.number(SYS_gettid), link.hello.tid);
    EXPECT_EQ(read_anchor(away.subject.pid()).host_port, away.listener.port());
    EXPECT_EQ(descriptors(away.subject.pid()).size(), 3u + 6u);
  }
  come_home(away.links, away.states);
  away.subject.say("quit");
  EXPECT_EQ(away.subject.line(), "verdict errors=0 line=0");
}

// Takes numbers of the engine's range away until exactly `left` are free.
void occupy_descriptors(Away& away, size_t left) {
  const u64 first = away.leader().hello.guard_first, last = away.leader().hello.guard_last;
  rlimit files{};
  ASSERT_EQ(prlimit(away.subject.pid(), RLIMIT_NOFILE, nullptr, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(prlimit(away.subject.pid(), RLIMIT_NOFILE, &files, nullptr), 0);
  size_t free_numbers = last - first + 1 - 6;
  for (; free_numbers > left; --free_numbers) ASSERT_GT(away.leader().number(SYS_fcntl, {0, F_DUPFD, first}), 0);
}

// Some thread cannot link although the new host lives: the others must not wait for a word that never comes.
TEST(Relink, OneThreadThatCannotLinkStopsAll) {
  for (size_t leader = 0; leader < 4; ++leader) {
    Away away(3);
    occupy_descriptors(away, 3);
    Listener next;
    const std::vector<u64> seqs = send_relinks(away.links, next, leader);
    // The new host's kernel takes the links of the others, and nobody closes them.
    for (size_t k = 0; k < 4; ++k) EXPECT_EQ(away.links.threads[k].reply(seqs[k]).ret(), -ECONNRESET);
    for (Link& link : away.links.threads) EXPECT_EQ(link.number(SYS_gettid), link.hello.tid);
  }
}

TEST(Abandon, OneThreadThatCannotLinkStopsAll) {
  Away away(3);
  occupy_descriptors(away, 0);
  come_home(away.links, away.states);  // sets 6 numbers free
  states_at_home(away.subject);
  for (u32 leader = 0; leader < 4; ++leader) {
    // Ear, signalfd and 4 threads need 6: take one away.
    Listener listener;  // takes links and never says a word
    {
      Frozen frozen(away.subject.pid());
      if (leader == 0) {
        ASSERT_GT(frozen.inject(SYS_fcntl, {0, F_DUPFD, away.leader().hello.guard_first}), 0);
      }
      frozen.prepare(listener.port(), listener.token(), leader);
      frozen.divert();
    }
    states_at_home(away.subject);
    away.subject.say("errors");
    EXPECT_EQ(away.subject.line(), "errors 0 line 0");
  }
}

TEST(Relink, ThreadsBornBeforeGoAlong) {
  Away away;
  Listener next, third;
  const u64 all = ~0ull;
  ASSERT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, all)).ret(), 0);
  send_relinks(away.links, next, 0);
  Links second = accept_links(next, 1);
  commit(second);
  ASSERT_GT(second.leader().reply(second.leader().send(wire::Type::new_thread)).ret(), 0);
  second.threads.push_back(next.accept());
  send_relinks(second, third, 1);
  Links last = accept_links(third, 2);
  commit(last, "third", 1);
  EXPECT_EQ(last.threads[1].number(SYS_gettid), second.threads[1].hello.tid);
  EXPECT_EQ(last.threads[0].number(SYS_gettid), away.subject.pid());
}

}  // namespace
}  // namespace omig::test
