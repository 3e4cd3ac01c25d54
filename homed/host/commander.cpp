// SPDX-License-Identifier: Apache-2.0
// Orders from a homed, as framed JSON on a link that knew the token (docs/CONTRACTS.md).
#include <fmt/format.h>
#include <signal.h>

#include "homed/host/proc.h"
#include "homed/host/visit.h"

namespace omig::host {

void Visit::commander(SealedLink link, std::string first_order) {
  const auto read = [&](void* data, size_t bytes) { return link.receive(data, bytes); };
  std::optional<nlohmann::json> order = nlohmann::json::parse(first_order, nullptr, false);
  for (; order && order->is_object(); order = message_from(read, wire::kMaxRecord)) {
    // Counted until it is answered: the order may be what sends the last guest away, and the host must not end before
    // whoever gave it has heard so.
    struct Counted {
      explicit Counted(std::atomic<int>& orders) : orders(orders) { ++orders; }
      ~Counted() { --orders; }
      std::atomic<int>& orders;
    } counted(orders_);
    nlohmann::json reply;
    try {
      reply = obey(*order);
    } catch (const nlohmann::json::exception& error) {
      reply = {{"ok", false}, {"reason", fmt::format("malformed order: {}", error.what())}};
    }
    const std::string frame = frame_json(reply);
    if (frame.empty() || !link.send(frame.data(), frame.size())) return;
  }
}

nlohmann::json Visit::obey(const nlohmann::json& order) {
  const std::string what = order.value("op", "");
  if (what == "list") {
    nlohmann::json guests = nlohmann::json::array();
    const std::lock_guard lock(mutex_);
    for (const auto& [pid, guest] : guests_) {
      const auto since = std::chrono::duration_cast<milliseconds>(SteadyClock::now() - guest->since).count();
      guests.push_back({{"pid", pid},
                        {"guest_pid", guest->pid},
                        {"home_node", options_.home_name},
                        {"moves", options_.moves},
                        {"threads", guest->threads.size()},
                        {"cpu_ms", cpu_ms(guest->pid)},
                        {"all_cpu_ms", guest->cpu.shown(process_cpu(guest->pid)).total_ns() / 1'000'000},
                        {"rss_bytes", rss_bytes(guest->pid)},
                        {"state", std::string(1, task_state(guest->pid))},
                        {"calls", guest->calls.load()},
                        {"command", guest->command},
                        {"uid", guest->home_uid},
                        {"job", guest->job},
                        {"image_bytes", guest->image_bytes.load()},
                        {"image_us", guest->image_us.load()},
                        {"image_holds", !guest->past_image},
                        {"since_ms", since}});
    }
    return {{"ok", true}, {"guests", guests}};
  }
  const auto guest = find_guest(order.value("pid", 0));
  if (!guest) return {{"ok", false}, {"reason", fmt::format("no guest {} here", order.value("pid", 0))}};
  if (what == "home") return go_home(guest).to_json();
  if (what == "migrate") {
    const auto to = Endpoint::parse(order.value("to", ""));
    const auto ticket = Ticket::from_json(order.value("ticket", nlohmann::json()));
    if (!to || !ticket) return {{"ok", false}, {"reason", "migrate: no address, or no ticket"}};
    return go_on(guest, {*to, order.value("node", ""), *ticket}).to_json();
  }
  if (what == "stop" || what == "continue") {
    follow_home(*guest, what == "stop");
    return {{"ok", true}};
  }
  if (what == "job") {
    {
      const std::lock_guard lock(mutex_);
      guest->job = order.value("job", "");
    }
    protect(*guest);
    return {{"ok", true}};
  }
  if (what == "directed") {
    fetch_directed(*guest, order.value("tid", 0), order.value("mask", u64{0}));
    return {{"ok", true}};
  }
  if (what == "scheduling") {
    for (const nlohmann::json& t : order.value("threads", nlohmann::json::array()))
      schedule(*guest, t.value("tid", 0), {t.value("nice", 0), t.value("policy", 0)});
    return {{"ok", true}};
  }
  return {{"ok", false}, {"reason", fmt::format("unknown order {}", what)}};
}

}  // namespace omig::host
