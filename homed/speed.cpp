// SPDX-License-Identifier: Apache-2.0
#include "homed/speed.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "homed/proc.h"

namespace omig {

namespace {

// What the kernels took on the reference: a virtual machine on a 2.6 GHz AMD EPYC (2026-11-26, g++ 12 -O2).
constexpr KernelTimes kReference{.integer_s = 488e-6, .float_s = 244e-6, .memory_s = 430e-6};

// Other tenants of a shared machine can only make a run slower: the best counts. What they do changes within seconds,
// so the runs are spread over one.
constexpr int kRounds = 16;
constexpr int kRuns = 3;
constexpr timespec kBetweenRounds{0, 60'000'000};
constexpr size_t kWalkBytes = 2 << 20;
constexpr int kWalkSteps = 30'000;

double thread_cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class Kernel>
double best_of_runs(Kernel kernel) {
  double best_s = INFINITY;
  for (int run = 0; run < kRuns; ++run) {
    const double begin_s = thread_cpu_s();
    kernel(run);
    best_s = std::min(best_s, thread_cpu_s() - begin_s);
  }
  return best_s;
}

// The results must look used, or the loops are not there.
void integer_kernel(int run) {
  u64 x = 88172645463325252u + static_cast<u64>(run);
  for (int i = 0; i < 300'000; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  asm volatile("" : : "r"(x));
}

void float_kernel(int run) {
  double y = 1.0 + run * 1e-6;
  for (int i = 0; i < 150'000; ++i) y = y * 1.0000001 + 1e-9;
  asm volatile("" : : "x"(y));
}

// One cycle through all cache lines in an order that no prefetcher follows.
std::vector<u32> random_cycle() {
  constexpr size_t kLine = 64 / sizeof(u32);
  const size_t lines = kWalkBytes / 64;
  std::vector<u32> order(lines);
  std::iota(order.begin(), order.end(), 0u);
  u64 x = 0x9e3779b97f4a7c15u;
  for (size_t i = lines - 1; i > 0; --i) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    std::swap(order[i], order[(x >> 33) % (i + 1)]);
  }
  std::vector<u32> next(lines * kLine);
  for (size_t i = 0; i < lines; ++i) next[order[i] * kLine] = static_cast<u32>(order[(i + 1) % lines] * kLine);
  return next;
}

}  // namespace

KernelTimes time_kernels() {
  KernelTimes best{INFINITY, INFINITY, INFINITY};
  const std::vector<u32> next = random_cycle();
  u32 at = 0;
  const auto memory_kernel = [&](int) {
    for (int i = 0; i < kWalkSteps; ++i) at = next[at];
    asm volatile("" : : "r"(at));
  };
  for (int round = 0; round < kRounds; ++round) {
    if (round > 0) nanosleep(&kBetweenRounds, nullptr);
    best.integer_s = std::min(best.integer_s, best_of_runs(integer_kernel));
    best.float_s = std::min(best.float_s, best_of_runs(float_kernel));
    best.memory_s = std::min(best.memory_s, best_of_runs(memory_kernel));
  }
  return best;
}

double speed_of(const KernelTimes& t) {
  const auto ratio = [](double reference_s, double s) { return std::log(reference_s / std::max(s, 1e-7)); };
  const double mean = (ratio(kReference.integer_s, t.integer_s) + ratio(kReference.float_s, t.float_s) +
                       ratio(kReference.memory_s, t.memory_s)) /
                      3;
  const double step = std::log(1.1);
  return std::clamp(std::exp(std::round(mean / step) * step), 0.01, 100.0);
}

std::string speed_key(const std::string& root) {
  const std::string info = read_text_file(root + "/proc/cpuinfo").value_or("");
  const auto field = [&](std::string_view name) {
    const size_t at = info.find("\n" + std::string(name));
    if (at == std::string::npos) return std::string();
    const size_t end = std::min(info.find('\n', at + 1), info.size());
    const size_t colon = info.find(": ", at);
    return colon < end ? info.substr(colon + 2, end - colon - 2) : std::string();
  };
  std::string clock = read_text_file(root + "/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq").value_or("");
  if (clock.empty()) {
    double mhz = 0;
    const std::string text = field("cpu MHz");
    std::from_chars(text.data(), text.data() + text.size(), mhz);
    clock = fmt::format("{:.0f}00 MHz", mhz / 100);
  }
  while (!clock.empty() && clock.back() == '\n') clock.pop_back();
  std::string boot = read_text_file(root + "/proc/sys/kernel/random/boot_id").value_or("");
  while (!boot.empty() && boot.back() == '\n') boot.pop_back();
  return fmt::format("{}, {}, boot {}", field("model name"), clock, boot);
}

std::optional<double> cached_speed(const std::string& state_dir, const std::string& key) {
  const auto json =
      nlohmann::json::parse(read_text_file(state_dir + "/speed.json", 1 << 16).value_or(""), nullptr, false);
  if (!json.is_object() || !json.contains("key") || json["key"] != key || !json.contains("speed") ||
      !json["speed"].is_number())
    return std::nullopt;
  const double speed = json["speed"].get<double>();
  return speed >= 0.01 && speed <= 100 ? std::optional(speed) : std::nullopt;
}

// A full disk only means that the next homed measures again.
void cache_speed(const std::string& state_dir, const std::string& key, double speed) {
  const nlohmann::json json{{"key", key}, {"speed", speed}};
  std::ofstream(state_dir + "/speed.json")
      << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

}  // namespace omig
