// SPDX-License-Identifier: Apache-2.0
// All 256 exit codes of children reach wait() as they are, and a larger one is cut to 8 bits. If it were wrong, a shell
// would take a failed command for a good one.
#include "tests/programs/program.h"

int main() {
  ready_and_wait();
  for (int code = 0; code < 256; code++) EXPECT_END(child([&] { return code; }), code);
  EXPECT_END(child([] { return 0x1234; }), 0x34);
  EXPECT_END(child([] { return -1; }), 255);
  CHECK_ERRNO(wait(nullptr), ECHILD);
}
