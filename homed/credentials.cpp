// SPDX-License-Identifier: Apache-2.0
#include "homed/credentials.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "homed/log.h"
#include "homed/proc.h"

namespace omig {

namespace {

constexpr size_t kMostKept = 1 << 20;

std::string file_of(const std::string& state_dir) { return state_dir + "/revoked.json"; }

}  // namespace

Credentials::Credentials(std::string state_dir, const std::string& node) : state_dir_(std::move(state_dir)) {
  std::string error;
  auto identity = load_or_found(state_dir_, node, &error);
  if (!identity) throw std::runtime_error(error);
  use(std::move(*identity));
}

void Credentials::use(Identity identity) {
  context_ = std::make_unique<asio::ssl::context>(member_context(identity));
  identity_ = std::move(identity);
  fingerprint_ = fingerprint_of(identity_.certificate);
  cluster_ = fingerprint_of(identity_.cluster);
  ++generation_;
  load_revocations();
}

std::string Credentials::adopt(Identity identity) {
  std::string error;
  if (!keep_identity(state_dir_, identity, &error)) return error;
  use(std::move(identity));
  return "";
}

// One of another cluster has another signature, and is none of ours.
void Credentials::load_revocations() {
  revocations_ = {};
  const auto text = read_text_file(file_of(state_dir_), kMostKept);
  const auto kept = text ? revocations_from_json(Json::parse(*text, nullptr, false)) : std::nullopt;
  if (kept && is_signed(*kept, identity_.cluster)) revocations_ = *kept;
}

std::string Credentials::keep(Revocations list) {
  const std::string file = file_of(state_dir_);
  if (!replace_file(file, to_json(list).dump() + "\n"))
    return fmt::format("cannot write {}: {}", file, std::strerror(errno));
  revocations_ = std::move(list);
  return "";
}

bool Credentials::learn(const Json& told) {
  const auto list = revocations_from_json(told);
  if (!list || list->number <= revocations_.number || !is_signed(*list, identity_.cluster)) return false;
  const std::string wrong = keep(*list);
  if (wrong.empty()) return true;
  log("revoked nodes are not kept: {}", wrong);  // they are revoked until this homed ends
  revocations_ = *list;
  return true;
}

std::string Credentials::revoke(const std::string& fingerprint) {
  Revocations list = revocations_;
  if (list.has(fingerprint)) return "";
  if (list.nodes.size() >= kMostRevoked)
    return fmt::format("{} nodes are revoked already: found a new cluster (omctl cluster init)", kMostRevoked);
  ++list.number;
  list.nodes.push_back(fingerprint);
  if (!sign(&list, identity_)) return "the cluster's authority is not on this node";
  return keep(std::move(list));
}

}  // namespace omig
