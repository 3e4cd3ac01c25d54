// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "homed/host/freeze.h"
#include "homed/host/pages.h"
#include "homed/host/segments.h"
#include "homed/host/source.h"
#include "lib/link/conversation.h"

namespace omig::host {

struct DepartOptions {
  pid_t pid = 0;
  Endpoint to;
  Ticket ticket;          // from its homed
  std::string node;       // the target's name, for messages
  std::string state_dir;  // of this node
  std::string home_name;
  u32 patience_s = 0;      // wire::Hello
  bool multipath = false;  // links by MPTCP
  std::string job;         // what its user said of it (lib/cluster/job.h), for the target
};

struct MoveReport {
  bool ok = false;
  std::string reason;
  double freeze_ms = 0;
  double total_ms = 0;
  u64 bytes = 0;
  double ahead_ms = 0;  // while it still ran
  u64 ahead_bytes = 0;
  nlohmann::json to_json() const;
};

// Moves a native program of this node away. Two-phase: whatever happens before the visited node's host has confirmed,
// the program runs on where it was.
MoveReport depart(const DepartOptions& options);

// The conversation with the node it goes to, shared with guests that move on (moves.cpp).
class MoveConversation {
 public:
  // Asks, and offers the files of `catalogue`; sends those that the target has not got and wants to keep; fills what
  // the target answered.
  bool open(const Endpoint& to, const std::string& node, const Ticket& ticket, const nlohmann::json& request,
            FileCatalogue& catalogue, std::vector<Preparation> preparations, std::string* reason);
  std::span<const Preparation> prepared() const { return prepared_; }
  // Large memory, while the process still runs; waits until the target has it in place and is prepared for the rest.
  // Always before ship().
  bool send_ahead(pid_t pid, WriteTracker tracker, std::string* reason, PageStatistics* statistics);
  // Ships a frozen process. `expect_ready`: until the target has it in place.
  bool ship(pid_t pid, const image::Image& image, const SegmentReader& segments, std::string* reason,
            PageStatistics* statistics);
  // Waits for the target's last word.
  bool wait_committed(std::string* reason);

  std::array<u8, 4> address{};
  u16 port = 0;
  std::array<u8, wire::kTokenBytes> token{};

 private:
  bool answer(nlohmann::json* json, milliseconds timeout, std::string* reason);
  bool send_files(const nlohmann::json& wanted, std::span<const image::File> files, FileCatalogue& catalogue,
                  std::string* reason);
  bool send_run(u64 address, std::span<u8> bytes);
  Conversation peer_;
  std::string node_;
  std::vector<bool> files_there_;
  std::vector<Preparation> prepared_;
  std::optional<PreCopy> ahead_;
};

}  // namespace omig::host
