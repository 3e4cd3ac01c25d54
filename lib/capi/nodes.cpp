// SPDX-License-Identifier: Apache-2.0
// Nodes: all of them, and the figures of one.
#include <cerrno>

#include "lib/capi/conversation.h"
#include "lib/client/facts.h"

using namespace omig;
using namespace omig::capi;

struct omig_nodes : List<omig_node> {};

namespace {

std::string text_of(const char* node) { return node == nullptr ? "" : node; }

// The figures of one node, into *facts.
int facts_of_one(Talk& talk, const char* node, NodeFacts* facts) {
  Json answer;
  if (const int status = ask(talk, {{"op", "nodes"}}, kTellTimeout, &answer); status < 0) return status;
  const Json* found = node_named(answer, text_of(node));
  if (found == nullptr) return fail(talk, ENXIO, "no node " + text_of(node) + " known here (see omctl nodes)");
  *facts = facts_of(*found);
  return 0;
}

int figure(omig_conversation* conversation, const char* node, int NodeFacts::*which) {
  return guarded(conversation, [&](Talk& talk) {
    NodeFacts facts;
    if (const int status = facts_of_one(talk, node, &facts); status < 0) return status;
    if (!facts.up()) return fail(talk, EHOSTUNREACH, "node " + facts.name + " is down");
    return facts.*which;
  });
}

}  // namespace

extern "C" {

int omig_nodes_get(omig_conversation* conversation, omig_nodes** nodes) {
  return guarded(conversation, [&](Talk& talk) {
    if (nodes == nullptr) return fail(talk, EINVAL, "nowhere to put the nodes");
    Json answer;
    if (const int status = ask(talk, {{"op", "nodes"}}, kTellTimeout, &answer); status < 0) return status;
    auto list = std::make_unique<omig_nodes>();
    for (const Json& node : answer.at("nodes")) {
      if (!node.is_object()) return not_understood(talk);
      NodeFacts f = facts_of(node);
      list->items.push_back({.id = f.id,
                             .self = f.self,
                             .name = list->keep(std::move(f.name)),
                             .endpoint = list->keep(std::move(f.endpoint)),
                             .status = f.status,
                             .load = f.load,
                             .speed = f.speed,
                             .utilisation = f.utilisation,
                             .cpus = f.cpus,
                             .free_bytes = f.free_bytes,
                             .real_free_bytes = f.real_free_bytes,
                             .total_bytes = f.total_bytes,
                             .guests = f.guests,
                             .away = f.away,
                             .age_ms = f.age_ms});
    }
    *nodes = list.release();
    return 0;
  });
}

size_t omig_nodes_count(const omig_nodes* nodes) { return nodes == nullptr ? 0 : nodes->items.size(); }

const omig_node* omig_nodes_at(const omig_nodes* nodes, size_t index) {
  return index < omig_nodes_count(nodes) ? &nodes->items[index] : nullptr;
}

void omig_nodes_free(omig_nodes* nodes) { delete nodes; }

int omig_whois(omig_conversation* conversation, const char* node) {
  return guarded(conversation, [&](Talk& talk) {
    NodeFacts facts;
    const int status = facts_of_one(talk, node, &facts);
    return status < 0 ? status : static_cast<int>(facts.id);
  });
}

int omig_load(omig_conversation* conversation, const char* node) {
  return figure(conversation, node, &NodeFacts::load);
}
int omig_speed(omig_conversation* conversation, const char* node) {
  return figure(conversation, node, &NodeFacts::speed);
}
int omig_utilisation(omig_conversation* conversation, const char* node) {
  return figure(conversation, node, &NodeFacts::utilisation);
}

int omig_cpus(omig_conversation* conversation, const char* node, double* cpus) {
  return guarded(conversation, [&](Talk& talk) {
    if (cpus == nullptr) return fail(talk, EINVAL, "nowhere to put the CPUs");
    NodeFacts facts;
    if (const int status = facts_of_one(talk, node, &facts); status < 0) return status;
    if (!facts.up()) return fail(talk, EHOSTUNREACH, "node " + facts.name + " is down");
    *cpus = facts.cpus;
    return 0;
  });
}

int omig_memory(omig_conversation* conversation, const char* node, uint64_t* free_bytes, uint64_t* total_bytes) {
  return guarded(conversation, [&](Talk& talk) {
    NodeFacts facts;
    if (const int status = facts_of_one(talk, node, &facts); status < 0) return status;
    if (!facts.up()) return fail(talk, EHOSTUNREACH, "node " + facts.name + " is down");
    if (free_bytes != nullptr) *free_bytes = facts.free_bytes;
    if (total_bytes != nullptr) *total_bytes = facts.total_bytes;
    return 0;
  });
}

int omig_status(omig_conversation* conversation, const char* node) {
  return guarded(conversation, [&](Talk& talk) {
    NodeFacts facts;
    if (const int status = facts_of_one(talk, node, &facts); status < 0) return status;
    if (!facts.self) return static_cast<int>(facts.status);
    Json answer;
    if (const int status = ask(talk, {{"op", "settings"}}, kTellTimeout, &answer); status < 0) return status;
    return static_cast<int>(with_settings(facts.status, answer.at("settings")));
  });
}
}
