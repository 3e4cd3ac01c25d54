// SPDX-License-Identifier: Apache-2.0
// Buffered output and input of the C library across moves: what arrives on stdout is compared with the native run.
#include "tests/programs/program.h"

int main() {
  FILE* file = fopen("text", "w+");
  CHECK(file);
  for (int i = 0; i < 2000; i++) {
    fprintf(file, "line %d of the file\n", i);
    printf("line %d of stdout, %a\n", i, i * 0.1);
    if (i == 700 || i == 1400) ready_and_wait();
  }
  rewind(file);
  char line[100], want[100];
  for (int i = 0; i < 2000; i++) {
    CHECK(fgets(line, sizeof line, file));
    snprintf(want, sizeof want, "line %d of the file\n", i);
    CHECK(strcmp(line, want) == 0);
    if (i == 1000) ready_and_wait();
  }
  CHECK(!fgets(line, sizeof line, file) && feof(file));
  FILE* temporary = tmpfile();
  CHECK(temporary);
  fputs("temporary", temporary);
  fclose(temporary);
  fclose(file);
  CHECK_EQ(unlink("text"), 0);
  setvbuf(stdout, nullptr, _IONBF, 0);
  printf("unbuffered\n");
  return 0;
}
