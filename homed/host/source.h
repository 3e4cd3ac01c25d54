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
#include "homed/reasons.h"
#include "lib/image/image.h"

namespace omig::host {

struct Mappings {
  std::vector<image::Vma> vmas;  // sorted, without the engine's range and [vsyscall]
  std::string refusal;           // not empty: a mapping that cannot travel, in words
};

// `facts`: at home as why_stays found them. Of a guest: the advised ranges; its segments are known to `files`.
Mappings read_mappings(pid_t pid, FileCatalogue* files, const MemoryFacts& facts = {});

// The file list as JSON and back.
nlohmann::json files_to_json(std::span<const image::File> files);
bool files_from_json(const nlohmann::json& json, std::vector<image::File>* files);

// Header, vmas, threads and pending signals in one piece; the file list travelled before.
bool send_image(Conversation& to, const image::Image& image);
// false: malformed or the link broke. Bounds every count before it allocates.
bool receive_image(ByteSource& from, image::Image* image);

// SHA-256 of this process' vdso, and the CPU's feature words as /proc/cpuinfo names them.
std::string vdso_sha256();
std::vector<std::string> cpu_flags();

}  // namespace omig::host
