// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/table.h"

#include <algorithm>
#include <array>

#include "tools/omctl/commands.h"
#include "tools/omctl/completion.h"
#include "tools/omctl/help.h"
#include "tools/omctl/log.h"
#include "tools/omctl/map.h"
#include "tools/omctl/omdiscd.h"
#include "tools/omctl/run.h"
#include "tools/omctl/settings.h"
#include "tools/omctl/sim.h"
#include "tools/omctl/top.h"
#ifdef OMIG_HAVE_LAB
#include "tools/omctl/lab.h"
#endif

namespace omig {

namespace {

constexpr auto kCommands = std::to_array<Entry>({
    {"run", run_main},     {"migrate", migrate_main}, {"ps", ps_main},
    {"where", where_main}, {"why", why_main},         {"nodes", nodes_main},
    {"set", set_main},     {"bring", bring_main},     {"expel", expel_main},
    {"top", top_main},     {"log", log_main},         {"map", map_main},
    {"join", join_main},   {"leave", leave_main},     {"cluster", cluster_main},
    {"allow", allow_main}, {"doctor", doctor_main},
#ifdef OMIG_HAVE_LAB
    {"lab", lab_main},
#endif
    {"sim", sim_main},     {"help", help_main},       {"completion", completion_main},
});

constexpr auto kOtherNames = std::to_array<Entry>({
    {"migrate", migrate_main},
    {"mosctl", mosctl_main},
    {"mosmon", top_main},
    {"omdiscd", omdiscd_main},
    {"setpe", setpe_main},
    {"showmap", showmap_main},
    {"mosrun", mosrun_main},
    {"cpujob", cpujob_main},
    {"iojob", iojob_main},
    {"nomig", nomig_main},
    {"runhome", runhome_main},
    {"nunhome", nunhome_main},
    {"runon", runon_main},
    {"omrunon", omrunon_main},
    {"omsh", omsh_main},
    {"fastdecay", fastdecay_main},
    {"slowdecay", slowdecay_main},
    {"nodecay", nodecay_main},
});

}  // namespace

std::span<const Entry> commands() { return kCommands; }
std::span<const Entry> other_names() { return kOtherNames; }

const Entry* entry_named(std::span<const Entry> entries, std::string_view name) {
  const auto found = std::ranges::find(entries, name, &Entry::name);
  return found == entries.end() ? nullptr : &*found;
}

nlohmann::json describe_omctl() {
  nlohmann::json all{{"name", "omctl"}, {"summary", "moves running programs between nodes"}};
  for (const Entry& command : commands()) all["commands"].push_back(cli::description_of(command.main));
  for (const Entry& name : other_names()) {
    all["other_names"].push_back(cli::description_of(name.main));
    all["other_names"].back()["name"] = name.name;
  }
  return all;
}

}  // namespace omig
