// SPDX-License-Identifier: Apache-2.0
// Plain C for any C library: threads, forks, files, pipes and time, for about two seconds; the output is fixed.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned long mixed(unsigned long x) {
  for (int i = 0; i < 100000; i++) x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ul + 1;
  return x;
}

static void* work(void* argument) {
  unsigned long* x = argument;
  for (int i = 0; i < 20; i++) *x = mixed(*x);
  return NULL;
}

static volatile sig_atomic_t caught;
static void handler(int signal) {
  (void)signal;
  caught++;
}

int main(void) {
  signal(SIGUSR1, handler);
  for (int round = 0; round < 20; round++) {
    unsigned long x[3] = {round, round + 1, round + 2};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
      if (pthread_create(&threads[i], NULL, work, &x[i]) != 0) return 1;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    int ends[2];
    if (pipe(ends) != 0) return 2;
    pid_t child = fork();
    if (child == 0) {
      unsigned long y = mixed(x[0]);
      _exit(write(ends[1], &y, sizeof y) == sizeof y ? round : 255);
    }
    unsigned long y = 0;
    if (read(ends[0], &y, sizeof y) != sizeof y || y != mixed(x[0])) return 3;
    int status;
    if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != round) return 4;
    close(ends[0]);
    close(ends[1]);
    raise(SIGUSR1);
    struct timespec pause = {0, 30000000};
    nanosleep(&pause, NULL);
    FILE* file = tmpfile();
    fprintf(file, "%lx %lx %lx\n", x[0], x[1], x[2]);
    rewind(file);
    char line[128];
    if (fgets(line, sizeof line, file) == NULL) return 5;
    fclose(file);
    printf("%d %d %s", round, (int)caught, line);
  }
  return 0;
}
