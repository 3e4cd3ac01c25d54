// SPDX-License-Identifier: Apache-2.0
// What its user has said of a process (`mosrun`, `omctl run`): whether anything but he may move it, and what it spends
// its time with. Its children inherit it.
//
// It travels as one short text, "lock,node=3,kind=cpu,decay=fast": in the environment of a program (kJobVariable, so
// that it outlives a restart of homed and a parent that ends too early), with a process that moves, and in answers of
// omig-host, which does not look into it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/cluster/statistics.h"

namespace omig::cluster {

inline constexpr const char* kJobVariable = "OMIG_JOB";

// openMosix' levels: 0 nothing, 1 its number, 2 its user as well, 3 all.
inline constexpr u32 kDiscloseNumber = 1, kDiscloseUser = 2, kDiscloseAll = 3;

// What it would wait for if memory were endless.
enum class JobKind : u8 { none, cpu, io };

struct Job {
  bool locked = false;  // it moves only when asked to
  std::string node;     // locked there: what it, or a child, executes begins there as well; empty: where it is
  JobKind kind = JobKind::none;
  DecayKind decay = DecayKind::slow;  // of what follows
  u32 disclosure = kDiscloseAll;      // what the tools of a node that it visits tell of it
  u32 protect_s = 0;                  // how often home's image of it is renewed while it is away; 0: home has none
  u32 protect_mb = 0;  // what has more memory gets no new image at home, which needs as much; 0: no bound
  bool held = false;   // to its user's deputy.allow, since it was started (lib/confine)
  bool operator==(const Job&) const = default;
};

// What was said anew; the rest stays as it is.
struct JobChange {
  std::optional<bool> locked;
  std::optional<std::string> node;
  std::optional<JobKind> kind;
  std::optional<DecayKind> decay;
  std::optional<u32> disclosure;
  std::optional<u32> protect_s;
  std::optional<u32> protect_mb;
  std::optional<bool> held;

  bool any() const { return locked || node || kind || decay || disclosure || protect_s || protect_mb || held; }
  Job applied_to(Job job) const;
};

const char* name_of(JobKind kind);    // none, cpu, io
const char* name_of(DecayKind kind);  // slow, fast, none
std::optional<JobKind> job_kind_named(std::string_view name);
std::optional<DecayKind> decay_kind_named(std::string_view name);
inline constexpr u32 kMostProtect_s = 7 * 86'400;
inline constexpr u32 kMostProtect_mb = 1 << 24;
inline constexpr const char* kJobKinds = "none, cpu, io";
inline constexpr const char* kDecayKinds = "slow, fast, none";

// Never empty: one that may move as it likes is "free".
std::string text_of(const Job& job);
// Words that are not known are passed over: a newer omig may have written them.
Job job_from(std::string_view text);

// "locked to node3, kind cpu, decay fast", for people; empty if nothing special was said.
std::string told(const Job& job);

// "1,4-6,19": does it name `id`? Nothing: it is no list of nodes' numbers.
std::optional<bool> list_has(std::string_view list, u32 id);

}  // namespace omig::cluster
