// SPDX-License-Identifier: Apache-2.0
// Children, threads, exec and the ways to die.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <set>
#include <stdexcept>
#include <thread>

#include "tests/engine/away.h"

namespace omig::test {
namespace {

// A forked child deputy's links.
Links accept_child(Listener& listener) { return accept_links(listener, 1); }

long fork_call(Link& link, u64 flags) { return link.reply(link.send(wire::Type::fork, wire::Fork{flags})).ret(); }

long wait4_call(Link& link, pid_t pid, i32* status) {
  CallSpec spec(SYS_wait4, {static_cast<u64>(pid), 0, 0, 0});
  spec.pointer(1, spec.room(4));
  const Result result = link.call(spec);
  if (result.ret() > 0) memcpy(status, result.outs.at(0).data(), 4);
  return result.ret();
}

TEST(Fork, ChildrenServeAndEnd) {
  Away away(2);
  for (u64 i = 0; i < 50; ++i) {
    const long pid = fork_call(away.leader(), SIGCHLD);
    ASSERT_GT(pid, 0);
    Links child = accept_child(away.listener);
    EXPECT_EQ(child.leader().hello.pid, pid);
    EXPECT_EQ(child.leader().hello.tid, pid);
    EXPECT_NE(child.ear->process.actions[SIGUSR1 - 1].handler, 0u);
    EXPECT_EQ(child.ear->process.actions[63].handler, child.ear->process.actions[SIGUSR1 - 1].handler);
    EXPECT_EQ(child.leader().number(SYS_getppid), away.subject.pid());
    EXPECT_EQ(tasks(static_cast<pid_t>(pid)).size(), 2u);        // itself and its ear
    EXPECT_EQ(descriptors(static_cast<pid_t>(pid)).size(), 6u);  // 0 1 2, its two links, its signalfd
    EXPECT_EQ(read_anchor(static_cast<pid_t>(pid)).where, Where::away);
    const u64 status = 7 + i;
    child.leader().send(wire::Type::exit_group, status);
    EXPECT_TRUE(child.leader().at_end());
    EXPECT_TRUE(child.ear->at_end());
    const siginfo_t info = away.ear().signal();
    EXPECT_EQ(info.si_signo, SIGCHLD);
    EXPECT_EQ(info.si_code, CLD_EXITED);
    EXPECT_EQ(info.si_pid, pid);
    EXPECT_EQ(info.si_status, static_cast<int>(status));
    i32 reported = 0;
    EXPECT_EQ(wait4_call(away.leader(), static_cast<pid_t>(pid), &reported), pid);
    EXPECT_EQ(WEXITSTATUS(reported), static_cast<int>(status));
    EXPECT_EQ(away.links.threads[1].number(SYS_getppid), getpid());
  }
}

TEST(Fork, FromAnotherThreadWithGrandchildrenAndNoSignal) {
  Away away(2);
  ASSERT_GT(fork_call(away.links.threads[2], 0), 0);
  Links child = accept_child(away.listener);
  EXPECT_EQ(child.leader().hello.slot, 2u);
  const long grandchild_pid = fork_call(child.leader(), SIGUSR2);
  Links grandchild = accept_child(away.listener);
  EXPECT_EQ(grandchild.leader().number(SYS_getppid), child.leader().hello.pid);
  // CLONE_PARENT: its parent is the subject.
  ASSERT_GT(fork_call(child.leader(), CLONE_PARENT), 0);
  Links sibling = accept_child(away.listener);
  EXPECT_EQ(sibling.leader().number(SYS_getppid), away.subject.pid());
  const u64 status = 3;
  grandchild.leader().send(wire::Type::exit_group, status);
  const siginfo_t info = child.ear->signal();
  EXPECT_EQ(info.si_signo, SIGUSR2);
  EXPECT_EQ(info.si_pid, grandchild_pid);
  child.leader().send(wire::Type::exit_group, status);
  sibling.leader().send(wire::Type::exit_group, status);
  EXPECT_TRUE(sibling.leader().at_end());
  EXPECT_TRUE(away.ear().silent(20));
}

TEST(Fork, AChildThatCannotLinkSaysSoAndEnds) {
  Away away;
  away.listener.close();
  const long pid = fork_call(away.leader(), SIGCHLD);
  ASSERT_GT(pid, 0);
  i32 status = 0;
  EXPECT_EQ(wait4_call(away.leader(), static_cast<pid_t>(pid), &status), pid);
  EXPECT_EQ(WEXITSTATUS(status), 127);
  const u64 zero = 0;
  away.leader().send(wire::Type::exit_group, zero);
  EXPECT_EQ(away.subject.errors(), "omig: the node elsewhere that process " + std::to_string(pid) +
                                       " was born on cannot be reached; the process ends (status 127)\n");
}

TEST(Threads, ComeAndGoFiftyTimes) {
  Away away(1);
  std::set<u32> slots;
  for (int i = 0; i < 50; ++i) {
    const long tid = away.leader().reply(away.leader().send(wire::Type::new_thread)).ret();
    ASSERT_GT(tid, 0);
    Link link = away.listener.accept();
    EXPECT_EQ(link.hello.tid, tid);
    slots.insert(link.hello.slot);
    EXPECT_EQ(link.number(SYS_gettid), tid);
    // It is its own thread: blocked alone.
    const auto [r, w] = make_pipe(link);
    const u64 seq = link.send_call(read_spec(r, 1));
    EXPECT_EQ(away.leader().call(write_spec(w, "!")).ret(), 1);
    EXPECT_EQ(link.reply(seq).outs.at(0), "!");
    EXPECT_EQ(link.number(SYS_close, {r}), 0);
    EXPECT_EQ(link.number(SYS_close, {w}), 0);
    const u64 zero = 0;
    link.send(wire::Type::exit_thread, zero);
    EXPECT_TRUE(link.at_end());
    while (tasks(away.subject.pid()).size() > 3) {
    }
  }
  EXPECT_LE(slots.size(), 2u) << "slots are not used again";  // the kernel frees one a moment after the link has closed
}

TEST(Threads, ManyAtOnce) {
  Away away;
  std::vector<Link> links;
  std::set<u32> slots;
  for (int i = 0; i < 40; ++i) {
    ASSERT_GT(away.leader().reply(away.leader().send(wire::Type::new_thread)).ret(), 0);
    links.push_back(away.listener.accept());
    slots.insert(links.back().hello.slot);
  }
  EXPECT_EQ(slots.size(), 40u);
  std::vector<u64> seqs;
  for (Link& link : links) seqs.push_back(link.send_call(CallSpec(SYS_gettid)));
  for (size_t i = 0; i < links.size(); ++i) EXPECT_EQ(links[i].reply(seqs[i]).ret(), links[i].hello.tid);
  const u64 status = 9;
  away.leader().send(wire::Type::exit_group, status);
  for (Link& link : links) EXPECT_TRUE(link.at_end());
  EXPECT_EQ(WEXITSTATUS(away.subject.wait_status()), 9);
}

// Kernels differ in whose status a process gets whose leader ended first.
int native_status() {
  const pid_t pid = fork();
  if (pid == 0) {
    std::thread([] {
      while (status_field(getpid(), "State").at(0) != 'Z') {
      }
      syscall(SYS_exit, 6);
    }).detach();
    syscall(SYS_exit, 5);
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return status;
}

TEST(Threads, TheLastOneEndsTheProcess) {
  Away away(1);
  const u64 five = 5, six = 6;
  away.leader().send(wire::Type::exit_thread, five);
  EXPECT_TRUE(away.leader().at_end());
  while (status_field(away.subject.pid(), "State").at(0) != 'Z') {
  }
  EXPECT_EQ(away.links.threads[1].number(SYS_getppid), getpid());
  away.links.threads[1].send(wire::Type::exit_thread, six);
  EXPECT_TRUE(away.ear().at_end());
  EXPECT_EQ(away.subject.wait_status(), native_status());
}

std::vector<u8> exec_body(wire::Exec exec, const std::string& path, const std::vector<std::string>& argv,
                          const std::vector<std::string>& envp) {
  exec.argc = static_cast<u32>(argv.size());
  exec.envc = static_cast<u32>(envp.size());
  std::vector<u8> body(sizeof exec);
  memcpy(body.data(), &exec, sizeof exec);
  const auto add = [&body](const std::string& s) { body.insert(body.end(), s.c_str(), s.c_str() + s.size() + 1); };
  add(path);
  for (const auto& s : argv) add(s);
  for (const auto& s : envp) add(s);
  return body;
}

u64 send_exec(Link& link, const wire::Exec& exec, const std::string& path, const std::vector<std::string>& argv,
              const std::vector<std::string>& envp = {}) {
  const auto body = exec_body(exec, path, argv, envp);
  return link.send(wire::Type::exec, body.data(), body.size());
}

TEST(Exec, SuccessShowsAsTheEndOfEveryLink) {
  for (int i = 0; i < 20; ++i) {
    Away away(3);
    send_exec(away.links.threads[static_cast<size_t>(i % 4)], {}, "/bin/sh",
              {"sh", "-c", "echo \"$0 $1 $OTHER $$\"; ls /proc/self/fd | wc -l; exit 42", "name", "two words"},
              {"OTHER=thing", "PATH=/usr/bin:/bin"});
    for (Link& link : away.links.threads) EXPECT_TRUE(link.at_end());
    EXPECT_TRUE(away.ear().at_end());
    const std::string line = away.subject.line();
    EXPECT_EQ(line, "name two words thing " + std::to_string(away.subject.pid())) << "$1 holds: " << line;
    EXPECT_EQ(std::stoi(away.subject.line()), 4);  // 0 1 2 and ls' own
    EXPECT_EQ(WEXITSTATUS(away.subject.wait_status()), 42);
  }
}

u64 status_mask(const std::vector<std::string>& lines, const std::string& name) {
  for (const auto& line : lines)
    if (line.starts_with(name + ":")) return std::stoull(line.substr(name.size() + 1), nullptr, 16);
  ADD_FAILURE() << "no " << name;
  return 0;
}

TEST(Exec, MaskIgnoredAndPendingSignalsGoAlong) {
  for (int i = 0; i < 20; ++i) {
    Away away(1);
    const u64 none = 0, all = ~0ull;
    EXPECT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, all)).ret(), 0);
    ASSERT_EQ(kill(away.subject.pid(), SIGWINCH), 0);  // its default is to be ignored: must not be lost on the way
    ASSERT_EQ(kill(away.subject.pid(), SIGUSR2), 0);
    wire::Exec exec;
    exec.sigmask = 1ull << (SIGUSR2 - 1) | 1ull << (SIGWINCH - 1);
    exec.ignored = 1ull << (SIGHUP - 1) | 1ull << (SIGCHLD - 1) | 1ull << 63;
    exec.handled = 1ull << (SIGWINCH - 1) | 1ull << (SIGUSR1 - 1);
    send_exec(away.leader(), exec, "/bin/cat", {"cat", "/proc/self/status"});
    std::vector<std::string> lines;
    do lines.push_back(away.subject.line());
    while (!lines.back().starts_with("SigCgt"));
    EXPECT_EQ(status_mask(lines, "SigBlk"), exec.sigmask);
    EXPECT_EQ(status_mask(lines, "SigIgn"), exec.ignored);
    EXPECT_EQ(status_mask(lines, "SigCgt"), none);
    EXPECT_EQ(status_mask(lines, "ShdPnd"), exec.sigmask);
    EXPECT_EQ(away.subject.wait_status(), 0);
  }
}

