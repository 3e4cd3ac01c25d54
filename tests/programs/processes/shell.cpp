// SPDX-License-Identifier: Apache-2.0
// system() and popen() in both directions, with the shell's exit statuses.
#include "tests/programs/program.h"

int main() {
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(system("exit 0"), 0);
    CHECK_EQ(WEXITSTATUS(system("exit 42")), 42);
    CHECK_EQ(WEXITSTATUS(system("no-such-command-anywhere 2>/dev/null")), 127);
    int status = system("kill -TERM $$");
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    FILE* in = popen("seq 1 20000 | awk '{s += $1} END {print s}'", "r");
    CHECK(in);
    char line[100];
    CHECK(fgets(line, sizeof line, in));
    CHECK(strcmp(line, "200010000\n") == 0);
    CHECK(!fgets(line, sizeof line, in));
    CHECK_EQ(pclose(in), 0);
    FILE* out = popen("cat > popened; exit 5", "w");
    CHECK(out);
    for (int i = 0; i < 1000; i++) fprintf(out, "line %d\n", i);
    CHECK_EQ(WEXITSTATUS(pclose(out)), 5);
    FILE* file = fopen("popened", "r");
    CHECK(file);
    int lines = 0;
    for (; fgets(line, sizeof line, file); lines++) {
      char want[32];
      snprintf(want, sizeof want, "line %d\n", lines);
      CHECK(strcmp(line, want) == 0);
    }
    CHECK_EQ(lines, 1000);
    fclose(file);
    CHECK_EQ(unlink("popened"), 0);
    if (round == 0) ready_and_wait();
  }
  // What a shell writes to our standard output stands in order with what we write.
  printf("first\n");
  fflush(stdout);
  CHECK_EQ(system("echo second"), 0);
  printf("third\n");
  return 0;
}
