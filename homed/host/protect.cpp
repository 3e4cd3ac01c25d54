// SPDX-License-Identifier: Apache-2.0
// Protection: home keeps an image of a guest, from which the program goes on there should this node be lost
// (preload/engine/restart.cpp). The first one is what home had when the program left. Each later one is the way home up
// to the last word, which is not said: the guest is frozen, home gets its memory, layout and registers, and hears that
// this is whole. Then the guest goes on here.
#include <fmt/format.h>

#include "homed/host/homecoming.h"
#include "homed/host/proc.h"
#include "homed/host/visit.h"
#include "lib/cluster/job.h"

namespace omig::host {
namespace {

constexpr std::chrono::seconds kRetry{10};
constexpr std::chrono::milliseconds kLook{500};
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

// What home has is all that it takes. False: the link broke.
bool Visit::declare_image(Guest& guest, const wire::KernelSigaction& abort_action) {
  GuestThread& lead = *guest.threads.at(guest.pid);
  const u64 seq = ++lead.seq;
  wire::Reply reply;
  std::vector<u8> ignored;
  guest.image_due = SteadyClock::now() + protection_of(guest);
  return send_frame(lead.link, wire::Type::image, seq, &abort_action, sizeof abort_action) &&
         receive_reply(lead.link, seq, &reply, &ignored);
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
    } else if (!guest->pins.empty() || !guest->segments.empty()) {
      reason = "it shares memory, or has mapped files while it was away";
    } else if (Homecoming(*this, *guest, image).prepare(&reason, &statistics, true)) {
      guest->home_vmas = image.vmas;
      if (!declare_image(*guest, image.header.actions[wire::kAbortSignal - 1])) reason = "the link to its home broke";
    }
    go_on_here(*guest, *excluded);
  }
  const auto took = SteadyClock::now() - start;
  guest->image_due = std::max(guest->image_due, SteadyClock::now() + took * kShareOfTime);
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
      if (every.count() == 0 || SteadyClock::now() < guest->image_due) continue;
      const std::string reason = renew_image(guest);
      guest->image_due =
          std::max(guest->image_due, SteadyClock::now() + std::min<SteadyClock::duration>(every, kRetry));
      if (!reason.empty() && reason != guest->not_protected)
        fmt::print(stderr, "omig-host: {} has no new image at home: {}\n", guest->home_pid, reason);
      guest->not_protected = reason;
    }
  }
}

}  // namespace omig::host
