// SPDX-License-Identifier: Apache-2.0
// The library that dlopen.cpp loads: it keeps a running sum, so that losing its data section shows.
namespace {
int sum = 0;
thread_local int calls = 0;
}  // namespace

extern "C" [[gnu::visibility("default")]] int plugin_add(int value);
int plugin_add(int value) {
  if (++calls > 1000) return -1;
  return sum += value;
}
