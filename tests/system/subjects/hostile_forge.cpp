// SPDX-License-Identifier: Apache-2.0
// A guest that answers for its own deputy. Its links are descriptors of the process at home, so it can write to them;
// /proc/self/mem at home tells which descriptor, which number the host waits for and the keys that seal what is
// written. While the deputy sits in a read, the host believes whatever is sealed with them.
//
// The attempt: the host asks for the contents of a file that is to be mapped, and is told "65536 bytes", with hardly
// any coming. A host that believes the number maps its own memory, tokens and keys in it, into the guest.
#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>
#include <vector>

#include "lib/link/sealed.h"
#include "preload/engine/head.h"
#include "preload/engine/seal.h"
#include "tests/programs/program.h"
#include "tests/system/subjects/hostile.h"

namespace omig::test {

namespace {

constexpr size_t kRead = 8192;         // larger than what the host reads of a link at once
constexpr size_t kClaimed = 64 << 10;  // what the forged answer says that the file has
std::atomic<int> stage;
unsigned char* mapped;

SlotBlock slot_of(int mem, pid_t tid) {
  SlotBlock block{};
  for (u32 slot = 0; slot < 8; ++slot) {
    if (pread(mem, &block, sizeof block, static_cast<off_t>(slot_address(slot))) != sizeof block) continue;
    if (block.tid == tid && block.in_use != 0) return block;
  }
  FAIL("no slot of thread %d", tid);
}

// As a deputy would send them next.
std::vector<u8> sealed(int mem, const SlotBlock& block, const std::vector<u8>& frames) {
  engine::Seals seals;
  const u64 at = slot_address(block.slot) + kSlotSeals;
  CHECK_EQ(pread(mem, &seals, sizeof seals, static_cast<off_t>(at)), sizeof seals);
  Seal seal({seals.out.key, sizeof seals.out.key}, seals.out.cipher, true, seals.out.count);
  std::vector<u8> records;
  for (size_t done = 0; done < frames.size(); done += wire::kMaxRecord)
    seal.seal({frames.data() + done, std::min<size_t>(frames.size() - done, wire::kMaxRecord)}, &records);
  return records;
}

void add_reply(std::vector<u8>* frames, u64 seq, i64 ret, const void* data, u32 bytes) {
  const u32 padded = std::max<u32>(bytes, 4096);  // so that no reply is read together with the next
  const u32 out = ret < 0 ? 4096 : padded + static_cast<u32>(sizeof(u32));
  const wire::Frame frame{wire::Type::reply, static_cast<u32>(sizeof(wire::Reply)) + out, seq};
  wire::Reply reply{};
  reply.ret = ret;
  reply.out_bytes = out;
  std::vector<u8> body(out);
  memcpy(body.data(), &bytes, sizeof bytes);
  if (bytes > 0) memcpy(body.data() + sizeof bytes, data, bytes);
  for (const auto& [from, count] :
       {std::pair<const void*, size_t>{&frame, sizeof frame}, {&reply, sizeof reply}, {body.data(), body.size()}})
    frames->insert(frames->end(), static_cast<const u8*>(from), static_cast<const u8*>(from) + count);
}

[[noreturn]] void forge(pid_t victim) {
  const int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  CHECK(mem >= 0);
  while (stage != 1) {
  }
  const u64 before = slot_of(mem, victim).last_seq;
  stage = 2;
  SlotBlock block{};
  while ((block = slot_of(mem, victim)).last_seq == before) {
  }
  const u64 seq = block.last_seq;
  std::vector<u8> frames;
  const std::vector<u8> nothing(kRead);
  struct stat st {};
  st.st_mode = S_IFREG | 0644;
  st.st_size = kClaimed;
  add_reply(&frames, seq, kRead, nothing.data(), kRead);  // the read that it sits in
  add_reply(&frames, seq + 2, 0, &st, sizeof st);         // mmap: which file is it?
  add_reply(&frames, seq + 3, kClaimed, "x", 1);          // and its bytes?
  add_reply(&frames, seq + 4, -ENOENT, nullptr, 0);       // its name?
  add_reply(&frames, seq + 5, -ENOMEM, nullptr, 0);       // map it aside
  const std::vector<u8> records = sealed(mem, block, frames);
  CHECK_EQ(write(block.link_fd - 1, records.data(), records.size()), records.size());
  while (stage != 3) {
    timespec moment{0, 10'000'000};
    nanosleep(&moment, nullptr);
  }
  if (mapped == MAP_FAILED) _exit(0);
  size_t leaked = 0;
  for (size_t i = 4096 + 16; i < kClaimed; ++i) leaked += mapped[i] != 0;
  dprintf(1, "got a mapping of what has never come; %zu bytes of it are not zero\n", leaked);
  _exit(kGot);
}

}  // namespace

int forge_replies(void (*announce)()) {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  CHECK(file >= 0);
  announce();
  const pid_t self = gettid();
  std::thread([self] { forge(self); }).detach();
  stage = 1;
  while (stage != 2) {
  }
  static char bytes[kRead];
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), kRead);  // nothing is ever written to it
  mapped = static_cast<unsigned char*>(mmap(nullptr, kClaimed, PROT_READ, MAP_PRIVATE, file, 0));
  stage = 3;
  for (;;) {
  }
}

}  // namespace omig::test
