// SPDX-License-Identifier: Apache-2.0
// What a node says of its CPUs, speed and memory, from planted files of /proc and /sys.
#include "homed/node.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "homed/guest_group.h"
#include "homed/speed.h"
#include "homed/utilisation.h"

namespace omig {
namespace {

namespace fs = std::filesystem;

class PlantedNode : public testing::Test {
 protected:
  PlantedNode() {
    char name[] = "/tmp/omig-node-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~PlantedNode() override { fs::remove_all(root_); }

  void plant(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void plant_v2(const std::string& group) {
    plant("/proc/self/mounts", "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n");
    plant("/proc/self/cgroup", "0::" + group + "\n");
  }
  std::string root_;
};

TEST_F(PlantedNode, AQuotaOfCgroupV2MakesFewerCpus) {
  plant_v2("/jobs/mine");
  plant("/sys/fs/cgroup/jobs/mine/cpu.max", "max 100000\n");
  plant("/sys/fs/cgroup/jobs/cpu.max", "150000 100000\n");  // an ancestor's counts
  EXPECT_DOUBLE_EQ(usable_cpus(root_), 1.5);
  plant("/sys/fs/cgroup/jobs/mine/cpu.max", "5000 10000\n");
  EXPECT_DOUBLE_EQ(usable_cpus(root_), 0.5);
}

TEST_F(PlantedNode, ACpusetMakesFewerCpus) {
  plant_v2("/a");
  plant("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  plant("/sys/fs/cgroup/a/cpuset.cpus.effective", "0-3,8,10-11\n");
  EXPECT_DOUBLE_EQ(usable_cpus(root_), 7);
  plant("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
  EXPECT_DOUBLE_EQ(usable_cpus(root_), 2);
}

TEST_F(PlantedNode, V1QuotasAndCpusetsCountAsWell) {
  plant("/proc/self/mounts",
        "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n");
  plant("/proc/self/cgroup", "4:cpu,cpuacct:/x\n3:cpuset:/y\n0::/\n");
  plant("/sys/fs/cgroup/cpuset/y/cpuset.effective_cpus", "0-1\n");
  EXPECT_DOUBLE_EQ(usable_cpus(root_), 2);
  plant("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "40000\n");
  plant("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(usable_cpus(root_), 0.4);
  plant("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
  EXPECT_DOUBLE_EQ(usable_cpus(root_), 2);
}

TEST_F(PlantedNode, NonsenseIsNoLimit) {
  plant_v2("/a");
  for (const char* text : {"", "max", "x y", "100", "0 0", "-5 100000"}) {
    plant("/sys/fs/cgroup/a/cpu.max", text);
    plant("/sys/fs/cgroup/a/cpuset.cpus.effective", "3-\n");
    EXPECT_DOUBLE_EQ(usable_cpus(root_), 1) << text;
  }
}

TEST_F(PlantedNode, UtilisationOfTheMachine) {
  plant("/proc/stat", "cpu  100 10 50 1000 20 5 5 7 3 0\ncpu0 1 1 1\n");
  Utilisation utilisation(root_);
  EXPECT_EQ(utilisation.sample(2, 10'000), 0);
  plant("/proc/stat", "cpu  150 20 80 1100 20 10 10 90 3 0\n");  // 100 ticks more: a second's worth
  EXPECT_DOUBLE_EQ(utilisation.sample(2, 11'000), 0.5);
  EXPECT_DOUBLE_EQ(utilisation.sample(2, 12'000), 0);
  plant("/proc/stat", "cpu  900 20 80 1100 20 10 10 90 3 0\n");
  EXPECT_DOUBLE_EQ(utilisation.sample(2, 13'000), 1);
}

TEST_F(PlantedNode, UtilisationOfAQuotasCgroup) {
  plant_v2("/jobs/mine");
  plant("/proc/stat", "cpu  0 0 0\n");
  plant("/sys/fs/cgroup/jobs/cpu.max", "50000 100000\n");
  plant("/sys/fs/cgroup/jobs/cpu.stat", "usage_usec 1000000\nuser_usec 1\n");
  Utilisation utilisation(root_);
  utilisation.sample(0.5, 10'000);
  plant("/sys/fs/cgroup/jobs/cpu.stat", "usage_usec 1250000\nuser_usec 1\n");
  EXPECT_DOUBLE_EQ(utilisation.sample(0.5, 11'000), 0.5);
}

TEST_F(PlantedNode, UtilisationByTheProcessesOfACgroupThatCountsNothing) {
  plant("/proc/self/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n");
  plant("/proc/self/cgroup", "4:cpu:/x\n");
  plant("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "40000\n");
  plant("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
  plant("/sys/fs/cgroup/cpu/x/cgroup.procs", "7\n8\n9\n");
  const auto process = [&](int pid, int ticks) {
    std::string stat = std::to_string(pid) + " (a b) R 1 7 7 0 -1 0 0 0 0 0 " + std::to_string(ticks) + " 0";
    for (int field = 16; field <= 52; ++field) stat += " 0";
    plant("/proc/" + std::to_string(pid) + "/stat", stat + "\n");
  };
  process(7, 500);
  process(8, 30);
  Utilisation utilisation(root_);
  utilisation.sample(0.4, 10'000);
  process(7, 510);
  process(8, 4);  // another process of the same number
  process(9, 6);  // a new one
  EXPECT_DOUBLE_EQ(utilisation.sample(0.4, 11'000), 0.5);
}

TEST_F(PlantedNode, ACgroupsMemoryIsTheNodesMemory) {
  plant_v2("/a");
  plant("/proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\nMemAvailable:   4194304 kB\n");
  plant("/proc/pressure/memory",
        "some avg10=2.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00 avg60=0 avg300=0 total=1\n");
  EXPECT_EQ(memory_now(root_).total_bytes, 8ull << 30);
  EXPECT_EQ(memory_now(root_).free_bytes, 4ull << 30);
  EXPECT_EQ(memory_now(root_).real_free_bytes, 1ull << 10);
  EXPECT_DOUBLE_EQ(memory_now(root_).stalled, 0.025);
  plant("/sys/fs/cgroup/a/memory.max", "1073741824\n");
  plant("/sys/fs/cgroup/a/memory.current", "805306368\n");
  EXPECT_EQ(memory_now(root_).total_bytes, 1ull << 30);
  EXPECT_EQ(memory_now(root_).free_bytes, 256ull << 20);
  // Page cache that nobody needs is not in anybody's way.
  plant("/sys/fs/cgroup/a/memory.stat", "anon 700\nactive_file 1\ninactive_file 104857600\n");
  plant("/sys/fs/cgroup/a/memory.pressure", "some avg10=40.00 avg60=0.00 avg300=0.00 total=1\n");
  EXPECT_EQ(memory_now(root_).free_bytes, 356ull << 20);
  EXPECT_DOUBLE_EQ(memory_now(root_).stalled, 0.4);
  plant("/sys/fs/cgroup/a/memory.max", "max\n");
  EXPECT_EQ(memory_now(root_).total_bytes, 8ull << 30);
}

TEST_F(PlantedNode, WithoutStallsTheKernelTellsWhatWasGivenUpTooEarly) {
  plant_v2("/a");
  plant("/proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\nMemAvailable:   4194304 kB\n");
  plant("/proc/vmstat", "nr_free_pages 5\nworkingset_refault_anon 30\nworkingset_refault_file 12\n");
  EXPECT_FALSE(memory_now(root_).has_psi);
  EXPECT_EQ(memory_now(root_).refaults, 42u);
  plant("/sys/fs/cgroup/a/memory.max", "1073741824\n");
  plant("/sys/fs/cgroup/a/memory.current", "805306368\n");
  plant("/sys/fs/cgroup/a/memory.stat", "anon 700\nworkingset_refault 7\n");
  EXPECT_EQ(memory_now(root_).refaults, 7u);
  plant("/proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n");
  EXPECT_TRUE(memory_now(root_).has_psi);
}

TEST_F(PlantedNode, AMeasurementHoldsForOneModelClockAndBoot) {
  plant("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t\t: 2596.150\n");
  plant("/proc/sys/kernel/random/boot_id", "one\n");
  const std::string key = speed_key(root_);
  EXPECT_EQ(key, "Some CPU, 2600 MHz, boot one");
  cache_speed(root_, key, 1.21);
  EXPECT_EQ(cached_speed(root_, key), 1.21);
  plant("/proc/sys/kernel/random/boot_id", "two\n");
  EXPECT_EQ(cached_speed(root_, speed_key(root_)), std::nullopt);
  plant("/proc/sys/kernel/random/boot_id", "one\n");
  plant("/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "1400000\n");
  EXPECT_EQ(cached_speed(root_, speed_key(root_)), std::nullopt);
  for (const char* text :
       {"", "{", "[]", R"({"key":1,"speed":1})", R"({"key":"k","speed":"1"})", R"({"key":"k","speed":-1})"}) {
    plant("/speed.json", text);
    EXPECT_EQ(cached_speed(root_, "k"), std::nullopt) << text;
  }
}

TEST(Speed, SlowerKernelsMakeASlowerCpu) {
  const KernelTimes here = time_kernels();
  ASSERT_GT(here.integer_s, 0);
  ASSERT_GT(here.float_s, 0);
  ASSERT_GT(here.memory_s, 0);
  const double speed = speed_of(here);
  EXPECT_NEAR(speed_of({here.integer_s * 2, here.float_s * 2, here.memory_s * 2}), speed / 2, speed * 0.05);
  EXPECT_LT(speed_of({here.integer_s, here.float_s, here.memory_s * 2}), speed);
}

// ---- the cgroups of visits (homed/guest_group.h)

class PlantedGroups : public PlantedNode {
 protected:
  PlantedGroups() : name_("/omig-guests-" + std::to_string(getpid())) { plant("/state/file", ""); }
  std::string text_of(const std::string& path) const {
    std::ostringstream text;
    text << std::ifstream(root_ + path).rdbuf();
    return text.str();
  }
  GuestGroups groups() const { return GuestGroups(root_ + "/state", root_); }
  const std::string name_;  // of the folder in which the visits' are
};

TEST_F(PlantedGroups, WithoutALimitThereIsNone) {
  plant("/proc/self/mounts", "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n");
  plant("/proc/self/cgroup", "4:memory:/x\n");
  plant("/sys/fs/cgroup/memory/x/cgroup.procs", "");
  std::string error;
  const auto room = groups().make({}, &error);
  ASSERT_TRUE(room) << error;
  EXPECT_TRUE(room->host.empty() && room->guests.empty());
  EXPECT_FALSE(fs::exists(root_ + "/sys/fs/cgroup/memory/x" + name_));
}

TEST_F(PlantedGroups, V1WaitsAtTheWall) {
  plant("/proc/self/mounts",
        "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n");
  plant("/proc/self/cgroup", "4:memory:/x\n5:cpu:/\n");
  plant("/sys/fs/cgroup/memory/x/cgroup.procs", "");
  plant("/sys/fs/cgroup/cpu/cgroup.procs", "");
  GuestGroups all = groups();
  EXPECT_EQ(all.why_not({1, 1}), "");
  std::string error;
  const auto room = all.make({192u << 20, 150}, &error);
  ASSERT_TRUE(room) << error;
  EXPECT_EQ(room->host.size(), 2u);
  EXPECT_EQ(room->guests.size(), 2u);
  const std::string visit = name_ + "/visit-1", memory = "/sys/fs/cgroup/memory/x" + visit + "/guests";
  EXPECT_EQ(text_of(memory + "/memory.limit_in_bytes"), std::to_string(192u << 20));
  EXPECT_EQ(text_of(memory + "/memory.oom_control"), "1");
  EXPECT_EQ(text_of(memory + "/memory.swappiness"), "0");
  EXPECT_EQ(text_of("/sys/fs/cgroup/cpu" + visit + "/cpu.cfs_quota_us"), "30000");  // of 20 ms
  EXPECT_NE(text_of("/state/guest-groups").find("/memory/x" + name_), std::string::npos);
  // Another homed, another limit: the guest says where it is.
  plant("/proc/77/cgroup", "4:memory:/x" + visit + "/guests\n5:cpu:" + visit + "/guests\n");
  EXPECT_TRUE(groups().hold(77, {0, 50}));
  EXPECT_EQ(text_of(memory + "/memory.limit_in_bytes"), "-1");
  EXPECT_EQ(text_of("/sys/fs/cgroup/cpu" + visit + "/cpu.cfs_quota_us"), "10000");
  EXPECT_FALSE(all.at_wall(77));
  plant(memory + "/memory.oom_control", "oom_kill_disable 1\nunder_oom 1\noom_kill 0\n");
  EXPECT_TRUE(all.at_wall(77));
  // A later homed of the same number keeps away from what is there.
  ASSERT_TRUE(groups().make({1u << 20, 0}, &error)) << error;
  EXPECT_EQ(text_of("/sys/fs/cgroup/memory/x" + name_ + "/visit-2/guests/memory.limit_in_bytes"), "1048576");
  plant("/proc/78/cgroup", "4:memory:/x\n5:cpu:/\n");
  EXPECT_FALSE(all.hold(78, {1, 1}));
  EXPECT_FALSE(all.at_wall(78));
}

TEST_F(PlantedGroups, V2GoesUpToWhoMayHaveChildrenButNeverPastALimit) {
  plant_v2("/jobs/mine");
  const std::string jobs = "/sys/fs/cgroup/jobs";
  plant(jobs + "/mine/cgroup.controllers", "cpu memory\n");
  fs::create_directories(root_ + jobs + "/mine/cgroup.subtree_control");  // the kernel refuses: processes are in it
  plant(jobs + "/cgroup.controllers", "cpu memory\n");
  plant(jobs + "/cgroup.subtree_control", "memory\n");
  GuestGroups all = groups();
  EXPECT_EQ(all.why_not({1, 0}), "");
  plant(jobs + "/mine/memory.max", "1000000\n");
  EXPECT_NE(all.why_not({1, 0}), "");
  plant(jobs + "/mine/memory.max", "max\n");
  plant(jobs + name_ + "/cgroup.subtree_control", "memory\n");
  std::string error;
  // In a planted folder no files of the kernel's appear by themselves: the visit's own cannot grant anything.
  EXPECT_FALSE(all.make({192u << 20, 0}, &error));
  EXPECT_NE(error.find("visit-1"), std::string::npos) << error;
  const std::string guests = jobs + name_ + "/visit-1/guests";
  plant(guests + "/memory.high", "201326592\n");
  plant("/proc/77/cgroup", "0::/jobs" + name_ + "/visit-1/guests\n");
  plant(guests + "/memory.current", "201326591\n");
  EXPECT_FALSE(all.at_wall(77));
  plant(guests + "/memory.current", "201326592\n");
  EXPECT_TRUE(all.at_wall(77));
  EXPECT_TRUE(all.hold(77, {256u << 20, 0}));
  EXPECT_EQ(text_of(guests + "/memory.high"), std::to_string(256u << 20));
  EXPECT_EQ(text_of(guests + "/memory.swap.max"), "0");
  EXPECT_FALSE(all.at_wall(77));
}

TEST_F(PlantedGroups, WhereThereAreNoneTheReasonIsSaid) {
  plant("/proc/self/mounts", "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
  plant("/proc/self/cgroup", "0::/\n");
  plant("/sys/fs/cgroup/unified/cgroup.controllers", "\n");
  EXPECT_EQ(groups().why_not({0, 30}),
            "homed can make no cgroup with the cpu controller in " + root_ + "/sys/fs/cgroup/unified");
  std::string error;
  const auto room = groups().make({1, 0}, &error);
  ASSERT_TRUE(room) << error;
  EXPECT_TRUE(room->guests.empty());
}

}  // namespace
}  // namespace omig
