// SPDX-License-Identifier: Apache-2.0
// A program that lives as long as the soak does: it computes, writes and reads files and pipes, forks, starts threads,
// maps memory, and checks every result; between its rounds it sleeps PAUSE_ms. SIGTERM ends it with status 0, a wrong
// result with 1 and a line on stderr. Arguments: SEED PAUSE_ms
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace {

volatile sig_atomic_t asked_to_end = 0;

[[noreturn]] void wrong(const char* what) {
  fprintf(stderr, "resident %d: %s\n", getpid(), what);
  exit(1);
}

unsigned long mixed(unsigned long x) {
  for (int i = 0; i < 200'000; ++i) x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ul + 1;
  return x;
}

void file_round(unsigned long x) {
  FILE* file = tmpfile();
  if (file == nullptr) wrong("tmpfile");
  for (unsigned long i = 0; i < 200; ++i) fprintf(file, "%lu\n", x + i);
  rewind(file);
  unsigned long got = 0;
  for (unsigned long i = 0; i < 200; ++i)
    if (fscanf(file, "%lu", &got) != 1 || got != x + i) wrong("a file's line is not what was written");
  fclose(file);
}

void fork_round(unsigned long x) {
  int ends[2];
  if (pipe(ends) != 0) wrong("pipe");
  const pid_t child = fork();
  if (child < 0) wrong("fork");
  if (child == 0) {
    const unsigned long answer = mixed(x);
    _exit(write(ends[1], &answer, sizeof answer) == sizeof answer ? static_cast<int>(x % 100) : 255);
  }
  close(ends[1]);
  unsigned long answer = 0;
  size_t have = 0;
  while (have < sizeof answer) {
    const ssize_t got = read(ends[0], reinterpret_cast<char*>(&answer) + have, sizeof answer - have);
    if (got <= 0) wrong("the child said nothing");
    have += static_cast<size_t>(got);
  }
  close(ends[0]);
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != static_cast<int>(x % 100))
    wrong("the child's end");
  if (answer != mixed(x)) wrong("the child's answer");
}

void thread_round(unsigned long x) {
  std::vector<unsigned long> results(3);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < results.size(); ++i) threads.emplace_back([&, i] { results[i] = mixed(x + i); });
  for (std::thread& each : threads) each.join();
  for (size_t i = 0; i < results.size(); ++i)
    if (results[i] != mixed(x + i)) wrong("a thread's result");
}

void memory_round(unsigned long x) {
  constexpr size_t kBytes = 1 << 20;
  void* at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) wrong("mmap");
  memset(at, static_cast<int>(x & 0xff), kBytes);
  if (mixed(x) == 0 || static_cast<unsigned char*>(at)[x % kBytes] != (x & 0xff)) wrong("memory");
  munmap(at, kBytes);
}

void socket_round(unsigned long x) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) wrong("socketpair");
  unsigned long got = 0;
  for (unsigned long i = 0; i < 20; ++i)
    if (send(ends[0], &(got = x + i), sizeof got, 0) != sizeof got ||
        recv(ends[1], &got, sizeof got, 0) != sizeof got || got != x + i)
      wrong("a socket's message");
  close(ends[0]);
  close(ends[1]);
}

}  // namespace

int main(int argc, char** argv) {
  unsigned long x = argc > 1 ? strtoul(argv[1], nullptr, 10) : 1;
  const useconds_t pause_us = 1000 * static_cast<useconds_t>(argc > 2 ? atoi(argv[2]) : 20);
  struct sigaction action {};
  action.sa_handler = [](int) { asked_to_end = 1; };
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  void (*const rounds[])(unsigned long) = {file_round, fork_round, thread_round, memory_round, socket_round};
  while (!asked_to_end) {
    x = mixed(x);
    rounds[x % 5](x >> 8);
    usleep(pause_us);
  }
  return 0;
}
