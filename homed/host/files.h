// SPDX-License-Identifier: Apache-2.0
// Files verified by content. A library that both nodes have is mapped on each from its own disk instead of being
// shipped; "the same" means size and SHA-256, never the name alone. Hashes are remembered in the state directory by
// device, inode, size and the times of its last change, so a library is read once.
//
// A file that the target has not got, or another one under its name, is sent whole before the program is frozen, if it
// is not too large, and kept in the state directory by its SHA-256: the next program that has it mapped finds it.
#pragma once

#include <sys/stat.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "homed/host/proc.h"
#include "homed/sharing.h"
#include "lib/image/image.h"
#include "lib/link/conversation.h"

namespace omig::host {

using FileId = std::pair<u64, u64>;  // device, inode

// Where a guest's node has not got a file: a memfd of its size, with this name, to be filled. Invalid: no memory.
inline constexpr const char* kCopyName = "omig-file";
Fd empty_copy(u64 bytes);

// The file's content, opened by `fd`; an invalid one: that it is not to be had. False: the target is gone.
bool send_file(Conversation& to, int fd, const image::File& file);

class FileCatalogue {
 public:
  explicit FileCatalogue(std::string state_dir) : state_dir_(std::move(state_dir)) {}

  // Index in files() of the file behind a mapping, added (and hashed) at need. -1: not a file whose content can be
  // relied on (gone, special, changed under the mapping): then its bytes are shipped.
  i32 index_of(const MapsLine& line, const std::string& root = "");
  // Opens this node's own copy of a file another node names, or the one it has been sent; an invalid Fd when there is
  // none with the same content.
  // `anybody`: root opens for a stranger, who may read only what everybody may.
  enum class Reader { self, anybody };
  Fd open_same(const image::File& file, Reader reader = Reader::self);
  // Whether it is worth being sent.
  static bool can_be_sent(const image::File& file);
  // Takes in what send_file() sends. Invalid: it was not sent, not that file, or there is no room for it here. False in
  // *alive: the source is gone.
  Fd receive(const image::File& file, Conversation& from, bool* alive);

  const std::vector<image::File>& files() const { return files_; }
  // Makes a known file (from an image) findable by the id it has on this node. Returns its index.
  i32 adopt(const image::File& file, std::optional<FileId> id);
  const image::File* find(FileId id) const;  // nullptr: not known
  // A segment's file: as nameless(), and marked as what it is.
  i32 segment(const MapsLine& line, u64 size_bytes, const Segment& segment);
  // A file without a name that could be opened (unlinked, a memfd): nobody's copy will do. At least so large.
  i32 nameless(const MapsLine& line, u64 size_bytes);

 private:
  std::string hash_of(int fd, const struct stat& st);

  Fd open_if_same(const std::string& path, const image::File& file, Reader reader = Reader::self);
  std::string sent_path(const image::File& file) const;

  std::string state_dir_;
  std::vector<image::File> files_;
  std::map<FileId, i32> by_id_;
};

}  // namespace omig::host
