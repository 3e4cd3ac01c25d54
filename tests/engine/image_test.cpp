// SPDX-License-Identifier: Apache-2.0
// Images of a guest at its home: staged, whole from `image` on, and what the process goes on from when its host is
// lost.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filesystem>

#include "tests/engine/away.h"

namespace omig::test {
namespace {

namespace fs = std::filesystem;

// A program that spins until a flag in its memory is set, and then says what its registers and two pages have.
class Image : public testing::Test {
 protected:
  Image() {
    wait_until_it_spins(subject);
    links = depart(subject, listener, &states);
    commit(links);
    states[0].regs.r12 = 0xabcdef;
    states[0].regs.rbx = 0x77;
    for (size_t b = 0; b < 16; ++b) states[0].xstate[160 + 16 * 5 + b] ^= 0xff;  // xmm5
  }

  void stage(wire::Type type, const void* body, size_t bytes, u32 may_fail = 0) {
    std::vector<u8> whole(sizeof(wire::Staged) + sizeof(wire::Frame) + bytes);
    const wire::Staged staged{0, may_fail};
    const wire::Frame frame{type, static_cast<u32>(bytes), ++seq_};
    memcpy(whole.data(), &staged, sizeof staged);
    memcpy(whole.data() + sizeof staged, &frame, sizeof frame);
    memcpy(whole.data() + sizeof staged + sizeof frame, body, bytes);
    links.leader().send(wire::Type::stage, whole.data(), whole.size());
  }
  void stage_call(const CallSpec& spec, u32 may_fail = 0) {
    const std::vector<u8> body = spec.body();
    stage(wire::Type::call, body.data(), body.size(), may_fail);
  }
  void stage_write(u64 address, const std::string& bytes) {
    std::string body(reinterpret_cast<const char*>(&address), sizeof address);
    body += bytes;
    stage(wire::Type::write_memory, body.data(), body.size());
  }
  void stage_state() {
    const std::vector<u8> body = body_of(resume_state_of(states[0], links.leader().thread, 1), states[0]);
    stage(wire::Type::resume_state, body.data(), body.size());
  }
  // All that it takes to go on, with so many bytes of `what`.
  void stage_image(char what, size_t bytes = 8192) {
    stage_write(subject.address("flag"), std::string("\1\0\0\0\0\0\0\0", 8));
    stage_write(subject.address("page"), std::string(bytes, what));
    stage_write(subject.address("page"), "\x11");
    stage_state();
  }
  long declare() {
    const wire::KernelSigaction action = links.ear->process.actions[wire::kAbortSignal - 1];
    return links.leader().reply(links.leader().send(wire::Type::image, action)).ret();
  }
  u8 first_of_page() {
    u8 byte = 0;
    read_memory(subject.pid(), subject.address("page"), &byte, 1);
    return byte;
  }
  void lose_host() {
    listener.close();
    links.leader().close();
    links.ear->close();
  }
  void expect_goes_on(const char* pages) {
    EXPECT_EQ(subject.line(), "changed: rbx=77 r12=abcdef ymm5");
    EXPECT_EQ(subject.line(), pages);
    EXPECT_EQ(read_anchor(subject.pid()).where, Where::home);
    EXPECT_EQ(descriptors(subject.pid()), descriptors_);
    subject.say("");
    EXPECT_EQ(subject.wait_status(), 0);
  }
  void expect_killed() {
    const int status = subject.wait_status();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  }

  Subject subject{{"spin"}};
  const std::vector<int> descriptors_ = descriptors(subject.pid());
  Listener listener;
  std::vector<ThreadState> states;
  Links links;

