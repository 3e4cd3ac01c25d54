// SPDX-License-Identifier: Apache-2.0
// Calls that no table forwards bring the program home, which does them and may leave again: message queues, System V
// IPC, native AIO, kcmp, personality, and an unknown number.
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace {
void round_of_calls() {
  CHECK_ERRNO(syscall(999'999), ENOSYS);
  CHECK_EQ(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0), 0);
  CHECK(personality(0xffffffff) != -1);
  int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  CHECK(queue >= 0);
  struct {
    long type;
    char text[10];
  } message = {5, "message"};
  CHECK_EQ(msgsnd(queue, &message, sizeof message.text, 0), 0);
  memset(&message, 0, sizeof message);
  CHECK_EQ(msgrcv(queue, &message, sizeof message.text, 5, 0), sizeof message.text);
  CHECK(strcmp(message.text, "message") == 0);
  CHECK_EQ(msgctl(queue, IPC_RMID, nullptr), 0);
  int semaphores = semget(IPC_PRIVATE, 2, IPC_CREAT | 0600);
  CHECK(semaphores >= 0);
  sembuf up = {1, 3, 0};
  CHECK_EQ(semop(semaphores, &up, 1), 0);
  CHECK_EQ(semctl(semaphores, 1, GETVAL), 3);
  CHECK_EQ(semctl(semaphores, 0, IPC_RMID), 0);
  char name[40];
  snprintf(name, sizeof name, "/omig-test-%d", getpid());
  mqd_t posix = mq_open(name, O_CREAT | O_RDWR | O_EXCL, 0600, nullptr);
  if (posix >= 0) {
    CHECK_EQ(mq_send(posix, "hello", 5, 2), 0);
    mq_attr attributes;
    CHECK_EQ(mq_getattr(posix, &attributes), 0);
    CHECK_EQ(attributes.mq_curmsgs, 1);
    CHECK_EQ(mq_close(posix), 0);
    CHECK_EQ(mq_unlink(name), 0);
  } else {
    CHECK(errno == ENOSYS || errno == EACCES || errno == EMFILE);
  }
}
}  // namespace

int main() {
  round_of_calls();
  ready_and_wait();
  round_of_calls();
  ready_and_wait();
  round_of_calls();
  return 0;
}
