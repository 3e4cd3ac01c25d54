// SPDX-License-Identifier: Apache-2.0
// A private System V segment with one user: attached, used on other nodes, detached and removed.
#include <sys/shm.h>

#include "tests/programs/program.h"

int main() {
  const int id = shmget(IPC_PRIVATE, 40'000, IPC_CREAT | 0600);
  CHECK(id >= 0);
  auto* memory = static_cast<unsigned char*>(shmat(id, nullptr, 0));
  CHECK(memory != reinterpret_cast<void*>(-1L));
  fill(memory, 40'000, 3);
  const unsigned long before = hash(memory, 40'000);
  ready_and_wait();
  CHECK_EQ(hash(memory, 40'000), before);
  fill(memory, 20'000, 4);
  const unsigned long after = hash(memory, 40'000);
  ready_and_wait();
  CHECK_EQ(hash(memory, 40'000), after);
  struct shmid_ds status;
  CHECK_EQ(shmctl(id, IPC_STAT, &status), 0);
  CHECK_EQ(status.shm_nattch, 1);
  CHECK_EQ(shmctl(id, IPC_RMID, nullptr), 0);
  ready_and_wait();
  CHECK_EQ(hash(memory, 40'000), after);
  CHECK_EQ(shmdt(memory), 0);
  ready_and_wait();
  CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EINVAL);
  return 0;
}
