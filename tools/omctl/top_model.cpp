// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/top_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "lib/base/types.h"

namespace omig {

namespace {

using Json = nlohmann::json;

constexpr size_t kColumn = 7;      // characters per node, standing
constexpr size_t kNameWidth = 14;  // of a line's name

struct Bar {
  std::string name, id;
  double used = 0, total = 0;  // total: where the plus signs end; 0 = none
  bool up = false;
};

std::string plain(std::string text) {
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

Bar bar_of(const Json& n, char metric) {
  Bar bar;
  bar.name = plain(n.value("name", ""));
  bar.id = fmt::format("{}", n.value("id", 0));
  bar.up = n.value("state", "") == "up";
  const auto megabytes = [&](const char* key) { return n.value(key, 0.0) / (1 << 20); };
  const double total = megabytes("total_bytes");
  if (!bar.up) return bar;
  if (metric == 'l') bar.used = n.value("told", 0.0);
  if (metric == 's') bar.used = n.value("speed", 0.0) * 10000 * n.value("cpus", 0.0);
  if (metric == 'u') bar.used = 100 * n.value("utilisation", 0.0);
  if (metric == 'm' || metric == 'r') {
    bar.used = std::max(0.0, total - megabytes(metric == 'm' ? "free_bytes" : "real_free_bytes"));
    bar.total = total;
  }
  return bar;
}

std::string title_of(char metric) {
  if (metric == 'm') return "memory used (#) of total (+), MB; what is free is there for programs";
  if (metric == 'r') return "real memory used (#) of total (+), MB; the page cache counts as used";
  if (metric == 's') return "speed times CPUs (10000 = one reference CPU)";
  if (metric == 'u') return "utilisation, % of the CPUs, in the last second";
  return "load (100 = one runnable thread per reference CPU)";
}

// The round number at the top of the scale: 1, 2 or 5 times a power of ten.
double scale_of(double most) {
  if (!(most > 1) || !std::isfinite(most)) return 1;
  const double power = std::pow(10, std::floor(std::log10(most)));
  for (const double step : {1.0, 2.0, 5.0})
    if (most <= step * power) return step * power;
  return 10 * power;
}

size_t cells(double value, double scale, size_t length) {
  return static_cast<size_t>(
      std::clamp(std::lround(value / scale * static_cast<double>(length)), 0L, static_cast<long>(length)));
}

const std::vector<std::string> kHelp{"l load   m memory   r real memory   s speed and CPUs   u utilisation",
                                     "d nodes that are down shown   D hidden   t count of nodes that are up",
                                     "left, right, up, down, p, n: scroll   v columns or lines",
                                     "c processes of this node, or bars   Enter redraws   h help   q quits"};

}  // namespace

TopKey top_key(TopView& view, int key) {
  if (key == 'q') return TopKey::quit;
  const bool was_help = std::exchange(view.help, false);
  switch (key) {
    case 'l':
    case 'm':
    case 'r':
    case 's':
    case 'u': view.metric = static_cast<char>(key); break;
    case 'd': view.dead = true; break;
    case 'D': view.dead = false; break;
    case 't': view.count = !view.count; break;
    case 'v': view.vertical = !view.vertical; break;
    case 'h': view.help = !was_help; break;
    case 'c':
      view.processes = !view.processes;
      view.first = 0;
      break;
    case 'n': ++view.first; break;
    case 'p': view.first -= view.first > 0 ? 1 : 0; break;
    case '\n':
    case '\r': return TopKey::redraw;
    default: break;
  }
  return TopKey::none;
}

std::vector<std::string> top_picture(const Json& nodes, TopView& view, size_t rows, size_t columns,
                                     const std::string& status) {
  std::vector<Bar> bars;
  size_t up = 0;
  for (const Json& n : nodes) {
    Bar bar = bar_of(n, view.metric);
    up += bar.up ? 1 : 0;
    if (bar.up || view.dead) bars.push_back(std::move(bar));
  }
  double most = view.metric == 'u' ? 100 : 1;
  for (const Bar& bar : bars) most = std::max({most, bar.used, bar.total});
  const double scale = scale_of(most);

  const size_t height = rows > 4 ? rows - 4 : 1;  // of the bars: without title, numbers, names, last line
  const size_t room = view.vertical ? std::max<size_t>(1, columns > 8 ? (columns - 8) / kColumn : 1)
                                    : std::max<size_t>(1, rows > 2 ? rows - 2 : 1);
  view.first = std::min(view.first, bars.size() > room ? bars.size() - room : 0);
  const size_t end = std::min(bars.size(), view.first + room);

  std::vector<std::string> lines;
  lines.push_back(title_of(view.metric));
  if (view.help) {
    lines.insert(lines.end(), kHelp.begin(), kHelp.end());
  } else if (view.vertical) {
    for (size_t row = height; row-- > 0;) {
      std::string line = row + 1 == height ? fmt::format("{:>7.0f} ", scale)
                         : row == 0        ? "      0 "
                                           : std::string(8, ' ');
      for (size_t i = view.first; i < end; ++i) {
        const size_t used = cells(bars[i].used, scale, height), total = cells(bars[i].total, scale, height);
        line += fmt::format("{:<{}}", row < used ? " ####" : row < total ? " ++++" : "", kColumn);
      }
      lines.push_back(line);
    }
    std::string figures(8, ' '), names(8, ' ');
    for (size_t i = view.first; i < end; ++i) {
      figures += fmt::format("{:<{}}", bars[i].up ? fmt::format(" {:.0f}", bars[i].used) : " DEAD", kColumn);
      names += fmt::format("{:<{}}", " " + bars[i].id.substr(0, kColumn - 2), kColumn);
    }
    lines.push_back(figures);
    lines.push_back(names);
  } else {
    const size_t length = columns > kNameWidth + 12 ? columns - kNameWidth - 12 : 1;
    for (size_t i = view.first; i < end; ++i) {
      const size_t used = cells(bars[i].used, scale, length), total = cells(bars[i].total, scale, length);
      lines.push_back(fmt::format("{:<{}} {:>9} {}{}", bars[i].name.substr(0, kNameWidth), kNameWidth,
                                  bars[i].up ? fmt::format("{:.0f}", bars[i].used) : "DEAD", std::string(used, '#'),
                                  std::string(total > used ? total - used : 0, '+')));
    }
  }
  lines.resize(rows > 0 ? rows : 1);
  std::string last = status;
  if (last.empty()) {
    last = bars.empty() ? "no nodes" : fmt::format("nodes {}-{} of {}", view.first + 1, end, bars.size());
    if (view.count) last += fmt::format(", {} up", up);
    last += "   h help, q quits";
  }
  lines.back() = last;
  for (std::string& line : lines) line.resize(std::min(line.size(), columns));
  return lines;
}

std::vector<std::string> top_processes(const Json& ps, TopView& view, size_t rows, size_t columns,
                                       const std::string& status) {
  std::vector<std::string> all;
  const auto line = [&](const Json& p, const std::string& where, const std::string& moves) {
    const u64 seconds = p.value("cpu_ms", u64{0}) / 1000;
    all.push_back(fmt::format("{:>7} {:<20} {:>5} {:>6} {:>6}:{:02} {}", p.value("pid", 0), plain(where).substr(0, 20),
                              moves, fmt::format("{:.2f}", p.value("demand", 0.0)), seconds / 60, seconds % 60,
                              plain(p.value("command", ""))));
  };
  if (ps.contains("processes"))
    for (const Json& p : ps["processes"]) line(p, p.value("node", ""), fmt::format("{}", p.value("moves", 0)));
  if (ps.contains("guests"))
    for (const Json& g : ps["guests"]) line(g, "guest of " + g.value("home", ""), "");

  const size_t room = rows > 2 ? rows - 2 : 1;
  view.first = std::min(view.first, all.size() > room ? all.size() - room : 0);
  const size_t end = std::min(all.size(), view.first + room);
  std::vector<std::string> lines{
      fmt::format("{:>7} {:<20} {:>5} {:>6} {:>9} {}", "PID", "WHERE", "MOVES", "LOAD", "CPU HERE", "COMMAND")};
  if (view.help) {
    lines.insert(lines.end(), kHelp.begin(), kHelp.end());
  } else {
    lines.insert(lines.end(), all.begin() + static_cast<std::ptrdiff_t>(view.first),
                 all.begin() + static_cast<std::ptrdiff_t>(end));
  }
  lines.resize(std::max<size_t>(1, rows));
  lines.back() = !status.empty() ? status
                 : all.empty()
                     ? "no processes   h help, c bars, q quits"
                     : fmt::format("processes {}-{} of {}   h help, c bars, q quits", view.first + 1, end, all.size());
  for (std::string& text : lines) text.resize(std::min(text.size(), columns));
  return lines;
}

}  // namespace omig
