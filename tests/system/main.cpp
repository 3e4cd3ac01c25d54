// SPDX-License-Identifier: Apache-2.0
// The system tests: one lab per run, brought up by the first test that needs it.
#include <gtest/gtest.h>

#include "tests/system/lab.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  int result = RUN_ALL_TESTS();
  omig::test::drop_shared_lab();
  return result;
}
