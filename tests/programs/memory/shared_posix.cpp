// SPDX-License-Identifier: Apache-2.0
// POSIX shared memory, still named and later without a name, and a semaphore in it, used by one process.
#include <semaphore.h>
#include <sys/mman.h>

#include "tests/programs/program.h"

struct Shared {
  sem_t semaphore;
  long numbers[1000];
};

int main() {
  char name[40];
  snprintf(name, sizeof name, "/omig-test-%d", getpid());
  int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  CHECK(fd >= 0);
  CHECK_EQ(ftruncate(fd, sizeof(Shared)), 0);
  auto* shared = static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  CHECK(shared != MAP_FAILED);
  CHECK_EQ(close(fd), 0);
  CHECK_EQ(sem_init(&shared->semaphore, 1, 1), 0);
  for (long i = 0; i < 1000; i++) shared->numbers[i] = i;
  ready_and_wait();
  CHECK_EQ(sem_wait(&shared->semaphore), 0);
  CHECK_ERRNO(sem_trywait(&shared->semaphore), EAGAIN);
  for (long i = 0; i < 1000; i++) shared->numbers[i] *= 2;
  CHECK_EQ(shm_unlink(name), 0);
  ready_and_wait();
  for (long i = 0; i < 1000; i++) CHECK_EQ(shared->numbers[i], 2 * i);
  CHECK_EQ(sem_post(&shared->semaphore), 0);
  pid_t pid = child([&] {
    CHECK_EQ(sem_wait(&shared->semaphore), 0);
    shared->numbers[0] = 77;
    return 0;
  });
  EXPECT_END(pid, 0);
  CHECK_ERRNO(sem_trywait(&shared->semaphore), EAGAIN);
  CHECK_EQ(shared->numbers[0], 77);
  return 0;
}
