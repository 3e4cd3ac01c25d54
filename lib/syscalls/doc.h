// SPDX-License-Identifier: Apache-2.0
// docs/SYSCALLS.md, made from the table. A test compares the committed page with this text.
#pragma once

#include <string>

namespace omig::syscalls {

std::string syscall_page();

}  // namespace omig::syscalls