TEST(Exec, FailureIsAnAnswerAndLifeGoesOn) {
  Away away(1);
  wire::Exec exec;
  exec.ignored = ~0ull;
  EXPECT_EQ(away.leader().reply(send_exec(away.leader(), exec, "/nonexistent", {"x"})).ret(), -ENOENT);
  EXPECT_EQ(away.leader().reply(send_exec(away.leader(), {}, "/bin/true", {"x"}, {std::string(3 << 20, 'e')})).ret(),
            -E2BIG);
  // The ear hears, aborts work, the actions are the old ones.
  ASSERT_EQ(kill(away.subject.pid(), SIGTERM), 0);
  EXPECT_EQ(away.ear().signal().si_signo, SIGTERM);
  const auto [r, w] = make_pipe(away.leader());
  const u64 seq = away.leader().send_call(read_spec(r, 1));
  wire::AbortCall order;
  order.seq = seq;
  away.ear().send(wire::Type::abort_call, order);
  const Result aborted = away.leader().reply(seq);
  EXPECT_TRUE(aborted.reply.flags == wire::kReplyAborted || aborted.reply.flags == wire::kReplyNotRun);
  CallSpec action(SYS_rt_sigaction, {SIGHUP, 0, 0, 8});
  action.pointer(2, action.room(32));
  u64 handler = 0;
  memcpy(&handler, away.leader().call(action).outs.at(0).data(), 8);
  EXPECT_EQ(handler, 1u);
  action.call.args[0] = SIGTERM;
  memcpy(&handler, away.leader().call(action).outs.at(0).data(), 8);
  EXPECT_EQ(handler, 0u);
}

