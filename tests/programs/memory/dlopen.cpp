// SPDX-License-Identifier: Apache-2.0
// A library is loaded while away, used, moved on with the program, and unloaded.
#include <dlfcn.h>

#include "tests/programs/program.h"

int main(int, char** argv) {
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 100);
  CHECK(length > 0);
  path[length] = 0;
  CHECK(strstr(argv[0], strrchr(path, '/') + 1) != nullptr);
  strcpy(strrchr(path, '/') + 1, "libplugin.so");
  ready_and_wait();
  void* plugin = dlopen(path, RTLD_NOW);
  if (!plugin) FAIL("dlopen: %s", dlerror());
  auto add = reinterpret_cast<int (*)(int)>(dlsym(plugin, "plugin_add"));
  CHECK(add);
  CHECK_EQ(add(5), 5);
  ready_and_wait();
  CHECK_EQ(add(7), 12);  // the library's own data moved with it
  CHECK_EQ(dlclose(plugin), 0);
  CHECK(dlopen("libno-such-library.so", RTLD_NOW) == nullptr);
  CHECK(strstr(dlerror(), "cannot open shared object file") != nullptr);
  return 0;
}
