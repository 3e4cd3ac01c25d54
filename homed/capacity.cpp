// SPDX-License-Identifier: Apache-2.0
#include "homed/capacity.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <climits>

#include "homed/node.h"
#include "homed/speed.h"
#include "homed/utilisation.h"

namespace omig {

namespace {

constexpr milliseconds kLookEvery{2'000};
constexpr milliseconds kMeasureWithin{120'000};  // at the lowest priority on a busy node it waits

std::vector<std::string> measuring_command() {
  char self[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof(self));
  return {length > 0 ? std::string(self, static_cast<size_t>(length)) : "homed", "--print-speed"};
}

awaitable<void> measure(Daemon& d, std::string key) {
  std::string error;
  const std::vector<std::string> command = measuring_command();
  const auto text = co_await d.children.output_of(command, {}, kMeasureWithin, &error);
  double speed = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), speed);
  if (speed <= 0) {
    log("speed not measured ({}): taken to be {:.2f}", text ? "no figure" : error, d.config.speed);
    co_return;
  }
  cache_speed(d.config.state_dir, key, speed);
  if (d.config.speed_given) co_return;
  log("speed {:.2f} (measured: {})", speed, key);
  d.config.speed = speed;
}

}  // namespace

int print_speed() {
  setpriority(PRIO_PROCESS, 0, 19);
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);  // with or without a huge page a walk through memory differs by much
  fmt::print("{:.4f}\n", speed_of(time_kernels()));
  return 0;
}

awaitable<void> keep_capacity(Daemon& d) {
  asio::steady_timer timer(d.io);
  std::string key;
  for (;;) {
    if (!d.config.cpus_given) d.config.cpus = usable_cpus();
    const std::string now = speed_key();
    if (!d.config.speed_given && now != key) {
      const auto known = cached_speed(d.config.state_dir, now);
      if (known) d.config.speed = *known;
      if (!known) co_await measure(d, now);
      key = now;
    }
    co_await net::pause(timer, kLookEvery);
  }
}

awaitable<void> keep_utilisation(Daemon& d) {
  asio::steady_timer timer(d.io);
  Utilisation utilisation;
  for (;;) {
    d.utilisation = utilisation.sample(d.config.cpus, now_ms());
    co_await net::pause(timer, milliseconds(1'000));
  }
}

}  // namespace omig
