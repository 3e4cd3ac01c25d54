// SPDX-License-Identifier: Apache-2.0
// The sending side of a move: reads a frozen process' mappings and pages from outside and streams them.
//
// Used for a program that leaves home (depart.cpp), for a guest that moves on to another node, and for one that goes
// home (moves.cpp): in each case `pid` is the process as this node's kernel knows it, and it does not run.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "homed/host/files.h"
#include "lib/image/image.h"

namespace omig::host {

struct Mappings {
  std::vector<image::Vma> vmas;  // sorted, without the engine's range and [vsyscall]
  std::string refusal;           // not empty: a mapping that cannot travel, in words
};

Mappings read_mappings(pid_t pid, FileCatalogue* files);

// Where page data goes. false: the receiver is gone, stop.
using PageSink = std::function<bool(u64 address, std::span<const u8> bytes)>;

struct PageStatistics {
  u64 bytes = 0;
  u64 zero_bytes = 0;
};

// Sends what the receiver cannot know. `files_there[i]`: it has files[i] mapped, so only pages that differ from the
// file are sent. Zero pages are left out except in [keep_zeros_from, keep_zeros_to).
bool send_pages(pid_t pid, std::span<const image::Vma> vmas, const std::vector<bool>& files_there, const PageSink& sink,
                PageStatistics* statistics, u64 keep_zeros_from = 0, u64 keep_zeros_to = 0);

// Large writable anonymous mappings and how much of them is in use, for the target to make ready before the freeze
// (KERNEL.md 6: populating huge pages ahead makes the stream ten times as fast).
struct Preparation {
  u64 start = 0, end = 0;            // the mapping
  u64 used_start = 0, used_end = 0;  // where its pages are
};
std::vector<Preparation> preparations(pid_t pid, std::span<const image::Vma> vmas);
nlohmann::json preparations_to_json(std::span<const Preparation> list);
std::vector<Preparation> preparations_from_json(const nlohmann::json& json);

// The file list as JSON and back.
nlohmann::json files_to_json(std::span<const image::File> files);
bool files_from_json(const nlohmann::json& json, std::vector<image::File>* files);

// Header, vmas, threads and pending signals in one piece; the file list travelled before.
bool send_image(int fd, const image::Image& image);
// false: malformed or the link broke. Bounds every count before it allocates.
bool receive_image(int fd, image::Image* image);

// SHA-256 of this process' vdso, and the CPU's feature words as /proc/cpuinfo names them.
std::string vdso_sha256();
std::vector<std::string> cpu_flags();

}  // namespace omig::host
