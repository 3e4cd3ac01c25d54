// SPDX-License-Identifier: Apache-2.0
// `omctl top` without a terminal: what homed tells and the keys pressed become a picture, lines of ASCII.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace omig {

// How the cluster is looked at. Keys change it; nothing else does, but `picture` keeps `first` within bounds.
struct TopView {
  char metric = 'l';     // l load, m memory, r real memory, s speed and CPUs, u utilisation
  bool dead = false;     // nodes that are not up are shown
  bool count = false;    // how many are up is told in the last line
  bool vertical = true;  // a column per node; else a line per node
  bool help = false;
  bool processes = false;  // this node's processes instead of the bars (`top_processes`)
  size_t first = 0;        // the first node, or process, in the picture, of those shown
};

enum class TopKey { none, redraw, quit };

// What an ASCII key does to the view; arrows arrive as p and n. Any key ends help, and q quits from everywhere.
TopKey top_key(TopView& view, int key);

// `rows` lines of at most `columns` characters each (node names are cut, and what is not ASCII in them is '?').
// nodes: the list of {"op":"nodes"}. status: said in the last line, nothing if empty.
std::vector<std::string> top_picture(const nlohmann::json& nodes, TopView& view, size_t rows, size_t columns,
                                     const std::string& status);

// The same for view.processes. ps: the answer to {"op":"ps"}: a line per process of this node, then its guests.
std::vector<std::string> top_processes(const nlohmann::json& ps, TopView& view, size_t rows, size_t columns,
                                       const std::string& status);

}  // namespace omig