// It would be pending in the new program, which has no handler for it.
TEST(Exec, AnAbortThatComesTooLateDoesNotKillTheNewProgram) {
  for (int i = 0; i < 100; ++i) {
    Away away(1);
    wire::AbortCall order;
    order.seq = away.leader().send_call(CallSpec(SYS_getppid, {}));
    for (int k = 0; k <= i % 40; ++k) away.ear().send(wire::Type::abort_call, order);
    send_exec(away.leader(), {}, "/bin/true", {"true"});
    try {
      for (int k = i % 40; k < 40; ++k) away.ear().send(wire::Type::abort_call, order);
    } catch (const std::runtime_error&) {  // the link has ended with the program
    }
    EXPECT_EQ(away.subject.wait_status(), 0);
  }
}

TEST(Exec, AtADirectoryAndWithoutArguments) {
  Away away;
  CallSpec open_bin(SYS_openat, {static_cast<u64>(AT_FDCWD), 0, O_PATH | O_CLOEXEC});
  open_bin.pointer(1, open_bin.input("/bin", 5));
  wire::Exec exec;
  exec.is_at = 1;
  exec.dirfd = static_cast<i32>(away.leader().call(open_bin).ret());
  exec.argv_null = 1;
  send_exec(away.leader(), exec, "true", {});
  EXPECT_TRUE(away.leader().at_end());
  EXPECT_EQ(away.subject.wait_status(), 0);
}

