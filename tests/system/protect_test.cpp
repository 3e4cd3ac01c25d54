// SPDX-License-Identifier: Apache-2.0
// Lost visits (omctl run --protect): the host of a program is killed, and the program goes on at home from its image
// and ends as natively, or ends as documented if somebody could tell.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/base/types.h"
#include "tests/system/compare.h"
#include "tests/system/wait.h"

namespace omig::test {

namespace {

// It says that it is at work by making a file, and ends when there is another. In between it may be lost at any time.
constexpr const char* kHead = R"(
import hashlib, os, sys, threading, time
state = b'start'
def work(n):
    global state
    for i in range(n): state = hashlib.sha256(state + b'%d' % i).digest()
def at_work_until_told():
    open('at-work', 'w').close()
    while not os.path.exists('go-on'): work(1000)
)";

class Protect : public testing::Test {
 protected:
  // Starts `body` on node 2, protected every `seconds`, up to so many MiB.
  void start(const std::string& body, int seconds, int most_mb = 0) {
    directory_ = fresh_directory("protect");
    std::ofstream(directory_ / "program.py") << kHead << body;
    std::ofstream(directory_ / "text") << "first line\nsecond line\nthird line\n";
    const Command command{
        .words = lab.on_node(1, {omctl_path(), "run", "--protect", std::to_string(seconds), "--protect-mb",
                                 std::to_string(most_mb), "--lock", "-n", "node2", "--", "python3", "program.py"}),
        .directory = directory_};
    run_directory_ = fresh_directory("run");
    program_ = std::make_unique<Child>(command, run_directory_);
  }
  bool is_at_work() {
    wait_until([&] { return program_->ended() || (fs::exists(directory_ / "at-work") && where() == "node2"); });
    if (program_->ended()) ADD_FAILURE() << program_->outcome().describe() << program_->outcome().err;
    return !program_->ended();
  }
  void kill_hosts() {
    for (const pid_t host : lab.hosts(2)) kill(host, SIGKILL);
  }
  Outcome told_to_go_on() {
    std::ofstream(directory_ / "go-on").close();
    EXPECT_TRUE(program_->wait_for_end(milliseconds(30'000))) << lab.logs();
    return program_->outcome();
  }
  std::string where() {
    std::string text = lab.omctl(1, {"where", std::to_string(program_->pid())}).out;
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
  bool comes_home() {
    return wait_until([&] { return where() == "node1"; });
  }
  // One that was begun after this.
  bool has_a_new_image() {
    const u32 before = images();
    // A twentieth of its time is for images: under a sanitizer one takes a second.
    return wait_until([&] { return images() >= before + 2; }, milliseconds(90'000));
  }
  // At work away, and at home again when its host was killed after an image of that.
  bool outlives_its_host() {
    if (!is_at_work() || !has_a_new_image()) return false;
    kill_hosts();
    return comes_home();
  }
  // It works and does nothing else any more, and its last image is of after all that it has done.
  bool is_as_in_its_image() {
    const auto calls = [&] { return told_by(2, "guests").value("calls", u64{0}); };
    const u64 before = calls();
    return wait_until([&] { return calls() > before + 10 && told_by(2, "guests").value("image_holds", false); });
  }
  u32 images() { return told_by(1, "processes").value("images", 0u); }
  u64 image_bytes() { return told_by(2, "guests").value("image_bytes", u64{0}); }  // of the last one
  nlohmann::json told_by(int node, const char* list) {
    const auto all = nlohmann::json::parse(lab.omctl(node, {"ps", "--json"}).out, nullptr, false);
    for (const auto& each : all.value(list, nlohmann::json::array()))
      if (each.value("pid", 0) == program_->pid()) return each;
    return nlohmann::json::object();
  }

  Lab lab{2};
  fs::path directory_, run_directory_;
  std::unique_ptr<Child> program_;
};

class WhatOnlyComputes : public Protect {
 protected:
  // Starts it at home, protected every so many `seconds`, and moves it to node 2 while it computes.
  void send_away(int seconds) {
    directory_ = fresh_directory("protect");
    const std::string body =
        "import hashlib\nopen('begun', 'w').close()\nh = b''\nfor i in range(6000000): h = hashlib.sha256(h + b'%d' % "
        "i).digest()\n"
        "print(h.hex())\n";
    const Command plain{.words = {"python3", "-c", body}, .directory = directory_};
    want_ = run(plain);
    fs::remove(directory_ / "begun");
    Command command = plain;
    command.words = lab.on_node(1, {"python3", "-c", body});
    command.environment.push_back({"OMIG_JOB", "free,protect=" + std::to_string(seconds)});
    program_ = std::make_unique<Child>(command, fresh_directory("run"));
    ASSERT_TRUE(wait_until([&] { return fs::exists(directory_ / "begun"); }));
    ASSERT_EQ(migrate(lab, program_->pid(), "node2"), "");
  }
  // It works all of it anew.
  void expect_it_goes_on() {
    ASSERT_TRUE(comes_home()) << lab.logs();
    const std::string id = std::to_string(program_->pid());
    EXPECT_NE(lab.omctl(1, {"why", id}).out.find("node2 is gone; it goes on from its image of"), std::string::npos);
    EXPECT_TRUE(program_->wait_for_end(milliseconds(60'000)));
    EXPECT_EQ(program_->outcome().describe(), want_.describe());
    EXPECT_EQ(program_->outcome().out, want_.out);
    EXPECT_EQ(program_->outcome().err, "");
  }

  Outcome want_;
};

TEST_F(WhatOnlyComputes, GoesOnFromItsDeparture) {
  send_away(3600);
  poll(nullptr, 0, 300);
  kill_hosts();
  expect_it_goes_on();
}

// Whatever the node was about to tell home when it was lost: what home has is whole.
TEST_F(WhatOnlyComputes, GoesOnThoughItsHostWasSendingAnImage) {
  lab.kill_homed(2);
  lab.restart_homed(2, "image-prepared");
  send_away(1);
  expect_it_goes_on();
}

TEST_F(WhatOnlyComputes, GoesOnThoughItsHostWasBringingItHome) {
  for (const char* point : {"home-captured", "home-prepared"}) {
    lab.kill_homed(2);
    lab.restart_homed(2, point);
    send_away(3600);
    EXPECT_FALSE(lab.omctl(1, {"migrate", std::to_string(program_->pid()), "home"}).succeeded()) << point;
    expect_it_goes_on();
  }
}

// What it wrote before the image is not written again, and what it computed since is computed again.
TEST_F(Protect, ItGoesOnFromTheLastImage) {
  start(
      "print('begins', flush=True)\nwork(100000)\nfirst = state\nat_work_until_told()\nprint('went on', first.hex())\n"
      "print(os.getpid() == int(open('/proc/self/stat').read().split()[0]))\n",
      1);
  ASSERT_TRUE(outlives_its_host()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_TRUE(got.succeeded()) << got.describe() << got.err << lab.logs();
  EXPECT_EQ(std::count(got.out.begin(), got.out.end(), '\n'), 3) << got.out;
  EXPECT_NE(got.out.find("begins\nwent on "), std::string::npos) << got.out;
}

// Positions of files are as they were at the image; files that it has opened since are closed.
TEST_F(Protect, FilesAreWhereTheyWere) {
  start(
      "text = open('text', 'rb', buffering=0)\ntext.read(6)\nbefore = os.listdir('/proc/self/fd')\n"
      "open('at-work', 'w').close()\nwhile not os.path.exists('read-on'): work(1000)\n"
      "rest = text.read(5)\nother = open('program.py').read()\n"
      "while not os.path.exists('go-on'): work(1000)\n"
      "print(rest, text.read(6), len(other) > 100, len(os.listdir('/proc/self/fd')) == len(before))\n",
      1);
  ASSERT_TRUE(is_at_work());
  ASSERT_TRUE(has_a_new_image()) << lab.logs();
  std::ofstream(directory_ / "read-on").close();
  poll(nullptr, 0, 300);
  kill_hosts();
  ASSERT_TRUE(comes_home()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_EQ(got.out, "b'line\\n' b'second' True True\n") << got.describe() << got.err << lab.logs();
}

TEST_F(Protect, ThreadsGoOnTogether) {
  start(
      "def thread(n):\n    s = b''\n    while not os.path.exists('go-on'): s = hashlib.sha256(s).digest()\n"
      "    results[n] = 1\nresults = [0] * 3\nthreads = [threading.Thread(target=thread, args=(n,)) for n in "
      "range(3)]\n"
      "for t in threads: t.start()\nat_work_until_told()\nfor t in threads: t.join()\nprint(results)\n",
      1);
  ASSERT_TRUE(outlives_its_host()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_TRUE(got.succeeded()) << got.describe() << got.err << lab.logs();
  EXPECT_EQ(got.out, "[1, 1, 1]\n");
}

TEST_F(Protect, WhatIsTooLargeForHomeHasNoImageThere) {
  start(
      "data = b'x' * (96 << 20)\nopen('at-work', 'w').close()\nwhile not os.path.exists('shrink'): work(1000)\n"
      "del data\nat_work_until_told()\nprint('went on')\n",
      1, 64);
  ASSERT_TRUE(is_at_work());
  EXPECT_TRUE(wait_until([&] { return lab.logs().find("more than the 64 MiB that home keeps") != std::string::npos; }));
  const u32 before = images();
  std::ofstream(directory_ / "shrink").close();
  ASSERT_TRUE(wait_until([&] { return images() >= before + 2; })) << lab.logs();
  kill_hosts();
  ASSERT_TRUE(comes_home()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_TRUE(got.succeeded()) << got.describe() << got.err << lab.logs();
  EXPECT_EQ(got.out, "went on\n");
}

// Anonymous memory in four areas, with a model of what must be in it: written, read into by the host, given back,
// mapped anew, moved, unmapped. The largest one stays as it is.
constexpr const char* kChangesMemory = R"(
import mmap, random
dice, page, first_words = random.Random(1), mmap.PAGESIZE, int.from_bytes(b'first li', 'little')
text = os.open('text', os.O_RDONLY)
def area(pages): return [mmap.mmap(-1, pages * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), {}]
def put(a, p, value):
    a[0][p * page:p * page + 8] = value.to_bytes(8, 'little')
    a[1][p] = value
def fill(a, first, count):
    for p in range(first, first + count): put(a, p, p + 1)
def read_into(a, p):
    with memoryview(a[0]) as whole, whole[p * page:p * page + 8] as part: os.preadv(text, [part], 0)
    a[1][p] = first_words
def change(n):
    i, what = dice.randrange(3), dice.randrange(60)
    a = areas[i]
    pages = len(a[0]) // page
    p = dice.randrange(pages)
    if what == 0:
        a[0].close()
        areas[i] = area(dice.randrange(1500, 3000))
        fill(areas[i], 0, 1200)
    elif what == 1:
        size = dice.randrange(1500, 3000)
        a[0].resize(size * page)
        a[1] = {q: v for q, v in a[1].items() if q < size}
        fill(a, size - 9, 9)
    elif what < 6:
        count = min(dice.randrange(1, 200), pages - p)
        a[0].madvise(mmap.MADV_DONTNEED, p * page, count * page)
        for q in range(p, p + count): a[1].pop(q, None)
    elif what < 9: read_into(a, p)
    else: put(a, p, n)
def wrong(a):
    return sum(int.from_bytes(a[0][p * page:p * page + 8], 'little') != a[1].get(p, 0)
               for p in range(len(a[0]) // page))
still, areas, n = area(16384), [area(2048) for _ in range(3)], 0
for a in areas + [still]: fill(a, 0, len(a[0]) // page)
open('at-work', 'w').close()
while not os.path.exists('go-on'):
    n += 1
    change(n)
    if n % 50 == 0: work(2000)
print(sum(wrong(a) for a in areas + [still]), n > 1000)
)";

// Of large memory only what was written travels again, and home has all that the program had.
TEST_F(Protect, ImagesAreOfWhatHasChanged) {
  start(kChangesMemory, 1);
  ASSERT_TRUE(is_at_work());
  for (int image = 0; image < 3; ++image) ASSERT_TRUE(has_a_new_image()) << lab.logs();
  const u64 bytes = image_bytes();
  EXPECT_GT(bytes, 0u);
  EXPECT_LT(bytes, 48u << 20) << "64 MiB of it have not changed";
  kill_hosts();
  ASSERT_TRUE(comes_home()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_EQ(got.out, "0 True\n") << got.describe() << got.err << lab.logs();
}

// A file that it maps while it is away is mapped in its images, and one that it has unmapped is not in its way when it
// is to leave again.
TEST_F(Protect, FilesMappedMeanwhileAreInTheImage) {
  start(
      "open('at-work', 'w').close()\nwhile not os.path.exists('map'): work(1000)\nimport mmap\n"
      "text = open('text', 'rb')\n"
      "def mapped(): return mmap.mmap(text.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)\n"
      "def maps(): return sum(line.endswith('/text\\n') for line in open('/proc/self/maps'))\n"
      "still, gone = mapped(), mapped()\ngone.close()\nopen('mapped', 'w').close()\nat_work_until_told()\n"
      "print(still[:10], maps())\n",
      1);
  ASSERT_TRUE(is_at_work());
  std::ofstream(directory_ / "map").close();
  ASSERT_TRUE(wait_until([&] { return fs::exists(directory_ / "mapped"); }));
  ASSERT_TRUE(is_as_in_its_image()) << lab.logs();
  kill_hosts();
  ASSERT_TRUE(comes_home()) << lab.logs();
  const std::string maps = read_file("/proc/" + std::to_string(program_->pid()) + "/maps");
  EXPECT_EQ(maps.find("/text\n"), maps.rfind("/text\n")) << maps;
  EXPECT_NE(maps.find("/text\n"), std::string::npos) << maps;
  ASSERT_EQ(migrate(lab, program_->pid(), "node2"), "");
  const Outcome got = told_to_go_on();
  EXPECT_EQ(got.out, "b'first line' 1\n") << got.describe() << got.err << lab.logs();
}

// Of its own files: what is staged is none of them, but the kernel does not know.
TEST_F(Protect, ALimitOfFilesIsNoObstacle) {
  start(
      "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\nat_work_until_told()\n"
      "print('went on', resource.getrlimit(resource.RLIMIT_FSIZE))\n",
      1);
  ASSERT_TRUE(outlives_its_host()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_EQ(got.out, "went on (4096, 4096)\n") << got.describe() << got.err << lab.logs();
}

// The interval is long: it is what was written that calls for an image.
TEST_F(Protect, AnImageFollowsWhatCannotBeDoneTwice) {
  start(
      "open('at-work', 'w').close()\nwhile not os.path.exists('write'): work(1000)\nprint('written', flush=True)\n"
      "at_work_until_told()\nprint('went on')\n",
      3600);
  ASSERT_TRUE(is_at_work());
  std::ofstream(directory_ / "write").close();
  ASSERT_TRUE(wait_until([&] { return read_file(run_directory_ / "stdout") == "written\n"; }));
  ASSERT_TRUE(is_as_in_its_image()) << lab.logs();
  EXPECT_GE(images(), 2u);
  kill_hosts();
  ASSERT_TRUE(comes_home()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_EQ(got.out, "written\nwent on\n") << got.describe() << got.err << lab.logs();
}

// It becomes too large for a new image: the last is of before it wrote, and to go on from there would write again.
TEST_F(Protect, WhatCannotBeDoneTwiceEndsIt) {
  start(
      "open('at-work', 'w').close()\nwhile not os.path.exists('write'): work(1000)\ndata = b'x' * (96 << 20)\n"
      "print('written', flush=True)\nat_work_until_told()\n",
      3600, 64);
  ASSERT_TRUE(is_at_work());
  std::ofstream(directory_ / "write").close();
  ASSERT_TRUE(wait_until([&] { return read_file(run_directory_ / "stdout") == "written\n"; }));
  kill_hosts();
  ASSERT_TRUE(program_->wait_for_end(milliseconds(30'000))) << lab.logs();
  const Outcome got = program_->outcome();
  EXPECT_TRUE(WIFSIGNALED(got.status) && WTERMSIG(got.status) == SIGKILL) << got.describe();
  EXPECT_EQ(got.out, "written\n");
  EXPECT_NE(got.err.find("node2"), std::string::npos) << got.err;
  EXPECT_NE(got.err.find("(status 137): since its last image it has done what must not be done twice\n"),
            std::string::npos)
      << got.err;
}

}  // namespace

}  // namespace omig::test
