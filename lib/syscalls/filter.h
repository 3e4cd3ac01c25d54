// SPDX-License-Identifier: Apache-2.0
// The guest's seccomp program, generated from the table by libseccomp: local calls allowed, everything else notified,
// foreign architectures and x32 killed.
#pragma once

#include <linux/filter.h>

#include <vector>

namespace omig::syscalls {

// Throws std::runtime_error with libseccomp's reason.
std::vector<sock_filter> build_filter();

}  // namespace omig::syscalls
