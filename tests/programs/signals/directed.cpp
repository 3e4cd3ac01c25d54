// SPDX-License-Identifier: Apache-2.0
// Signals that another process sends to single threads: each arrives once, in that thread and no other, with its exact
// siginfo, whatever the thread is doing: computing, in calls that begin again or end with EINTR, in sigwaitinfo.
#include <poll.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace {

enum Place { kReading, kPolling, kWaiting, kThreads };
constexpr int kSignal = SIGUSR1, kQueued = 40, kBurst = 3;
pid_t tids[kThreads + 1];  // the last: main
int pipes[kThreads][2], done[2], sender_pid;
std::atomic<int> handled{0}, wrong{0};
thread_local volatile sig_atomic_t handled_here = 0;

struct Request {
  pid_t tid;
  int signal, value, count;
};
int requests[2];

pid_t own_tid() { return static_cast<pid_t>(syscall(SYS_gettid)); }

std::atomic<pid_t> expected{0};
std::atomic<int> expected_value{0};
void on_directed(int, siginfo_t* info, void*) {
  const bool right = own_tid() == expected && info->si_code == SI_QUEUE && info->si_pid == sender_pid &&
                     info->si_value.sival_int == expected_value;
  if (!right) ++wrong;
  handled_here = handled_here + 1;
  ++handled;
}

int send_signals() {
  Request request;
  while (read(requests[0], &request, sizeof request) == sizeof request && request.tid != 0) {
    for (int i = 0; i < request.count; i++) {
      siginfo_t info = {};
      info.si_signo = request.signal;
      info.si_code = SI_QUEUE;
      info.si_pid = getpid();
      info.si_uid = getuid();
      info.si_value.sival_int = request.value + i;
      CHECK_EQ(syscall(SYS_rt_tgsigqueueinfo, getppid(), request.tid, request.signal, &info), 0);
    }
  }
  return 0;
}

void say(Place place) {
  const char byte = static_cast<char>('a' + place);
  write_all(done[1], &byte, 1);
}

void* reader(void*) {
  tids[kReading] = own_tid();
  for (;;) {
    char byte;
    CHECK_EQ(read(pipes[kReading][0], &byte, 1), 1);  // SA_RESTART: never EINTR
    say(kReading);
    if (byte == 'q') return nullptr;
  }
}

void* poller(void*) {
  // Let in by the call only: one that came before it would be handled, and then nothing would end the call.
  sigset_t directed, none;
  sigemptyset(&none);
  sigemptyset(&directed);
  sigaddset(&directed, kSignal);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &directed, nullptr), 0);
  tids[kPolling] = own_tid();
  for (;;) {
    pollfd on{pipes[kPolling][0], POLLIN, 0};
    const int before = handled_here;
    if (ppoll(&on, 1, nullptr, &none) == 1) return nullptr;
    CHECK_EQ(errno, EINTR);
    CHECK_EQ(handled_here, before + 1);
    say(kPolling);
  }
}

void* waiter(void*) {
  tids[kWaiting] = own_tid();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kQueued);
  for (int next = 0;;) {
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), kQueued);
    CHECK_EQ(info.si_code, SI_QUEUE);
    CHECK_EQ(info.si_pid, sender_pid);
    if (info.si_value.sival_int < 0) return nullptr;
    CHECK_EQ(info.si_value.sival_int, next);
    if (++next % kBurst == 0) say(kWaiting);
  }
}

void expect(Place place) {
  char byte;
  read_all(done[0], &byte, 1);
  CHECK_EQ(byte, 'a' + place);
}

void ask(pid_t tid, int signal, int value, int count = 1) {
  expected = tid;
  expected_value = value;
  const Request request{tid, signal, value, count};
  write_all(requests[1], &request, sizeof request);
}

void wait_handled(int count) {
  while (handled < count) sched_yield();
}

}  // namespace

int main() {
  CHECK_EQ(pipe(requests), 0);
  CHECK_EQ(pipe(done), 0);
  for (auto& each : pipes) CHECK_EQ(pipe(each), 0);
  on_signal(kSignal, on_directed, SA_RESTART);
  sigset_t queued;
  sigemptyset(&queued);
  sigaddset(&queued, kQueued);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &queued, nullptr), 0);
  sender_pid = child(send_signals);
  pthread_t threads[kThreads];
  void* (*const bodies[kThreads])(void*) = {reader, poller, waiter};
  for (int i = 0; i < kThreads; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, bodies[i], nullptr), 0);
  for (pid_t& tid : tids)
    while (&tid != &tids[kThreads] && *const_cast<volatile pid_t*>(&tid) == 0) sched_yield();
  tids[kThreads] = own_tid();
  int count = 0, bursts = 0;
  Go go;
  do {
    ask(tids[kReading], kSignal, ++count);
    wait_handled(count);
    CHECK_EQ(write(pipes[kReading][1], "r", 1), 1);
    expect(kReading);
    ask(tids[kPolling], kSignal, ++count);
    expect(kPolling);
    ask(tids[kThreads], kSignal, ++count);
    while (handled < count) {  // without a call
    }
    ask(tids[kWaiting], kQueued, kBurst * bursts++, kBurst);
    expect(kWaiting);
  } while (!go.done());
  CHECK_EQ(handled, count);
  CHECK_EQ(wrong, 0);
  write_all(pipes[kReading][1], "q", 1);
  write_all(pipes[kPolling][1], "q", 1);
  ask(tids[kWaiting], kQueued, -1);
  ask(0, 0, 0);
  for (pthread_t& thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  EXPECT_END(sender_pid, 0);
  return 0;
}
