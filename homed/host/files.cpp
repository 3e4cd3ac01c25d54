// SPDX-License-Identifier: Apache-2.0
#include "homed/host/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace omig::host {
namespace {

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

}  // namespace

Fd empty_copy(u64 bytes) {
  Fd fd(memfd_create(kCopyName, MFD_CLOEXEC));
  if (fd && ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) fd = Fd();
  return fd;
}

std::string FileCatalogue::hash_of(int fd, const struct stat& st) {
  const std::string name = fmt::format("{}/{:x}-{}-{}-{}.{:09}", cache_dir_, st.st_dev, st.st_ino, st.st_size,
                                       st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
  if (std::string known = read_file(name, 64); known.size() == 64) return known;
  std::string hash = sha256_of(fd);
  if (hash.empty()) return hash;
  mkdir(cache_dir_.c_str(), 0700);
  const std::string temporary = fmt::format("{}.{}", name, getpid());
  if (const int out = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); out >= 0) {
    const bool written = write(out, hash.data(), hash.size()) == static_cast<ssize_t>(hash.size());
    close(out);
    if (!written || rename(temporary.c_str(), name.c_str()) != 0) unlink(temporary.c_str());
  }
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

Fd FileCatalogue::open_same(const image::File& file) {
  if (file.sha256_hex.empty()) return Fd();
  Fd fd(open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat st {};
  if (!fd || fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return Fd();
  if (static_cast<u64>(st.st_size) != file.size_bytes || hash_of(fd.get(), st) != file.sha256_hex) return Fd();
  return fd;
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
