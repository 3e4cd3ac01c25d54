// SPDX-License-Identifier: Apache-2.0
// Marshalling: from a guest's registers and memory to a wire::Call the deputy can execute blindly, and back.
//
// gather() follows the row's shapes: input bytes, iovecs, message headers are copied into the call's scratch image, and
// every pointer becomes a relocation. scatter() writes what came back to where the guest expects it. Neither blocks nor
// knows links: they are pure but for the Memory they are given.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/syscalls/table.h"
#include "lib/wire/link.h"

namespace omig::syscalls {

// The guest's memory. Hostile: it may change between two reads, so everything is copied once.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual bool read(GuestAddr from, void* to, u64 bytes) = 0;  // false: some of it is not readable
  virtual bool write(GuestAddr to, const void* from, u64 bytes) = 0;
  // Reads up to and including a NUL, without it in `out`. 0, -EFAULT, or -ENAMETOOLONG when there is none in max_bytes.
  long read_string(GuestAddr from, std::string* out, u64 max_bytes);
};

enum class Gathered {
  ready,      // send it
  error,      // answer `error` (negative errno), as the kernel would: -EFAULT, -EINVAL, ...
  come_home,  // these arguments cannot be served away
};

// Bytes whose growth is not zeroed first: a message of 1 MiB is written once, not twice.
template <typename T>
struct Unzeroed : std::allocator<T> {
  using value_type = T;
  template <typename U>
  struct rebind {
    using other = Unzeroed<U>;
  };
  template <typename U>
  void construct(U* at) noexcept {
    ::new (static_cast<void*>(at)) U;
  }
  template <typename U, typename... Args>
  void construct(U* at, Args&&... args) {
    ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
  }
};
using Bytes = std::vector<u8, Unzeroed<u8>>;

// A call on its way, reusable: one per worker, its buffers keep their capacity.
struct Prepared {
  // Frame + Call + Reloc[] + Out[] + input bytes, contiguous and ready to be sent. The caller patches frame().seq and
  // the Call, and the input by replace_input() only: scatter() compares what comes back with what was sent, and writes
  // only what changed.
  Bytes message;
  // Where the reply's output bytes go: in the order of the Outs. `bytes` is an upper bound; for variable outs
  // (Out.unit, Out.length_at) the reply's stream is [u32 actual length, bytes] for every Out, see PROTOCOL.md (all outs
  // are length-prefixed).
  struct Target {
    GuestAddr to;
    u64 bytes;
  };
  // One Out may be spread over several places (iovecs): consecutive targets with the same out index.
  struct Piece {
    u32 out;
    u32 offset;  // within that out's bytes
    Target target;
    i64 min_ret = INT64_MIN;  // written only if the result is at least this (message i of recvmmsg)
    bool whole = false;       // written even if it equals what was sent, because that was not what the guest has
    bool optional = false;    // no error if it cannot be written
  };
  std::vector<Piece> pieces;
  long error = 0;
  Restart restart = Restart::never;
  wire::Frame& frame() { return *reinterpret_cast<wire::Frame*>(message.data()); }
};

// The most data one call carries. A longer read is cut to it (short reads are legal, and every reader loops); a longer
// write comes home, because programs check a regular file's write for completeness and a datagram must not be cut.
inline constexpr u64 kMaxTransfer = 64u << 20;

// Works for any row with shapes, `special` ones included. Local and traced rows, and rows whose arguments are
// structures of the guest's own address space (execve's arrays) answer come_home.
Gathered gather(const Row& row, const u64 args[6], Memory& memory, Prepared* out);

// A reply's output stream, taken from its beginning to its end, while the rest of it may still be on its way.
class Stream {
 public:
  static constexpr u64 kMostAtOnce = 128 * 1024;  // stays in the cache until it is written
  virtual ~Stream() = default;
  // The next `bytes` (at most kMostAtOnce), good until the next call; nullptr: there are not as many.
  virtual const u8* take(u64 bytes) = 0;
};

// Has the call go with other bytes than the program's own behind the pointer that is argument `argument`. What comes
// back for them is written whole. False: fewer bytes were gathered there, and nothing has been changed.
bool replace_input(Prepared* call, u32 argument, std::span<const u8> bytes);

// Returns the value to answer: reply.ret, or -EFAULT when the guest's memory could not be written (then as much as
// possible was).
long scatter(const Prepared& call, const wire::Reply& reply, Stream& stream, Memory& memory);
// The same with the whole stream at hand.
long scatter(const Prepared& call, const wire::Reply& reply, std::span<const u8> bytes, Memory& memory);

// For special calls built by hand (homed/host/special.cpp): a call whose arguments are numbers, with optional input
// bytes addressed by relocations.
void build_call(u32 nr, const u64 args[6], std::span<const u8> input, std::span<const wire::Reloc> relocs,
                std::span<const wire::Out> outs, u32 scratch_bytes, Prepared* out);

}  // namespace omig::syscalls
