// SPDX-License-Identifier: Apache-2.0
// The program that the engine's tests move. Everything it can observe about itself is checked by itself; it prints what
// it finds on standard output.
//
// `spin`: all registers hold known values while it waits for a word of memory to change; then it prints which differ.
// `threads N`: N busy threads and a main thread that reads commands.
//   count   -> how often the handlers of SIGUSR1, SIGUSR2 and the last real-time signal ran
//   errors  -> self-checks that failed so far
//   block S -> blocks signal S in the main thread; unblock S
//   quit    -> joins everything, prints the verdict, exits 0
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

using u64 = unsigned long;
using u8 = unsigned char;

extern "C" {
void spin_registers(const u64* pattern, u64* result, const u8* vectors, u8* vectors_out);
void spare_thread();
extern volatile u64 omig_flag;
extern u8 spin_loop[];
}

namespace {

constexpr int kLastSignal = 64;
std::atomic<long> usr1, usr2, last, errors, first_line;
std::atomic<bool> stopping;
std::atomic<int> started;
alignas(16) u8 spare_stack[65536];
alignas(16) u8 alternate[65536];
alignas(4096) u8 page[8192];  // for the tests to write to

// A failed self-check: how many there were and where the first was goes into every answer.
void wrong(long line) {
  if (errors++ == 0) first_line = line;
}

void count_signal(int signal) {
  const int kept = errno;
  u8 here;
  if (&here < alternate || &here >= alternate + sizeof alternate) wrong(__LINE__);  // the handler belongs on that stack
  ++(signal == SIGUSR1 ? usr1 : signal == SIGUSR2 ? usr2 : last);
  errno = kept;
}

void ready() {
  printf("ready flag=%lx spare=%lx stack=%lx page=%lx loop=%lx\n", reinterpret_cast<u64>(&omig_flag),
         reinterpret_cast<u64>(&spare_thread), reinterpret_cast<u64>(spare_stack + sizeof spare_stack),
         reinterpret_cast<u64>(page), reinterpret_cast<u64>(spin_loop));
}

int spin() {
  static u64 pattern[16], result[16];
  static u8 vectors[544], vectors_out[544];
  static const char* const names[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8",
                                      "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  for (u64 i = 0; i < 15; ++i) pattern[i] = 0x1111'2222'3333'4444ul * (i + 1);
  for (int i = 0; i < 512; ++i) vectors[i] = static_cast<u8>(i * 7 + 3);
  const unsigned mxcsr = 0x7f80;          // round towards zero
  const unsigned short control = 0x0e7f;  // round towards zero, double extended
  memcpy(vectors + 512, &mxcsr, 4);
  memcpy(vectors + 516, &control, 2);
  const double x87[2] = {1.0, 3.141592653589793};
  memcpy(vectors + 520, x87, 16);
  ready();
  spin_registers(pattern, result, vectors, vectors_out);
  std::string changed;
  for (int i = 0; i < 15; ++i)
    if (result[i] != pattern[i]) {
      char text[64];
      snprintf(text, sizeof text, " %s=%lx", names[i], result[i]);
      changed += text;
    }
  for (int i = 0; i < 16; ++i)
    if (memcmp(vectors + 32 * i, vectors_out + 32 * i, 32) != 0) changed += " ymm" + std::to_string(i);
  if (memcmp(vectors + 512, vectors_out + 512, 4) != 0) changed += " mxcsr";
  if (memcmp(vectors + 516, vectors_out + 516, 2) != 0) changed += " x87control";
  if (memcmp(vectors + 520, vectors_out + 520, 16) != 0) changed += " x87stack";
  printf("changed:%s\n", changed.c_str());
  printf("page %02x %02x\n", page[0], page[4097]);
  getchar();  // the test may want to look
  return 0;
}

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
long guarded;
thread_local long mine;

// Everything a thread has that a move could lose: TLS, errno, a mutex (owner checks), a condition variable, x87/SSE
// state, sleeping calls, its tid.
void* busy(void* argument) {
  const long number = reinterpret_cast<long>(argument);
  const long tid = syscall(SYS_gettid);
  pthread_mutex_t checked;
  pthread_mutexattr_t attribute;
  pthread_mutexattr_init(&attribute);
  pthread_mutexattr_settype(&attribute, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&checked, &attribute);
  long rounds = 0;
  double sum = 0, expected = 0;
  ++started;
  while (!stopping) {
    ++rounds;
    ++mine;
    sum += 1.0 / static_cast<double>(number + 3);
    volatile double step = 1.0 / static_cast<double>(number + 3);
    expected += step;
    if (sum != expected) wrong(__LINE__);
    errno = 0;
    if (close(-1) != -1 || errno != EBADF) wrong(__LINE__);
    if (syscall(SYS_gettid) != tid) wrong(__LINE__);
    if (pthread_mutex_lock(&checked) != 0 || pthread_mutex_lock(&checked) != EDEADLK ||
        pthread_mutex_unlock(&checked) != 0)
      wrong(__LINE__);
    pthread_mutex_lock(&mutex);
    ++guarded;
    if (rounds % 16 == 0) pthread_cond_broadcast(&condition);
    if (rounds % 16 == 8) {
      timespec until{};
      clock_gettime(CLOCK_REALTIME, &until);
      until.tv_nsec += 2'000'000;
      if (until.tv_nsec >= 1'000'000'000) until.tv_nsec -= 1'000'000'000, ++until.tv_sec;
      pthread_cond_timedwait(&condition, &mutex, &until);
    }
    pthread_mutex_unlock(&mutex);
    if (rounds % 64 == number % 64) {
      const timespec nap{0, 1'000'000};
      if (nanosleep(&nap, nullptr) != 0) wrong(__LINE__);
    }
  }
  if (mine != rounds) wrong(__LINE__);
  return reinterpret_cast<void*>(rounds);
}

int threads(int count) {
  stack_t stack{};
  stack.ss_sp = alternate;
  stack.ss_size = sizeof alternate;
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_handler = count_signal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  for (int signal : {SIGUSR1, SIGUSR2, kLastSignal}) sigaction(signal, &action, nullptr);
  signal(SIGHUP, SIG_IGN);
  std::vector<pthread_t> all(static_cast<size_t>(count));
  sigset_t mask, old;
  sigfillset(&mask);
  pthread_sigmask(SIG_BLOCK, &mask, &old);  // only the main thread takes signals: it has the alternate stack
  for (long i = 0; i < count; ++i)
    pthread_create(&all[static_cast<size_t>(i)], nullptr, busy, reinterpret_cast<void*>(i));
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  while (started != count) sched_yield();
  ready();
  char line[256];
  while (fgets(line, sizeof line, stdin) != nullptr) {
    int number = 0;
    if (strcmp(line, "count\n") == 0) {
      printf("count %ld %ld %ld\n", usr1.load(), usr2.load(), last.load());
    } else if (strcmp(line, "errors\n") == 0) {
      printf("errors %ld line %ld\n", errors.load(), first_line.load());
    } else if (sscanf(line, "block %d", &number) == 1 || sscanf(line, "unblock %d", &number) == 1) {
      sigset_t one;
      sigemptyset(&one);
      sigaddset(&one, number);
      pthread_sigmask(line[0] == 'b' ? SIG_BLOCK : SIG_UNBLOCK, &one, nullptr);
      printf("done\n");
    } else if (strcmp(line, "quit\n") == 0) {
      break;
    }
  }
  if (ferror(stdin)) wrong(__LINE__);
  stopping = true;
  long rounds = 0;
  for (pthread_t thread : all) {
    void* result = nullptr;
    pthread_join(thread, &result);
    rounds += reinterpret_cast<long>(result);
  }
  if (rounds != guarded) wrong(__LINE__);
  stack_t now{};
  sigaltstack(nullptr, &now);
  if (now.ss_sp != alternate || now.ss_size != sizeof alternate || now.ss_flags != 0) wrong(__LINE__);
  for (int fd = 3; fd < 8192; ++fd)
    if (close(fd) == 0) wrong(__LINE__);  // nothing of the engine's stays open
  printf("verdict errors=%ld line=%ld\n", errors.load(), first_line.load());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 4096);
  setvbuf(stdin, nullptr, _IONBF, 0);
  if (argc == 2 && strcmp(argv[1], "spin") == 0) return spin();
  if (argc == 3 && strcmp(argv[1], "threads") == 0) return threads(atoi(argv[2]));
  return 2;
}
