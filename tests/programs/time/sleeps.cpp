// SPDX-License-Identifier: Apache-2.0
// Moved while asleep: relative and absolute sleeps in four threads end neither early nor much too late.
#include "tests/programs/program.h"

namespace {
constexpr double kSleep = 2.0;

void expect_slept(double start, const char* what) {
  double took = seconds() - start;
  if (took < kSleep || took > kSleep + 1.5) FAIL("%s of %.1f s took %.3f s", what, kSleep, took);
}
void* absolute(void*) {
  double start = seconds();
  timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += 2;
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr), 0);
  expect_slept(start, "an absolute sleep");
  return nullptr;
}
void* realtime(void*) {
  double start = seconds();
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 2;
  CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, nullptr), 0);
  expect_slept(start, "a sleep on the real-time clock");
  return nullptr;
}
void* coarse(void*) {
  double start = seconds();
  CHECK_EQ(sleep(2), 0);
  expect_slept(start, "sleep()");
  return nullptr;
}
}  // namespace

int main() {
  pthread_t threads[3];
  void* (*bodies[3])(void*) = {absolute, realtime, coarse};
  for (int i = 0; i < 3; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, bodies[i], nullptr), 0);
  announce("blocked", 1, 1900);
  double start = seconds();
  timespec two = {2, 0}, left = {};
  CHECK_EQ(nanosleep(&two, &left), 0);
  expect_slept(start, "nanosleep");
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  return 0;
}
