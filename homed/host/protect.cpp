// SPDX-License-Identifier: Apache-2.0
// Protection: home keeps an image of a guest, from which the program goes on there should this node be lost
// (preload/engine/restart.cpp). The first one is what home had when the program left. Each later one is the way home up
// to the last word, which is not said: the guest is frozen, home gets its memory, layout and registers, keeps them
// aside until it hears that this is whole, and then puts them in the older image's place. Then the guest goes on here.
//
// Of large mappings only what was written since the last image travels (pages.h). So an image is cheap, and one is made
// not only when its time has come, but also soon after the program has done what must not be done twice: from such an
// image it can go on, from one of before it cannot.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "homed/host/fault.h"
#include "homed/host/homecoming.h"
#include "homed/host/proc.h"
#include "homed/host/visit.h"
#include "lib/cluster/job.h"

namespace omig::host {
namespace {

constexpr std::chrono::seconds kRetry{10};
constexpr std::chrono::milliseconds kLook{250};  // and so long nothing that counts has been done, before an image
constexpr int kShareOfTime = 20;  // a guest stands still for its images for at most one part in so many of its time

}  // namespace

std::chrono::seconds Visit::protection_of(const Guest& guest) {
  const std::lock_guard lock(mutex_);
  return std::chrono::seconds(cluster::job_from(guest.job).protect_s);
}

// Home needs as much memory as the image has.
std::string Visit::too_large_for_home(const Guest& guest) {
  const u64 bound_mb = [&] {
    const std::lock_guard lock(mutex_);
    return cluster::job_from(guest.job).protect_mb;
  }();
  if (bound_mb == 0 || rss_bytes(guest.pid) <= bound_mb << 20) return "";
  return fmt::format("it has more than the {} MiB that home keeps of it (--protect-mb)", bound_mb);
}

// Home maps all of it now. Of the pins only those are left that are not in use; a restart at home removes them.
void Visit::take_layout(Guest& guest, const std::vector<image::Vma>& layout) {
  const std::lock_guard files_lock(guest.files_mutex);
  guest.home_vmas = layout;
  std::erase_if(guest.pins, [](const image::Pin& pin) { return !pin.aside(); });
}

// Home has done something of the kind for it; this call may have been that.
void Visit::note_effect(Guest& guest, const syscalls::Prepared& prepared, i64 ret) {
  wire::Call call;
  memcpy(&call, prepared.message.data() + sizeof(wire::Frame), sizeof call);
  if ((call.flags & wire::kCallHarmless) == 0 && ret >= 0) ++guest.effects;
  guest.past_image = true;
}

void Visit::take_write_tracker(Fd userfaultfd) { guests_.begin()->second->writes.userfaultfd = std::move(userfaultfd); }

// The guest stands still. Where the kernel cannot, or does not know a child, the next image is whole.
void Visit::note_writes(Guest& guest) {
  guest.home_copy = {};
  guest.writes.start(guest.pid, notable(guest.home_vmas));
  Ranges there;
  if (guest.writes.mark(guest.pid, &there)) guest.home_copy = {guest.writes.areas, std::move(there)};
}

// What home has, or keeps aside, is all that it takes.
long Visit::declare_image(Guest& guest, const wire::KernelSigaction& abort_action) {
  GuestThread& lead = *guest.threads.at(guest.pid);
  const u64 seq = ++lead.seq;
  wire::Reply reply;
  std::vector<u8> ignored;
  guest.image_due = SteadyClock::now() + protection_of(guest);
  guest.past_image = false;
  if (!send_frame(lead.link, wire::Type::image, seq, &abort_action, sizeof abort_action) ||
      !receive_reply(lead.link, seq, &reply, &ignored))
    return -EPIPE;
  return std::min<long>(reply.ret, 0);
}

// Empty: done, else why not.
std::string Visit::renew_image(const std::shared_ptr<Guest>& guest) {
  const std::lock_guard moving(moves_mutex_);
  {
    const std::lock_guard lock(mutex_);
    if (guest->ending || guest->coming_home) return "";
  }
  if (std::string why = too_large_for_home(*guest); !why.empty()) return why;
  const auto start = SteadyClock::now();
  std::string reason;
  image::Image image;
  PageStatistics statistics;
  if (const std::optional<u64> excluded = halt(*guest, &image, &reason)) {
    if (!image.pending.empty()) {
      reason = "signals wait for it";
    } else if (!guest->segments.empty()) {
      reason = "it shares memory";
    } else if (Homecoming homecoming(*this, *guest, image); homecoming.prepare(&reason, &statistics)) {
      fault_point("image-prepared");
      if (homecoming.declare(&reason)) {
        take_layout(*guest, homecoming.layout());
        note_writes(*guest);
      }
    }
    go_on_here(*guest, *excluded);
  }
  const auto took = SteadyClock::now() - start;
  guest->image_bytes = statistics.bytes;
  guest->image_us = static_cast<u64>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  guest->image_affordable = SteadyClock::now() + took * kShareOfTime;
  return reason;
}

void Visit::protect(const Guest& guest) {
  if (protection_of(guest).count() == 0) return;
  std::call_once(protecting_, [this] { std::thread([this] { protect_guests(); }).detach(); });
}

void Visit::protect_guests() {
  for (;;) {
    std::this_thread::sleep_for(kLook);
    std::vector<std::shared_ptr<Guest>> guests;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [pid, guest] : guests_) guests.push_back(guest);
    }
    for (const auto& guest : guests) {
      const std::chrono::seconds every = protection_of(*guest);
      const bool quiet = std::exchange(guest->effects_looked, guest->effects) == guest->effects;
      const auto now = SteadyClock::now();
      const bool due = now >= guest->image_due || (guest->past_image && quiet);
      if (every.count() == 0 || !due || now < guest->image_affordable) continue;
      const std::string reason = renew_image(guest);
      if (!reason.empty()) {
        guest->image_due = guest->image_affordable =
            SteadyClock::now() + std::min<SteadyClock::duration>(every, kRetry);
      }
      if (!reason.empty() && reason != guest->not_protected)
        fmt::print(stderr, "omig-host: {} has no new image at home: {}\n", guest->home_pid, reason);
      guest->not_protected = reason;
    }
  }
}

}  // namespace omig::host
