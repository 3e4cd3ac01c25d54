// SPDX-License-Identifier: Apache-2.0
// omctl's end of homed's control socket (lib/client), and the lines it says when that gives nothing.
#pragma once

#include "lib/client/client.h"

namespace omig {

// Asks homed; nothing, and the one line said, if there is no answer. A refusal is an answer.
std::optional<Json> ask_homed(const Json& request, milliseconds timeout = kTellTimeout);
// For long work: shows how far it is ("WHAT: 3 moved, 2 left") where somebody looks, until the answer comes.
std::optional<Json> ask_for_work(Json request, const char* what);
// Says an answer's reason. Returns the exit status.
int refused(const Json& answer);

// "omctl: no homed at ..." on stderr.
void say_no_homed();
// After an answer that did not come: whether homed has ended or hangs.
void say_no_answer(const Client& client);
// The answer's reason on stderr, in one line.
void say_reason(const std::string& reason);

}  // namespace omig
