// SPDX-License-Identifier: Apache-2.0
// Marshalling: from a guest's registers and memory to a wire::Call the deputy can execute blindly, and back.
//
// gather() follows the row's shapes: input bytes, iovecs, message headers are copied into the call's scratch image, and
// every pointer becomes a relocation. scatter() writes what came back to where the guest expects it. Neither blocks nor
// knows links: they are pure but for the Memory they are given.
#pragma once

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

// A call on its way, reusable: one per worker, its buffers keep their capacity.
struct Prepared {
  // Frame + Call + Reloc[] + Out[] + input bytes, contiguous and ready to be sent. The caller patches frame().seq.
  std::vector<u8> message;
  // Where the reply's output bytes go: in the order of the Outs. `bytes` is an upper bound; for variable outs (Out.unit, Out.length_at) the
  // reply's stream is [u32 actual length, bytes] for every Out, see PROTOCOL.md (all outs are length-prefixed).
  struct Target {
    GuestAddr to;
    u64 bytes;
  };
  // One Out may be spread over several places (iovecs): consecutive targets with the same out index.
  struct Piece {
    u32 out;
    u32 offset;  // within that out's bytes
    Target target;
  };
  std::vector<Piece> pieces;
  long error = 0;
  Restart restart = Restart::never;
  wire::Frame& frame() { return *reinterpret_cast<wire::Frame*>(message.data()); }
};

// `relations`: sizes larger than kMaxTransfer are cut for calls whose result may be short (read, write, ...), never for
// others (there: come_home).
inline constexpr u64 kMaxTransfer = 4u << 20;

Gathered gather(const Row& row, const u64 args[6], Memory& memory, Prepared* out);

// `bytes` is the reply's output stream. Returns the value to answer: reply.ret, or -EFAULT when the guest's memory could
// not be written (then as much as possible was).
long scatter(const Prepared& call, const wire::Reply& reply, std::span<const u8> bytes, Memory& memory);

// For special calls built by hand (homed/host/special.cpp): a call whose arguments are numbers, with optional input bytes
// addressed by relocations.
void build_call(u32 nr, const u64 args[6], std::span<const u8> input, std::span<const wire::Reloc> relocs,
                std::span<const wire::Out> outs, u32 scratch_bytes, Prepared* out);

}  // namespace omig::syscalls
