// SPDX-License-Identifier: Apache-2.0
// openMosix' setpe: the same as omctl map and omctl set gateways, by its own letters.
#include <fmt/format.h>

#include <algorithm>

#include "tools/omctl/commands.h"
#include "tools/omctl/map.h"
#include "tools/omctl/settings.h"

namespace omig {

int setpe_main(const cli::Words& given) {
  CLI::App app{"the cluster's map, by openMosix' letters", "setpe"};
  bool load = false, load_anyway = false, check = false, read = false, off = false;
  std::string file, gateways;
  const auto one_of = [&](const char* name, bool& flag, const char* summary) { app.add_flag(name, flag, summary); };
  one_of("-w", load, "load the map, if nothing is away or here");
  one_of("-W", load_anyway, "load it; everything goes home first");
  one_of("-c", check, "look for mistakes in the map, and change nothing");
  one_of("-r", read, "read back the map that this node goes by");
  one_of("--off", off, "leave the cluster, if nothing is away or here (also -off; with -W everything goes home first)");
  const CLI::Option* with_g = app.add_option("-g", gateways, "how many gateways lie between nodes at most, 0 to 2")
                                  ->type_name("N")
                                  ->check(cli::whole_number(0, 2));
  app.add_option("-f,FILE", file, "the map; - is standard input")->type_name("FILE");
  cli::example(app, "  setpe -w -f /etc/openmosix.map\n  setpe -r\n  setpe -off");
  // "-off" would be read as -o and -f.
  cli::Words words = given;
  std::ranges::replace(words, std::string("-off"), std::string("--off"));
  if (const auto end = cli::parse(app, words)) return *end;
  const auto misuse = [](const char* text) {
    fmt::print(stderr, "setpe: {} (setpe --help)\n", text);
    return kUsageError;
  };
  const int orders = (off ? 1 : load + load_anyway) + check + read + (off && load ? 1 : 0);
  if (orders > 1) return misuse("one of -w, -W, -c, -r and -off at a time");
  if (orders == 0 && with_g->count() == 0) return misuse("needs one of -w, -W, -c, -r, -off and -g");
  if ((load || load_anyway || check) && !off && file.empty())
    return misuse("needs the map: -f FILE, or - for standard input");
  int status = 0;
  if (check) status = check_map(file, false);
  if (read) status = print_current_map(file, false);
  if (off)
    status = leave_cluster(load_anyway, false);
  else if (load || load_anyway)
    status = load_map(file, load_anyway, !load_anyway, false);
  if (status == 0 && with_g->count() > 0) status = change_setting("gateways", std::stoul(gateways));
  return status;
}

}  // namespace omig
