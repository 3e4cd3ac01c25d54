// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/explain.h"

#include <fmt/format.h>

#include <algorithm>

namespace omig::cluster {

namespace {

using Verdict = Judgement::Verdict;

constexpr u32 kMostListed = 4;     // targets named in a paragraph
constexpr u32 kMostThreads = 256;  // looked for, that would have to come for a move

std::string load_text(const NodeLoad& n, const std::string& name) {
  std::string text = fmt::format("{:.1f} on {}'s {:.2f} CPUs", n.load(), name, n.cpus);
  if (n.speed != 1) text += fmt::format(" of speed {:.2f}", n.speed);
  return text;
}

std::string worth_text(const MoveDecision& m) {
  return fmt::format(
      "relief {:.2f}, cost {:.2f} x {:.2f} for calls home, over {:.1f} s; less {:.2f} for the move: {:+.2f} s",
      m.relief, m.cost, m.penalty, m.expected_s, m.charge_s, m.gain);
}

std::string mib(u64 bytes) { return fmt::format("{} MiB", bytes >> 20); }

// Nothing: it is ripe.
std::string unripe_text(const Candidate& c, const Links& links) {
  switch (unripe(c, links)) {
    case Unripe::no: return "";
    case Unripe::not_movable: return "it is stopped, being moved, or was refused a moment ago";
    case Unripe::locked: return "it is locked (mosrun -L), so it moves only when asked to";
    case Unripe::io_bound:
      return "it is said to be I/O-bound (mosrun -i), and its files are here, so it moves only when asked to";
    case Unripe::interactive:
      return "it has the foreground of a terminal and waits for who sits there, so it moves only when asked to";
    case Unripe::held: return "it is held until there is memory or a CPU";
    case Unripe::too_young:
      return fmt::format(
          "it is {} ms old, and one that ends at once is not worth a move: it is considered from {} ms on", c.age_ms,
          kMinAge_ms);
    case Unripe::unmeasured: return "it has not been watched for long enough: it is considered in a moment";
    case Unripe::idle:
      return fmt::format("it hardly wants a CPU ({:.2f} threads): it is considered from {:.2f} on", c.demand,
                         kMinDemand);
    case Unripe::just_came:
      return fmt::format("it came {:.1f} s ago: after {} moves it stays at least {:.1f} s where it is",
                         static_cast<double>(c.resident_ms) / 1000, c.moves,
                         static_cast<double>(residence_needed_ms(c)) / 1000);
  }
  return "";
}

// What would have to change for a move that is not worth it.
std::string change_text(PlacementState state, const Candidate& c, const NodeLoad& target, const Policy& policy,
                        const std::string& name, const NameOf& name_of) {
  for (u32 more = 1; more <= kMostThreads; ++more) {
    state.self.runnable += 1;
    if (judge(state, c, target, policy).verdict != Verdict::move) continue;
    return fmt::format("It would go to {} if {} more thread{} wanted to run on {}.", name, more, more == 1 ? "" : "s",
                       name_of(state.self.id));
  }
  return fmt::format("However many threads wanted to run on {}, it would not go to {}.", name_of(state.self.id), name);
}

std::string considered_text(const std::vector<std::pair<Judgement, const NodeLoad*>>& list, const Links& links,
                            const NameOf& name) {
  std::string text;
  for (size_t i = 0; i < list.size() && i < kMostListed; ++i) {
    const auto& [judged, target] = list[i];
    text += fmt::format("{}{} ({}; ", i == 0 ? "" : ", ", name(target->id), load_text(*target, name(target->id)));
    if (const Link* link = links.find(target->id); link != nullptr && link->rtt_s > 0)
      text += fmt::format("{:.2f} ms from here; ", link->rtt_s * 1000);
    text += judged.verdict == Verdict::no_memory ? fmt::format("{} free, too little)", mib(target->free_bytes))
                                                 : worth_text(judged.move) + ")";
  }
  if (list.size() > kMostListed) text += fmt::format(" and {} more", list.size() - kMostListed);
  return text;
}

}  // namespace

std::string reason_of(const MoveDecision& m, const PlacementState& state, const NameOf& name) {
  std::string text = load_text(state.self, name(state.self.id));
  for (const NodeLoad& n : state.others)
    if (n.id == m.target_id) text += ", " + load_text(n, name(n.id));
  if (m.expected_s > 0) text += "; " + worth_text(m);
  return text;
}

std::string explain(const PlacementState& state, const Candidate& c, const Policy& policy, const NameOf& name) {
  const std::string here = name(state.self.id);
  std::string text = fmt::format(
      "Policy {}. {}; of them {:.2f} are this process, {:.1f} s old, {}, {:.0f} calls/s and {:.0f} kB/s that would go "
      "home.",
      policy.name, load_text(state.self, here), c.demand, static_cast<double>(c.age_ms) / 1000, mib(c.rss_bytes),
      c.calls_per_s, c.bytes_per_s / 1000);
  if (c.kind == JobKind::cpu) text += " It is said to be CPU-bound (mosrun -c): its calls home do not count.";
  if (c.kind == JobKind::io && c.away) text += " It is said to be I/O-bound (mosrun -i): it is drawn home.";
  if (policy.move == MoveRule::none) return text + " This policy moves nothing that runs.";
  if (const std::string why = unripe_text(c, state.links); !why.empty())
    return text + " It stays for now: " + why + ".";
  if (state.others.empty()) return text + " It stays: no other node is up and takes guests.";
  if (policy.move != MoveRule::gain) {
    const auto moves = decide(state, 0, policy);
    const auto mine =
        std::ranges::find_if(moves, [&](const auto& m) { return m.pid == c.pid && m.home_id == c.home_id; });
    if (mine != moves.end()) return text + fmt::format(" It is about to go to {}.", name(mine->target_id));
    return text + (moves.empty() ? " No node is so much less loaded that this policy would move anything."
                                 : fmt::format(" Process {} goes first.", moves.front().pid));
  }
  std::vector<std::pair<Judgement, const NodeLoad*>> list;
  for (const NodeLoad& target : state.others) list.emplace_back(judge(state, c, target, policy), &target);
  const auto rank = [](const auto& a) { return std::pair(a.first.verdict == Verdict::no_memory, -a.first.move.gain); };
  std::ranges::stable_sort(list, {}, rank);
  text += " Considered: " + considered_text(list, state.links, name) + ".";
  const auto& [best, target] = list.front();
  const std::string there = name(target->id);
  switch (best.verdict) {
    case Verdict::move:
      return text + fmt::format(" It is about to go to {}, unless others are worth more and go first.", there);
    case Verdict::here_already: return text;
    case Verdict::no_memory:
      return text + fmt::format(" It stays until a node has {} free.", mib(c.rss_bytes + target->total_bytes / 20));
    case Verdict::no_better: text += " It stays: that would cost about as much as it relieves. "; break;
    case Verdict::not_worth_it: text += " It stays: the move itself would cost more than it brings. "; break;
  }
  return text + change_text(state, c, *target, policy, there, name);
}

}  // namespace omig::cluster
