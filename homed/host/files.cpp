// SPDX-License-Identifier: Apache-2.0
#include "homed/host/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "homed/cache.h"
#include "lib/base/patience.h"

namespace omig::host {
namespace {

// What a program has mapped of a larger file is probably little.
constexpr u64 kMostSentBytes = 64ull << 20;
constexpr size_t kSendChunk = 256 * 1024;
constexpr milliseconds kSendLimit{20'000};  // for each chunk

std::string sha256_of(int fd) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  std::vector<u8> buffer(256 * 1024);
  off_t at = 0;
  for (;;) {
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), at);
    if (got < 0) return "";
    if (got == 0) break;
    EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(got));
    at += got;
  }
  u8 digest[EVP_MAX_MD_SIZE];
  unsigned bytes = 0;
  EVP_DigestFinal_ex(context.get(), digest, &bytes);
  return hex_encode(digest, bytes);
}

// The name comes from another node: it may be a device's, which even opening would wake. `as_nobody`: with the rights
// of one, for whoever names a file and its hash learns whether it is so.
Fd open_regular(const std::string& path, bool as_nobody) {
  constexpr uid_t kNobody = 65534;
  if (as_nobody) setfsgid(kNobody), setfsuid(kNobody);
  const Fd named(open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat st {};
  Fd fd;
  if (named && fstat(named.get(), &st) == 0 && S_ISREG(st.st_mode))
    fd = Fd(open(fmt::format("/proc/self/fd/{}", named.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (as_nobody) setfsuid(0), setfsgid(0);
  return fd;
}

// False: whoever has it takes too long; it is faster not to wait.
bool wait_for_turn(int lock) {
  Patience patience(milliseconds(3'000));
  return patience.until([&](milliseconds) {
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) return true;
    poll(nullptr, 0, 5);
    return false;
  });
}

}  // namespace

Fd empty_copy(u64 bytes) {
  Fd fd(memfd_create(kCopyName, MFD_CLOEXEC));
  if (fd && ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) fd = Fd();
  return fd;
}

std::string FileCatalogue::hash_of(int fd, const struct stat& st) {
  const std::string directory = state_dir_ + "/file-hashes";
  const std::string name = fmt::format("{}/{:x}-{}-{}-{}.{:09}-{}.{:09}", directory, st.st_dev, st.st_ino, st.st_size,
                                       st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
  if (std::string known = read_file(name, 64); known.size() == 64) return known;
  mkdir(directory.c_str(), 0700);
  const std::string making = name + ".making";
  const Fd out(open(making.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  // Many programs of one kind leave at the same time: the first reads the libraries, the others wait for it.
  if (out && wait_for_turn(out.get()))
    if (std::string known = read_file(name, 64); known.size() == 64) return known;
  std::string hash = sha256_of(fd);
  if (hash.empty() || !out) return hash;
  const bool written = pwrite(out.get(), hash.data(), hash.size(), 0) == static_cast<ssize_t>(hash.size());
  if (!written || rename(making.c_str(), name.c_str()) != 0) unlink(making.c_str());
  return hash;
}

i32 FileCatalogue::index_of(const MapsLine& line, const std::string& root) {
  const FileId id{line.device, line.inode};
  if (const auto known = by_id_.find(id); known != by_id_.end()) return known->second;
  if (line.inode == 0 || line.deleted || line.path.empty() || line.path[0] != '/') return -1;
  const Fd fd(open((root + line.path).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat st {};
  if (!fd || fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return -1;
  if (st.st_dev != line.device || st.st_ino != line.inode) return -1;  // another file bears the name now
  std::string hash = hash_of(fd.get(), st);
  if (hash.empty()) return -1;
  files_.push_back({line.path, static_cast<u64>(st.st_size), std::move(hash)});
  return by_id_[id] = static_cast<i32>(files_.size() - 1);
}

Fd FileCatalogue::open_same(const image::File& file, Reader reader) {
  if (file.sha256_hex.empty()) return Fd();
  if (Fd fd = open_if_same(file.path, file, reader)) return fd;
  Fd sent = open_if_same(sent_path(file), file);
  if (sent) futimens(sent.get(), nullptr);  // the longest unused is thrown away first
  return sent;
}

Fd FileCatalogue::open_if_same(const std::string& path, const image::File& file, Reader reader) {
  Fd fd = open_regular(path, reader == Reader::anybody && geteuid() == 0);
  struct stat st {};
  if (!fd || fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return Fd();
  if (static_cast<u64>(st.st_size) != file.size_bytes || hash_of(fd.get(), st) != file.sha256_hex) return Fd();
  return fd;
}

std::string FileCatalogue::sent_path(const image::File& file) const {
  return fmt::format("{}/files/{}", state_dir_, file.sha256_hex);
}

bool FileCatalogue::can_be_sent(const image::File& file) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return file.sha256_hex.size() == 64 && std::ranges::all_of(file.sha256_hex, is_hex) && file.size_bytes > 0 &&
         file.size_bytes <= kMostSentBytes;
}

Fd FileCatalogue::receive(const image::File& file, Conversation& from, bool* alive) {
  u64 bytes = 0;
  *alive = from.read(&bytes, sizeof bytes, kSendLimit) && (bytes == 0 || bytes == file.size_bytes);
  if (!*alive || bytes == 0) return Fd();
  const std::string path = sent_path(file), temporary = fmt::format("{}.{}", path, getpid());
  mkdir((state_dir_ + "/files").c_str(), 0700);
  Fd out(open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::vector<u8> buffer(kSendChunk);
  for (u64 at = 0; at < bytes;) {
    const u64 here = std::min<u64>(buffer.size(), bytes - at);
    *alive = from.read(buffer.data(), here, kSendLimit);
    if (!*alive) break;
    // Out of room: the rest is read to nowhere, and the pages come as if there were no such file.
    if (out && write(out.get(), buffer.data(), here) != static_cast<ssize_t>(here)) out.reset();
    at += here;
  }
  if (!out || !*alive || sha256_of(out.get()) != file.sha256_hex || rename(temporary.c_str(), path.c_str()) != 0) {
    unlink(temporary.c_str());
    return Fd();
  }
  out.reset();  // it must not be open for writing where it is mapped
  keep_newest(state_dir_ + "/files", ~size_t{0}, kMostFileBytes);
  return open_if_same(path, file);
}

bool send_file(Conversation& to, int fd, const image::File& file) {
  const u64 bytes = fd >= 0 ? file.size_bytes : 0;
  if (!to.write(&bytes, sizeof bytes, kSendLimit)) return false;
  std::vector<u8> buffer(kSendChunk);
  for (u64 at = 0; at < bytes;) {
    // Cut off meanwhile: zeros, whose hash is another.
    const u64 here = std::min<u64>(buffer.size(), bytes - at);
    const ssize_t got = pread(fd, buffer.data(), here, static_cast<off_t>(at));
    if (got < static_cast<ssize_t>(here)) std::fill(buffer.begin() + std::max<ssize_t>(got, 0), buffer.end(), u8{0});
    if (!to.write(buffer.data(), here, kSendLimit)) return false;
    at += here;
  }
  return true;
}

i32 FileCatalogue::adopt(const image::File& file, std::optional<FileId> id) {
  files_.push_back(file);
  const i32 index = static_cast<i32>(files_.size() - 1);
  if (id) by_id_[*id] = index;
  return index;
}

i32 FileCatalogue::nameless(const MapsLine& line, u64 size_bytes) {
  const FileId id{line.device, line.inode};
  const auto known = by_id_.find(id);
  const i32 index =
      known != by_id_.end() ? known->second : adopt({line.path + (line.deleted ? " (deleted)" : ""), 0, ""}, id);
  u64& size = files_[static_cast<size_t>(index)].size_bytes;
  size = std::max(size, size_bytes);
  return index;
}

i32 FileCatalogue::segment(const MapsLine& line, u64 size_bytes, const Segment& segment) {
  const i32 index = nameless(line, size_bytes);
  image::File& file = files_[static_cast<size_t>(index)];
  file.sha256_hex.clear();
  file.segment = segment.named ? image::File::Segment::file : image::File::Segment::memory;
  file.home_device = segment.file.device;
  file.home_inode = segment.file.inode;
  return index;
}

const image::File* FileCatalogue::find(FileId id) const {
  const auto known = by_id_.find(id);
  return known == by_id_.end() ? nullptr : &files_[static_cast<size_t>(known->second)];
}

}  // namespace omig::host
