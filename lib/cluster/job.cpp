// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace omig::cluster {

namespace {

constexpr size_t kMostText = 200;  // it may come from anybody's environment

constexpr std::array<std::pair<const char*, JobKind>, 3> kKinds{
    {{"none", JobKind::none}, {"cpu", JobKind::cpu}, {"io", JobKind::io}}};
constexpr std::array<std::pair<const char*, DecayKind>, 3> kDecays{
    {{"slow", DecayKind::slow}, {"fast", DecayKind::fast}, {"none", DecayKind::none}}};

template <class Names, class Kind>
const char* name_in(const Names& names, Kind kind) {
  return std::ranges::find(names, kind, [](const auto& each) { return each.second; })->first;
}

template <class Kind, class Names>
std::optional<Kind> named_in(const Names& names, std::string_view name) {
  for (const auto& [each, kind] : names)
    if (name == each) return kind;
  return std::nullopt;
}

// Calls `visit` with each part of "a,b,c".
template <class Visit>
void for_each_part(std::string_view text, const Visit& visit) {
  for (;;) {
    const size_t comma = text.find(',');
    visit(text.substr(0, comma));
    if (comma == std::string_view::npos) return;
    text.remove_prefix(comma + 1);
  }
}

std::optional<u32> number_from(std::string_view text) {
  u32 value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

}  // namespace

Job JobChange::applied_to(Job job) const {
  job.locked = locked.value_or(job.locked);
  job.node = node.value_or(std::move(job.node));
  job.kind = kind.value_or(job.kind);
  job.decay = decay.value_or(job.decay);
  job.disclosure = disclosure.value_or(job.disclosure);
  job.protect_s = protect_s.value_or(job.protect_s);
  job.protect_mb = protect_mb.value_or(job.protect_mb);
  job.held = held.value_or(job.held);
  return job;
}

const char* name_of(JobKind kind) { return name_in(kKinds, kind); }
const char* name_of(DecayKind kind) { return name_in(kDecays, kind); }
std::optional<JobKind> job_kind_named(std::string_view name) { return named_in<JobKind>(kKinds, name); }
std::optional<DecayKind> decay_kind_named(std::string_view name) { return named_in<DecayKind>(kDecays, name); }

std::string text_of(const Job& job) {
  std::string text = job.locked ? "lock" : "free";
  if (job.locked && !job.node.empty()) text += ",node=" + job.node;
  if (job.kind != JobKind::none) text += std::string(",kind=") + name_of(job.kind);
  if (job.decay != DecayKind::slow) text += std::string(",decay=") + name_of(job.decay);
  if (job.disclosure != kDiscloseAll) text += ",disclosure=" + std::to_string(job.disclosure);
  if (job.protect_s != 0) text += ",protect=" + std::to_string(job.protect_s);
  if (job.protect_mb != 0) text += ",protect_mb=" + std::to_string(job.protect_mb);
  if (job.held) text += ",held";
  return text;
}

Job job_from(std::string_view text) {
  Job job;
  if (text.size() > kMostText) return job;
  for_each_part(text, [&](std::string_view part) {
    const size_t equals = std::min(part.find('='), part.size());
    const std::string_view name = part.substr(0, equals);
    const std::string_view value = part.substr(std::min(equals + 1, part.size()));
    if (part == "lock") job.locked = true;
    if (part == "held") job.held = true;
    if (name == "node") job.node = value;
    if (name == "kind") job.kind = job_kind_named(value).value_or(job.kind);
    if (name == "decay") job.decay = decay_kind_named(value).value_or(job.decay);
    if (name == "protect") job.protect_s = std::min(number_from(value).value_or(job.protect_s), kMostProtect_s);
    if (name == "protect_mb") job.protect_mb = std::min(number_from(value).value_or(job.protect_mb), kMostProtect_mb);
    if (name == "disclosure") job.disclosure = std::min(number_from(value).value_or(job.disclosure), kDiscloseAll);
  });
  return job;
}

std::string told(const Job& job) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (job.locked) add(job.node.empty() ? "locked" : "locked to " + job.node);
  if (job.kind != JobKind::none) add(std::string("kind ") + name_of(job.kind));
  if (job.decay != DecayKind::slow) add(std::string("decay ") + name_of(job.decay));
  if (job.protect_s != 0) add(fmt::format("protected every {} s", job.protect_s));
  if (job.protect_s != 0 && job.protect_mb != 0) add(fmt::format("up to {} MiB", job.protect_mb));
  if (job.disclosure != kDiscloseAll) add("disclosure " + std::to_string(job.disclosure));
  if (job.held) add("held to deputy.allow");
  return text;
}

std::optional<bool> list_has(std::string_view list, u32 id) {
  bool has = false, wrong = false;
  for_each_part(list, [&](std::string_view part) {
    const size_t dash = part.find('-');
    const auto first = number_from(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : number_from(part.substr(dash + 1));
    wrong = wrong || !first || !last || *first == 0 || *first > *last;
    has = has || (first && last && *first <= id && id <= *last);
  });
  return wrong ? std::nullopt : std::optional(has);
}

}  // namespace omig::cluster