TEST(Death, AsTheSignalsDefaultActionDoes) {
  for (u64 signal : {u64{SIGTERM}, u64{SIGSEGV}, u64{SIGQUIT}, u64{SIGUSR1}, u64{SIGKILL}, u64{SIGALRM}, u64{64}}) {
    Away away(2);
    away.ear().send(wire::Type::die, signal);
    const int status = away.subject.wait_status();
    EXPECT_TRUE(WIFSIGNALED(status)) << signal;
    EXPECT_EQ(WTERMSIG(status), static_cast<int>(signal));
    EXPECT_FALSE(WCOREDUMP(status));
    EXPECT_EQ(away.subject.errors(), "");
  }
}

TEST(Death, StopAndContinue) {
  for (u64 signal : {u64{SIGSTOP}, u64{SIGTSTP}, u64{SIGTTIN}}) {
    Away away(1);
    const auto [r, w] = make_pipe(away.leader());
    const u64 seq = away.leader().send_call(read_spec(r, 1));
    for (int i = 0; i < 10; ++i) {
      const u64 order = away.ear().send(wire::Type::stop, signal);
      const int status = away.subject.wait_stop();
      ASSERT_TRUE(WIFSTOPPED(status));
      EXPECT_EQ(WSTOPSIG(status), static_cast<int>(signal));
      ASSERT_EQ(kill(away.subject.pid(), SIGCONT), 0);
      EXPECT_TRUE(WIFCONTINUED(away.subject.wait_stop()));
      EXPECT_EQ(away.ear().reply(order).ret(), 1);  // stopped and continued, not passed over
      EXPECT_EQ(away.ear().signal().si_signo, SIGCONT);
    }
    EXPECT_TRUE(away.leader().silent(0));
    EXPECT_EQ(away.links.threads[1].call(write_spec(w, "s")).ret(), 1);
    EXPECT_EQ(away.leader().reply(seq).ret(), 1);
    // Its own action of that signal is back.
    if (signal == SIGSTOP) continue;
    ASSERT_EQ(kill(away.subject.pid(), static_cast<int>(signal)), 0);
    EXPECT_EQ(away.ear().signal().si_signo, static_cast<int>(signal));
  }
}

