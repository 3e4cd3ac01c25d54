// SPDX-License-Identifier: Apache-2.0
// The standard atmosphere from 0 to 47 km, computed by ten children: the job with which the openMosix thesis measured
// its cluster. Nothing in here knows of omig, except the question where a child is, which is only shown.
//
//   atmosphere STEP [DIRECTORY]
//
// Each child computes a tenth of the rows (height in m, temperature in K, pressure in Pa, density in kg/m3), STEP
// metres apart, appends row by row to a growing string (each append copies all of it, as Octave does: half the step
// costs four times as much) and writes one file. The parent waits for all of them, joins their files to
// DIRECTORY/atmosphere.txt and checks it. atmosphere.m writes the very same bytes.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "where.h"

namespace {

constexpr int kChildren = 10;
constexpr double kTop_m = 47000;
constexpr double kR = 287.05;   // J/(kg K)
constexpr double kG = 9.80665;  // m/s2

struct Air {
  double temperature_k = 0, pressure_pa = 0, density_kg_m3 = 0;
};

// Three layers: to 11 km colder with height, to 25 km of one temperature, above warmer again.
Air standard_atmosphere(double z_m) {
  const double p11 = 101325 * std::pow(216.5 / 288, kG / (kR * 0.0065));
  Air air;
  if (z_m <= 11000) {
    air.temperature_k = 288 - 0.0065 * z_m;
    air.pressure_pa = 101325 * std::pow(air.temperature_k / 288, kG / (kR * 0.0065));
  } else if (z_m <= 25000) {
    air.temperature_k = 216.5;
    air.pressure_pa = p11 * std::exp(-kG * (z_m - 11000) / (kR * 216.5));
  } else {
    const double p25 = p11 * std::exp(-kG * 14000 / (kR * 216.5));
    air.temperature_k = 216.5 + 0.003 * (z_m - 25000);
    air.pressure_pa = p25 * std::pow(air.temperature_k / 216.5, -kG / (kR * 0.003));
  }
  air.density_kg_m3 = air.pressure_pa / (kR * air.temperature_k);
  return air;
}

std::string slice_file(const std::string& directory, int child) {
  char name[32];
  std::snprintf(name, sizeof name, "/slice-%02d.txt", child);
  return directory + name;
}

int compute_slice(const std::string& directory, int child, long rows, double step_m) {
  std::string text;
  for (long row = child * rows / kChildren; row < (child + 1) * rows / kChildren; ++row) {
    double z_m = static_cast<double>(row) * step_m;
    Air air = standard_atmosphere(z_m);
    char line[96];
    std::snprintf(line, sizeof line, "%9.3f %8.3f %14.6f %12.9f\n", z_m, air.temperature_k, air.pressure_pa,
                  air.density_kg_m3);
    text = std::string(text) + line;  // a copy on purpose, see above
  }
  FILE* file = std::fopen(slice_file(directory, child).c_str(), "w");
  if (!file) return 3;
  bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && written ? 0 : 3;
}

// Waits for the children in the order in which they end; in between looks where the others are. How many ended badly.
int wait_for_all(const std::vector<pid_t>& pids, std::vector<std::set<std::string>>& places, int look_s) {
  int bad = 0;
  std::set<pid_t> running(pids.begin(), pids.end());
  auto next_look = std::chrono::steady_clock::now() + std::chrono::seconds(look_s);
  while (!running.empty()) {
    int status = 0;
    pid_t ended = waitpid(-1, &status, look_s ? WNOHANG : 0);
    if (ended < 0 && errno != EINTR) return bad + static_cast<int>(running.size());
    if (ended > 0 && running.erase(ended) && status != 0) {
      std::printf("child with pid %d ended badly, status %d\n", ended, status);
      ++bad;
    }
    if (ended != 0 || !look_s) continue;
    if (std::chrono::steady_clock::now() >= next_look) {
      for (size_t k = 0; k < pids.size(); ++k) {
        std::string place = running.contains(pids[k]) ? where_is(pids[k]) : "";
        if (!place.empty()) places[k].insert(place);
      }
      next_look = std::chrono::steady_clock::now() + std::chrono::seconds(look_s);
    }
    usleep(50'000);
  }
  return bad;
}

// The slices in their order, as one file.
bool join_slices(const std::string& directory, const std::string& result) {
  FILE* out = std::fopen(result.c_str(), "w");
  bool good = out != nullptr;
  for (int child = 0; good && child < kChildren; ++child) {
    FILE* in = std::fopen(slice_file(directory, child).c_str(), "r");
    good = in != nullptr;
    char buffer[65536];
    for (size_t got; good && (got = std::fread(buffer, 1, sizeof buffer, in)) > 0;)
      good = std::fwrite(buffer, 1, got, out) == got;
    if (in) std::fclose(in);
    unlink(slice_file(directory, child).c_str());
  }
  return out && std::fclose(out) == 0 && good;
}

// From the closed formulas, with a pocket calculator.
struct Known {
  double height_m, pressure_pa;
};
constexpr Known kKnown[] = {{0, 101325}, {11000, 22611.3}, {25000, 2482.5}};

// What must be true of the table, whoever computed it. Empty, or what is wrong.
std::string check_result(const std::string& result, long rows, double step_m) {
  FILE* in = std::fopen(result.c_str(), "r");
  if (!in) return "it cannot be read";
  std::string problem;
  double last_pressure = 1e9, z = 0, t = 0, p = 0, rho = 0;
  long row = 0;
  for (; problem.empty() && std::fscanf(in, "%lf %lf %lf %lf", &z, &t, &p, &rho) == 4; ++row) {
    if (std::fabs(z - static_cast<double>(row) * step_m) > 6e-4) problem = "a height is missing or out of order";
    if (p >= last_pressure) problem = "the pressure does not fall with the height";
    if (std::fabs(rho * t * kR / p - 1) > 1e-5) problem = "the density does not follow from pressure and temperature";
    for (const Known& known : kKnown)
      if (std::fabs(z - known.height_m) < step_m / 2 && std::fabs(p / known.pressure_pa - 1) > 1e-3 + step_m * 2e-4)
        problem = "wrong pressure";
    if (!problem.empty()) problem += " (row " + std::to_string(row) + ")";
    last_pressure = p;
  }
  bool whole = std::feof(in);
  std::fclose(in);
  if (problem.empty() && (row != rows || !whole))
    problem = std::to_string(row) + " rows instead of " + std::to_string(rows);
  return problem;
}

}  // namespace

int main(int argc, char** argv) {
  double step_m = argc > 1 ? std::atof(argv[1]) : 1;
  std::string directory = argc > 2 ? argv[2] : ".";
  if (!(step_m > 0 && step_m <= 1000)) {
    std::fprintf(stderr, "usage: atmosphere STEP [DIRECTORY]    (STEP in metres, up to 1000)\n");
    return 2;
  }
  const char* look = std::getenv("ATMOSPHERE_LOOK_S");  // how often to ask where the children are; 0: never
  auto started = std::chrono::steady_clock::now();
  long rows = static_cast<long>(std::floor(kTop_m / step_m));
  std::vector<pid_t> pids;
  for (int child = 0; child < kChildren; ++child) {
    pid_t pid = fork();
    if (pid == 0) _exit(compute_slice(directory, child, rows, step_m));
    if (pid < 0) {
      std::fprintf(stderr, "atmosphere: cannot fork: %s\n", std::strerror(errno));
      return 1;
    }
    pids.push_back(pid);
  }
  std::vector<std::set<std::string>> places(pids.size());
  if (wait_for_all(pids, places, look ? std::atoi(look) : 3) != 0) return 1;
  std::string result = directory + "/atmosphere.txt";
  if (!join_slices(directory, result)) {
    std::fprintf(stderr, "atmosphere: cannot write %s: %s\n", result.c_str(), std::strerror(errno));
    return 1;
  }
  for (size_t k = 0; k < pids.size(); ++k) {
    if (places[k].empty()) continue;
    std::printf("child %2zu (pid %d) was seen on:", k + 1, pids[k]);
    for (const std::string& place : places[k]) std::printf(" %s", place.c_str());
    std::printf("\n");
  }
  std::string problem = check_result(result, rows, step_m);
  if (!problem.empty()) {
    std::printf("%s is wrong: %s\n", result.c_str(), problem.c_str());
    return 1;
  }
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  std::printf("%s: %ld rows, checked; %.1f s\n", result.c_str(), rows, took.count());
}
