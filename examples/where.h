// SPDX-License-Identifier: Apache-2.0
// Where a process is, as omig says it. An example needs nothing else of omig, and runs without it.
#pragma once

#include <cstdio>
#include <string>

// What `omctl where PID` prints; "" if there is no omctl or it does not know the process.
inline std::string where_is(int pid) {
  std::string command = "omctl where " + std::to_string(pid) + " 2>/dev/null";
  std::string place;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return "";
  for (int c; (c = std::fgetc(pipe)) != EOF && c != '\n';) place += static_cast<char>(c);
  return pclose(pipe) == 0 ? place : "";
}