TEST(Death, StoppedFromOutside) {
  Away away(1);
  const auto [r, w] = make_pipe(away.leader());
  const u64 seq = away.leader().send_call(read_spec(r, 1));
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(kill(away.subject.pid(), SIGSTOP), 0);
    ASSERT_TRUE(WIFSTOPPED(away.subject.wait_stop()));
    ASSERT_EQ(kill(away.subject.pid(), SIGCONT), 0);
    ASSERT_TRUE(WIFCONTINUED(away.subject.wait_stop()));
    EXPECT_EQ(away.ear().signal().si_signo, SIGCONT);
    EXPECT_EQ(away.links.threads[1].number(SYS_getppid), getpid());
  }
  EXPECT_EQ(away.links.threads[1].call(write_spec(w, "s")).ret(), 1);
  EXPECT_EQ(away.leader().reply(seq).ret(), 1);
}

TEST(Death, TheNodeIsGone) {
  for (int i = 0; i < 50; ++i) {
    Away away(2);
    const std::string expected = "omig: the node elsewhere that process " + std::to_string(away.subject.pid()) +
                                 " was visiting is gone; the process ends (status 137)\n";
    if (i % 4 == 3)
      away.ear().close();
    else
      away.links.threads[static_cast<size_t>(i % 4)].close();
    const int status = away.subject.wait_status();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    EXPECT_EQ(away.subject.errors(), expected);
  }
}

TEST(Death, NonsenseIsNotGuessedAt) {
  const auto dies = [](auto&& speak) {
    Away away;
    speak(away);
    const int status = away.subject.wait_status();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  };
  dies([](Away& a) { a.leader().send(static_cast<wire::Type>(77)); });
  dies([](Away& a) { a.leader().send(wire::Type::abandon); });                      // after the commit
  dies([](Away& a) { a.leader().send(wire::Type::go, wire::KernelSigaction{}); });  // without resume_state
  dies([](Away& a) { a.leader().send(wire::Type::call, u64{1}); });
  dies([](Away& a) {
    CallSpec spec(SYS_getppid);
    spec.pointer(9, 0);  // no such argument
    a.leader().send_call(spec);
  });
  dies([](Away& a) {
    CallSpec spec(SYS_getppid);
    spec.input("12345678", 8);
    spec.pointer_at(4, 0);  // not all of the 8 bytes are in the scratch
    a.leader().send_call(spec);
  });
  dies([](Away& a) { a.ear().send(wire::Type::die, u64{65}); });
  dies([](Away& a) { a.ear().send(wire::Type::stop, u64{0}); });
}

}  // namespace
}  // namespace omig::test
