// SPDX-License-Identifier: Apache-2.0
// A process arrives. The other half of depart.cpp and of Visit::go_on; the order of steps is theirs:
//   1. check that it can live here, see which of its files this node has, make an empty cell, answer;
//   2. the image comes and is put in place, answer "ready";
//   3. the deputies' links come; registrations, filter; `running` to the leader, whose answer is the commit;
//   4. say so, throw away home's copy of the memory (it is ours now), run.
// Any failure until the commit: the links are closed, the deputies go on at home as if nothing had been.
#include "homed/host/arrive.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "homed/host/fault.h"
#include "homed/host/proc.h"
#include "homed/host/restore.h"
#include "homed/host/visit.h"
#include "homed/host/walls.h"
#include "lib/base/paths.h"
#include "lib/base/patience.h"
#include "lib/image/xsave.h"
#include "lib/wire/versions.h"

namespace omig::host {
namespace {

constexpr milliseconds kLinkTimeout{15'000};
constexpr milliseconds kOrphanTimeout{1'000};   // with the mover dead; diverted threads link within milliseconds
constexpr uid_t kGuestUidBase = 1'900'000'000;  // kernel uids of guests under a root homed: nobody's, one per host

i64 clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return t.tv_sec * 1'000'000'000ll + t.tv_nsec;
}

class Arriving {
 public:
  explicit Arriving(ArriveOptions options) : options_(std::move(options)) {}

  int run() {
    give_up_the_others();
    try {
      hear_request();
      check_request();
      prepare();
      receive();
      commit();
    } catch (const std::exception& error) {
      const std::string reason = guest_died() ? fmt::format(
                                                    "the guest was killed on {} while it arrived, probably for "
                                                    "lack of memory (see dmesg there)",
                                                    options_.node)
                                              : error.what();
      peer_.send({{"ok", false}, {"reason", reason}});
      fmt::print(stderr, "omig-host: arrival refused: {} ({})\n", reason, error.what());
      return 1;
    }
    peer_.end();
    visit_->take_write_tracker(restore_->take_write_tracker());
    if (image_.header.actions_known == 0) {  // it comes from home itself
      visit_->take_pending_from_home(image_.pending);
      visit_->keep_or_discard_home_memory(image_.pending.empty());
    }
    visit_->run();
    return 0;
  }

 private:
  // One that was just killed may need a moment to be gone.
  bool guest_died() const {
    if (!visit_) return false;
    const Fd guest(static_cast<int>(syscall(SYS_pidfd_open, visit_->cell().guest, 0)));
    pollfd end{guest.get(), POLLIN, 0};
    return !guest || poll(&end, 1, 100) == 1;
  }

  void hear_request() {
    std::string error;
    peer_ = Conversation::answer(std::move(options_.socket), options_.ticket, kPeerTimeout, &error);
    if (!peer_) throw std::runtime_error(error);
    const auto request = peer_.receive();
    if (!request || !request->is_object()) throw std::runtime_error("malformed move request");
    for (const char* what : {"pid", "home"})  // what homed has decided by
      if (request->value(what, nlohmann::json()) != options_.request.value(what, nlohmann::json()))
        throw std::runtime_error(fmt::format("the ticket was for another process ({})", what));
    options_.request = *request;
  }

  void check_request() {
    const nlohmann::json& r = options_.request;
    const std::string& node = options_.node;
    if (!wire::kSpoken.has(r.value("version", 0u))) throw std::runtime_error(wire::version_mismatch(node));
    const uid_t uid = r.value("uid", geteuid());
    if (geteuid() != 0 && uid != geteuid())
      throw std::runtime_error(fmt::format("{} serves only user {}: its homed does not run as root", node, geteuid()));
    const std::vector<std::string> ours = cpu_flags();
    for (const auto& flag : r.at("cpu_flags")) {
      if (!std::binary_search(ours.begin(), ours.end(), flag.get<std::string>())) {
        throw std::runtime_error(fmt::format("missing CPU feature {} on {}", flag.get<std::string>(), node));
      }
    }
    const auto layout = image::xsave_layout();
    for (const auto& [component, offset] : r.value("xsave", std::vector<std::pair<u32, u32>>{})) {
      const auto same = std::ranges::find(layout, component, &std::pair<u32, u32>::first);
      if (same != layout.end() && same->second != offset)
        throw std::runtime_error(fmt::format("the processor of {} lays out its registers differently", node));
    }
    if (r.value("vdso", "") != vdso_sha256())
      throw std::runtime_error(fmt::format("{} runs a different kernel (vdso)", node));
    if (r.value("boot_id", "") != read_file("/proc/sys/kernel/random/boot_id", 64)) {
      monotonic_offset_ = r.value("monotonic_ns", i64{0}) - clock_ns(CLOCK_MONOTONIC);
      boottime_offset_ = r.value("boottime_ns", i64{0}) - clock_ns(CLOCK_BOOTTIME);
    }
  }

  void prepare() {
    const auto plan = peer_.receive();
    if (!plan || !files_from_json(plan->value("files", nlohmann::json::array()), &image_.files)) {
      throw std::runtime_error("malformed move request");
    }
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    FileCatalogue catalogue(options_.state_dir);
    CellRequest request;
    std::vector<Fd> found = find_files(catalogue);
    for (size_t i = 0; i < found.size(); ++i) {
      const image::File& file = image_.files[i];
      Fd fd = std::move(found[i]);
      there_.push_back(fd.valid());
      // Its bytes are shipped; that it is this file is remembered for the way home.
      if (!fd) fd = empty_copy(file.size_bytes);
      struct stat st {};
      const bool known = fd.valid() && fstat(fd.get(), &st) == 0;
      file_ids_.push_back(known ? std::optional<FileId>({st.st_dev, st.st_ino}) : std::nullopt);
      request.files.push_back(fd.get());
      files_.push_back(std::move(fd));
    }
    VisitOptions visit;
    visit.state_dir = options_.state_dir;
    visit.node = options_.node;
    visit.address = options_.address;
    visit.moves = options_.request.value("moves", 0u) + 1;
    visit.version = options_.request.value("version", 0u);
    visit.home_uid = options_.request.value("uid", 0u);
    visit.job = options_.request.value("job", "");
    visit.home_name = options_.request.value("home", "");
    visit.monotonic_offset_ns = monotonic_offset_;
    visit.boottime_offset_ns = boottime_offset_;
    fill_random(visit.token.data(), visit.token.size());
    head_ = load_engine_head(find_binary("omig-engine"));
    request.pid = options_.request.at("pid").get<pid_t>();
    request.clock_offsets = clock_offsets();
    const std::string state_file = fmt::format("{}/hosts/{}.json", options_.state_dir, getpid());
    mkdir((options_.state_dir + "/hosts").c_str(), 0700);
    const Fd state(open(state_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    const auto cannot_write = [&] {
      return std::runtime_error(fmt::format("{} cannot write {}: {}", options_.node, state_file, strerror(errno)));
    };
    if (!state) throw cannot_write();
    drop_root();
    for (const Fd& group : options_.groups) request.groups.push_back(group.get());
    Cell cell;
    cell.create(request);
    options_.groups.clear();
    visit_ = std::make_unique<Visit>(visit, std::move(cell), head_);
    give_up_calls();
    restore_ = std::make_unique<Restore>(visit_->cell(), head_);
    restore_->prepare();
    restore_->make_ready(preparations_from_json(plan->value("prepare", nlohmann::json::array())));
    const std::string token = hex_encode(visit.token.data(), visit.token.size());
    const std::string address = Endpoint{options_.address, 0}.address_text();
    const nlohmann::json self = {{"port", visit_->door().port()},
                                 {"token", token},
                                 {"pid", getpid()},
                                 {"address", address},
                                 {"home_node", visit.home_name}};
    const std::string text = self.dump() + "\n";
    if (write(state.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw cannot_write();
    nlohmann::json files = nlohmann::json::array();
    for (const bool there : there_) files.push_back(there ? 1 : 0);
    const nlohmann::json ok = {{"ok", true},     {"address", address},    {"port", visit_->door().port()},
                               {"token", token}, {"node", options_.node}, {"files", files}};
    if (!peer_.send(ok)) throw std::runtime_error("the source broke off");
  }

  // This node's own copies, and what the source sends of those it has not got.
  std::vector<Fd> find_files(FileCatalogue& catalogue) {
    if (geteuid() == 0 && setgroups(0, nullptr) != 0)
      throw std::runtime_error(fmt::format("cannot drop root: {}", strerror(errno)));
    std::vector<Fd> found;
    nlohmann::json wanted = nlohmann::json::array();
    for (const image::File& file : image_.files) {
      found.push_back(catalogue.open_same(file, FileCatalogue::Reader::anybody));
      if (!found.back() && FileCatalogue::can_be_sent(file)) wanted.push_back(found.size() - 1);
    }
    if (wanted.empty()) return found;
    bool alive = peer_.send({{"ok", true}, {"send", wanted}});
    for (const auto& number : wanted) {
      const size_t i = number.get<size_t>();
      if (alive) found[i] = catalogue.receive(image_.files[i], peer_, &alive);
    }
    if (!alive) throw std::runtime_error("the source broke off");
    return found;
  }

  std::string clock_offsets() const {
    if (monotonic_offset_ == 0 && boottime_offset_ == 0) return "";
    const auto line = [](const char* name, i64 ns) {
      i64 seconds = ns / 1'000'000'000, rest = ns % 1'000'000'000;
      if (rest < 0) rest += 1'000'000'000, --seconds;
      return fmt::format("{} {} {}\n", name, seconds, rest);
    };
    return line("monotonic", monotonic_offset_) + line("boottime", boottime_offset_);
  }

  // A root homed's guests get a kernel uid that owns nothing (GUEST.md 7).
  static void drop_root() {
    if (geteuid() != 0) return;
    const uid_t id = kGuestUidBase + static_cast<uid_t>(getpid());
    if (setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0) {
      throw std::runtime_error(fmt::format("cannot drop root: {}", strerror(errno)));
    }
    prctl(PR_SET_DUMPABLE, 1);  // else the helper cannot write its own uid_map (GUEST.md 1.2)
  }

  FilePlace place_of(size_t i) {
    if (there_[i]) return FilePlace::there;
    if (image_.files[i].segment == image::File::Segment::no)
      return files_[i].valid() ? FilePlace::empty : FilePlace::none;
    if (!files_[i]) throw std::runtime_error("no memory for shared memory");
    segments_[static_cast<i32>(i)] = std::move(files_[i]);
    return FilePlace::segment;
  }

  void receive() {
    if (!restore_->receive_ahead(peer_) || !peer_.send({{"ok", true}}))
      throw std::runtime_error("the source broke off, or a page did not fit");
    if (!receive_image(peer_, &image_)) throw std::runtime_error("the source broke off");
    if (image_.header.pid != options_.request.at("pid").get<i32>()) throw std::runtime_error("malformed image");
    std::vector<FilePlace> places;
    for (size_t i = 0; i < files_.size(); ++i) places.push_back(place_of(i));
    restore_->place(image_, places);
    fault_point("arrive-placed");
    if (!restore_->receive_pages(peer_, image_, segments_))
      throw std::runtime_error("the source broke off, or a page did not fit");
    tids_ = restore_->make_threads(image_);
    fault_point("arrive-restored");
    if (!peer_.send({{"ok", true}})) throw std::runtime_error("the source broke off");
  }

  // The mover may be dead by now (its conversation ended): if that was before it diverted the threads, nobody will ever
  // link.
  std::optional<Arrival> wait_for_link(wire::Role role, i32 pid, i32 tid) {
    Patience patience(kLinkTimeout);
    std::optional<Arrival> link;
    bool mover_gone = false;
    patience.until([&](milliseconds slice) {
      link = visit_->door().wait(role, pid, tid, slice);
      pollfd conversation{peer_.fd(), POLLIN, 0};
      if (!mover_gone && poll(&conversation, 1, 0) > 0) {
        mover_gone = true;
        patience.shorten(kOrphanTimeout);
      }
      return link.has_value();
    });
    return link;
  }

  void commit() {
    const i32 pid = image_.header.pid;
    auto ear = wait_for_link(wire::Role::ear, pid, 0);
    if (!ear) throw std::runtime_error("its deputy did not link in");
    if ((ear->process.extended & image::kXsaveTiles) != 0)
      throw std::runtime_error("it has asked for AMX tiles (arch_prctl), and those are not carried");
    if (image_.header.actions_known == 0)
      memcpy(image_.header.actions, ear->process.actions, sizeof image_.header.actions);
    std::vector<Arrival> links;
    for (image::Thread& thread : image_.threads) {
      auto link = wait_for_link(wire::Role::thread, pid, thread.tid);
      if (!link) throw std::runtime_error("a deputy thread did not link in");
      if (image_.header.actions_known == 0) {
        thread.clear_child_tid = link->thread.clear_child_tid;
        thread.altstack_sp = link->thread.altstack_sp;
        thread.altstack_bytes = link->thread.altstack_bytes;
        thread.altstack_flags = link->thread.altstack_flags;
      }
      links.push_back(std::move(*link));
    }
    restore_->register_threads(image_, tids_);
    Fd listener = restore_->install_filter();
    restore_->load_registers(image_, tids_);
    fault_point("arrive-before-commit");
    wire::Running running;
    options_.node.copy(running.node, sizeof running.node - 1);
    wire::Reply reply;
    std::vector<u8> ignored;
    SealedLink& lead = links.front().link;
    // No time-out here: as soon as `running` is sent the deputy may commit, and then giving up would lose the program.
    // It answers or its link ends (keepalive sees to that if its node is gone); only these two tell what happened.
    if (!send_frame(lead, wire::Type::running, 1, &running, sizeof running) ||
        !receive_reply(lead, 1, &reply, &ignored) || reply.ret != 0) {
      throw std::runtime_error("its deputy did not confirm");
    }
    visit_->adopt(image_, tids_, std::move(listener), std::move(links), std::move(*ear), file_ids_,
                  std::move(segments_));
    peer_.send({{"ok", true}, {"committed", true}});
    fault_point("arrive-committed");
  }

  ArriveOptions options_;
  Conversation peer_;  // the source
  i64 monotonic_offset_ = 0, boottime_offset_ = 0;
  image::Image image_;
  EngineHead head_{};
  std::vector<Fd> files_;
  Segments segments_;
  std::vector<bool> there_;  // has the same content on this node
  std::vector<std::optional<FileId>> file_ids_;
  std::unique_ptr<Visit> visit_;
  std::unique_ptr<Restore> restore_;
  std::map<i32, pid_t> tids_;
};

}  // namespace

// The visit is never taken apart: threads of it may still wait in a link when the last guest is gone. The caller ends
// the process.
int arrive(ArriveOptions options) { return (new Arriving(std::move(options)))->run(); }

}  // namespace omig::host
