// SPDX-License-Identifier: Apache-2.0
// Moved while threads wait on semaphores: sem_wait for ever, sem_timedwait and sem_clockwait in vain and with success.
// Each post wakes one; none is lost, none counts twice, and there is no EINTR.
#include <semaphore.h>

#include "tests/programs/waits.h"

namespace {
sem_t wanted, never, in_time;
std::atomic<int> got_one;

void wait_for_ever() {
  CHECK_EQ(sem_wait(&wanted), 0);
  got_one++;
}
void wait_in_vain(clockid_t clock, long ms) {
  const double start = seconds();
  const timespec until = after_ms(clock, ms);
  CHECK_ERRNO(clock == CLOCK_REALTIME ? sem_timedwait(&never, &until) : sem_clockwait(&never, clock, &until),
              ETIMEDOUT);
  expect_waited(start, ms, "sem_timedwait");
}
void wait_with_success() {
  const timespec until = after_ms(CLOCK_REALTIME, 100'000);
  CHECK_EQ(sem_timedwait(&in_time, &until), 0);
  got_one++;
}
}  // namespace

int main() {
  for (sem_t* each : {&wanted, &never, &in_time}) CHECK_EQ(sem_init(each, 0, 0), 0);
  pthread_t threads[] = {thread(wait_for_ever), thread(wait_for_ever), thread(wait_with_success),
                         thread([] { wait_in_vain(CLOCK_MONOTONIC, kWaitMs + 50); })};
  pthread_t announcer = announce_later();
  wait_in_vain(CLOCK_REALTIME, kWaitMs);
  CHECK_EQ(got_one, 0);
  CHECK_EQ(sem_post(&wanted), 0);
  while (got_one == 0) usleep(1000);
  CHECK_EQ(sem_post(&in_time), 0);
  while (got_one == 1) usleep(1000);
  CHECK_EQ(sem_post(&wanted), 0);
  for (pthread_t each : threads) join(each);
  CHECK_EQ(got_one, 3);
  for (sem_t* each : {&wanted, &never, &in_time}) CHECK_ERRNO(sem_trywait(each), EAGAIN);
  join(announcer);
  return 0;
}
