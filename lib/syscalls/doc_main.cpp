// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "lib/syscalls/doc.h"

int main() {
  const std::string page = omig::syscalls::syscall_page();
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
}