 private:
  u64 seq_ = 5000;
};

TEST_F(Image, IsWhatItGoesOnFrom) {
  stage_image('\x5a');
  EXPECT_EQ(first_of_page(), 0) << "not before all of it is there";
  EXPECT_EQ(declare(), 0);
  EXPECT_EQ(first_of_page(), 0x11);
  EXPECT_EQ(read_anchor(subject.pid()).images, 1u);
  lose_host();
  expect_goes_on("page 11 5a");
}

// The point of it all.
TEST_F(Image, OfWhichOnlyAPartHasComeLeavesTheOlderOne) {
  stage_image('\x5a');
  ASSERT_EQ(declare(), 0);
  stage_image('\x33');
  lose_host();
  expect_goes_on("page 11 5a");
}

TEST_F(Image, ThatIsDroppedWasNever) {
  stage_image('\x5a');
  ASSERT_EQ(declare(), 0);
  stage_image('\x33');
  links.leader().send(wire::Type::stage);
  EXPECT_EQ(declare(), 0) << "nothing is staged: what is there is whole";
  lose_host();
  expect_goes_on("page 11 5a");
}

TEST_F(Image, TheNextOneTakesItsPlace) {
  for (const char what : {'\x5a', '\x33'}) {
    stage_image(what);
    ASSERT_EQ(declare(), 0);
    EXPECT_EQ(links.leader().call(CallSpec(SYS_getppid, {}, wire::kCallHarmless)).ret(), getpid());
  }
  EXPECT_EQ(read_anchor(subject.pid()).images, 2u);
  lose_host();
  expect_goes_on("page 11 33");
}

TEST_F(Image, CallsMapWhatTheGuestHasMapped) {
  constexpr u64 kFresh = 0x10'0000'0000, kBytes = 32 << 20;
  stage_call(CallSpec(
      SYS_mmap, {kFresh, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0}));
  std::string large(20 << 20, 0);
  for (size_t k = 0; k < large.size(); ++k) large[k] = static_cast<char>(k * 31 >> 3);
  stage_write(kFresh + 100, large);
  stage_image('\x5a');
  ASSERT_EQ(declare(), 0);
  lose_host();
  EXPECT_EQ(subject.line(), "changed: rbx=77 r12=abcdef ymm5");
  std::string back(large.size(), 0);
  read_memory(subject.pid(), kFresh + 100, back.data(), back.size());
  EXPECT_TRUE(back == large);
}

TEST_F(Image, ACallThatFailsSpoilsItUnlessItMay) {
  const CallSpec wrong(SYS_munmap, {1, 1});
  stage_call(wrong, 1);
  stage_image('\x5a');
  EXPECT_EQ(declare(), 0);
  stage_call(wrong);
  stage_image('\x33');
  EXPECT_EQ(declare(), -EINVAL);
  EXPECT_EQ(links.leader().number(SYS_getppid), getpid()) << "it serves on";
  lose_host();
  expect_killed();
}

TEST_F(Image, ABadAddressSpoilsIt) {
  stage_image('\x5a');
  stage_write(0xffff'8000'0000'0000, "nowhere");
  EXPECT_EQ(declare(), -EFAULT);
  stage_image('\x33');
  EXPECT_EQ(declare(), 0);
  lose_host();
  expect_goes_on("page 11 33");
}

// The limit is the program's, for its own files. Beyond the hard one there is no new image, and the older one stays.
TEST_F(Image, LimitsOfFiles) {
  constexpr rlim_t kSoft = 4096, kHard = 1 << 20;
  const rlimit limit{kSoft, kHard};
  ASSERT_EQ(prlimit(subject.pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  stage_image('\x5a');
  EXPECT_EQ(declare(), 0);
  stage_call(CallSpec(SYS_getppid));
  stage_write(subject.address("page"), std::string(2 * kHard, 'x'));
  EXPECT_EQ(declare(), -EFBIG);
  rlimit after{};
  ASSERT_EQ(prlimit(subject.pid(), RLIMIT_FSIZE, nullptr, &after), 0);
  EXPECT_EQ(after.rlim_cur, kSoft);
  lose_host();
  expect_goes_on("page 11 5a");
}

// A child has none, and nothing of its parent's.
TEST_F(Image, AChildHasNoStage) {
  stage_image('\x5a');
  const u64 seq = links.leader().send(wire::Type::fork, wire::Fork{SIGCHLD});
  const Links child = accept_links(listener, 1);
  const long pid = links.leader().reply(seq).ret();
  ASSERT_GT(pid, 0);
  for (const int fd : descriptors(static_cast<pid_t>(pid))) {
    const fs::path link = fs::path("/proc") / std::to_string(pid) / "fd" / std::to_string(fd);
    EXPECT_EQ(fs::read_symlink(link).string().find("omig-image"), std::string::npos) << link;
  }
  EXPECT_EQ(declare(), 0);
  kill(static_cast<pid_t>(pid), SIGKILL);
}

}  // namespace
}  // namespace omig::test
