// SPDX-License-Identifier: Apache-2.0
// What its user says of a process (lib/cluster/job.h), on request.
#pragma once

#include "homed/daemon.h"

namespace omig {

// {"op":"job","pid":N,"lock":BOOL,"node":NAME,"kind":"cpu"|"io"|"none","decay":"slow"|"fast"|"none"}: whatever is given
// is changed, of it and of what it starts from now on. "node" belongs to a lock: what the process executes begins
// there. Answers with all of it, and as one text ("job") for the environment. A process that is away takes it along.
awaitable<Json> set_job(Daemon& daemon, Json request, Asker asker);

// The keys that tell of it, added to an answer.
void tell_job(Json& answer, const cluster::Job& job);

}  // namespace omig
