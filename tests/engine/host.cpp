// SPDX-License-Identifier: Apache-2.0
#include "tests/engine/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <utility>

namespace omig::test {
namespace {

constexpr int kPatienceMs = 20'000;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

bool readable(int fd, int ms) {
  pollfd p{fd, POLLIN, 0};
  return poll(&p, 1, ms) == 1;
}

}  // namespace

CallSpec::CallSpec(long nr, std::vector<u64> args, u32 flags) {
  call.nr = static_cast<u32>(nr);
  call.flags = flags;
  std::copy(args.begin(), args.end(), call.args);
}

u32 CallSpec::input(const void* bytes, size_t count) {
  const u32 at = static_cast<u32>((in_.size() + 7) & ~size_t{7});
  in_.resize(at + count);
  memcpy(in_.data() + at, bytes, count);
  call.in_bytes = static_cast<u32>(in_.size());
  call.scratch_bytes = std::max(call.scratch_bytes, call.in_bytes);
  return at;
}

u32 CallSpec::room(u32 bytes, u32 unit, bool always, u32 length_at) {
  const u32 at = (call.scratch_bytes + 7) & ~7u;
  call.scratch_bytes = at + bytes;
  outs_.push_back({at, bytes, unit, always ? 1u : 0u, length_at});
  return at;
}

CallSpec& CallSpec::pointer(u32 argument, u32 scratch_offset) {
  relocs_.push_back({argument, scratch_offset});
  return *this;
}

CallSpec& CallSpec::pointer_at(u32 scratch_where, u32 scratch_offset) {
  relocs_.push_back({scratch_where | wire::kRelocScratch, scratch_offset});
  return *this;
}

std::vector<u8> CallSpec::body() const {
  wire::Call c = call;
  c.relocs = static_cast<u32>(relocs_.size());
  c.outs = static_cast<u32>(outs_.size());
  std::vector<u8> bytes;
  const auto add = [&bytes](const void* from, size_t count) {
    bytes.insert(bytes.end(), static_cast<const u8*>(from), static_cast<const u8*>(from) + count);
  };
  add(&c, sizeof c);
  add(relocs_.data(), relocs_.size() * sizeof(wire::Reloc));
  add(outs_.data(), outs_.size() * sizeof(wire::Out));
  add(in_.data(), in_.size());
  return bytes;
}

Link::Link(int number, const u8* token) {
  Fd fd(number);
  const int one = 1;
  setsockopt(number, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (!read_exactly(number, &hello, sizeof hello, milliseconds(kPatienceMs))) fail("no hello");
  if (hello.magic != wire::kMagic || hello.version != wire::kVersion) fail("not a hello");
  const bool is_thread = hello.role == wire::Role::thread && hello.extra_bytes == sizeof thread;
  const bool is_ear = hello.role == wire::Role::ear && hello.extra_bytes == sizeof process;
  if (!is_thread && !is_ear) fail("a hello of the wrong size");
  Token known;
  std::copy_n(token, known.size(), known.begin());
  std::vector<u8> first;
  sealed_ = SealedLink::answer(fd, known, hello, &first, milliseconds(kPatienceMs));
  if (!sealed_) fail("a wrong token");
  sealed_.persist();
  memcpy(is_thread ? static_cast<void*>(&thread) : &process, first.data(), first.size());
}

Link::~Link() { close(); }
Link::Link(Link&& other) noexcept = default;
Link& Link::operator=(Link&& other) noexcept = default;

void Link::close() { sealed_.reset(); }

void Link::read(void* bytes, size_t count) {
  u8* to = static_cast<u8*>(bytes);
  while (count > 0) {
    if (!sealed_.has_input() && !readable(fd(), kPatienceMs)) fail("the deputy does not answer");
    const size_t got = sealed_.receive_some(to, count);
    if (got == 0) fail("the deputy closed its link");
    to += got;
    count -= got;
  }
}

u64 Link::send(wire::Type type, const void* body, size_t bytes) {
  const wire::Frame frame{type, static_cast<u32>(bytes), ++seq_};
  std::vector<u8> message(reinterpret_cast<const u8*>(&frame), reinterpret_cast<const u8*>(&frame + 1));
  const u8* from = static_cast<const u8*>(body);
  message.insert(message.end(), from, from + bytes);
  if (!sealed_.send(message.data(), message.size())) fail("cannot send to the deputy");
  return seq_;
}

u64 Link::send_call(const CallSpec& spec) {
  const auto body = spec.body();
  return send(wire::Type::call, body.data(), body.size());
}

Result Link::reply(u64 seq) {
  wire::Frame frame;
  Result result;
  read(&frame, sizeof frame);
  while (frame.type == wire::Type::signal && hello.role == wire::Role::ear) {
    siginfo_t info;
    if (frame.bytes != sizeof info) fail("a signal of the wrong size");
    read(&info, sizeof info);
    collected.push_back(info);
    count_signal(frame);
    read(&frame, sizeof frame);
  }
  if (frame.type != wire::Type::reply || frame.seq != seq) fail("not the reply that was expected");
  read(&result.reply, sizeof result.reply);
  if (frame.bytes != sizeof result.reply + result.reply.out_bytes) fail("a reply of the wrong size");
  for (u32 left = result.reply.out_bytes; left > 0;) {
    u32 length = 0;
    read(&length, sizeof length);
    std::string out(length, 0);
    read(out.data(), length);
    if (left < 4 + length) fail("an out that is longer than its reply");
    left -= 4 + length;
    result.outs.push_back(std::move(out));
  }
  return result;
}

void Link::count_signal(const wire::Frame& frame) {
  if (frame.seq == 0 || (signals_sent != 0 && frame.seq != signals_sent + 1)) fail("signals are not counted");
  signals_sent = static_cast<u32>(frame.seq);
}

siginfo_t Link::signal() {
  wire::Frame frame;
  siginfo_t info;
  static_assert(sizeof info == 128);
  read(&frame, sizeof frame);
  if (frame.type != wire::Type::signal || frame.bytes != 128) fail("not a signal");
  read(&info, sizeof info);
  count_signal(frame);
  return info;
}

bool Link::at_end() {
  if (sealed_.has_input() || !readable(fd(), kPatienceMs)) return false;
  char byte;
  const ssize_t got = recv(fd(), &byte, 1, 0);
  return got == 0 || (got < 0 && errno == ECONNRESET);
}

bool Link::silent(int ms) { return !sealed_.has_input() && !readable(fd(), ms); }

Listener::Listener(u32 patience) : patience_s(patience) {
  static std::mt19937 random{std::random_device{}()};
  for (u8& byte : token_) byte = static_cast<u8>(random());
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), bytes) != 0 || listen(fd_, 64) != 0 ||
      getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &bytes) != 0)
    fail("cannot listen");
  port_ = ntohs(address.sin_port);
}

Listener::~Listener() { close(); }
void Listener::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Link Listener::accept() {
  if (!readable(fd_, kPatienceMs)) fail("nobody links");
  return Link(accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC), token_);
}

bool Listener::let_back(const std::vector<const Link*>& links, bool lose_answer, int ms) {
  if (!readable(fd_, ms)) return false;
  Fd fd(accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
  wire::Hello hello;
  Token known;
  std::copy_n(token_, known.size(), known.begin());
  std::vector<u8> first;
  if (!read_exactly(fd.get(), &hello, sizeof hello, milliseconds(kPatienceMs)) || hello.role != wire::Role::resume)
    return false;
  SealedLink word = SealedLink::answer(fd, known, hello, &first, milliseconds(kPatienceMs));
  wire::Resume resume;
  if (!word || first.size() != sizeof resume) return false;
  memcpy(&resume, first.data(), sizeof resume);
  const auto link = std::ranges::find_if(
      links, [&](const Link* each) { return memcmp(each->hello.nonce, resume.link, sizeof resume.link) == 0; });
  if (link == links.end()) return SealedLink::Trace().resume(std::move(word), resume);
  if (lose_answer) word.reset_connection();
  return (*link)->trace().resume(std::move(word), resume);
}

// Whoever comes back has said all it has to say: an end of ours is no reset. No descriptor: nobody came.
Fd Listener::knock(int ms) {
  if (!readable(fd_, ms)) return Fd();
  Fd fd(accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
  wire::Hello hello;
  u8 rest[sizeof(wire::RecordHead) + sizeof(wire::Resume) + wire::kTagBytes];
  if (!read_exactly(fd.get(), &hello, sizeof hello, milliseconds(kPatienceMs)) || hello.role != wire::Role::resume ||
      !read_exactly(fd.get(), rest, sizeof rest, milliseconds(kPatienceMs)))
    fd.reset();
  return fd;
}

bool Listener::turn_away(int ms) { return knock(ms).valid(); }

bool Listener::is_given_up(int ms) {
  const Fd fd = knock(ms);
  char byte;
  return fd && readable(fd.get(), ms) && recv(fd.get(), &byte, 1, 0) < 0 && errno == ECONNRESET;
}

bool Listener::quiet(int ms) const { return !readable(fd_, ms); }

Links accept_links(Listener& listener, size_t threads) {
  Links links;
  while (links.threads.size() < threads || !links.ear) {
    Link link = listener.accept();
    if (link.hello.role == wire::Role::ear)
      links.ear.emplace(std::move(link));
    else
      links.threads.push_back(std::move(link));
  }
  std::sort(links.threads.begin(), links.threads.end(),
            [](const Link& a, const Link& b) { return a.hello.slot < b.hello.slot; });
  return links;
}

Links depart(Subject& subject, Listener& listener, std::vector<ThreadState>* states, u32 leader_slot) {
  size_t threads = 0;
  {
    Frozen frozen(subject.pid());
    frozen.prepare(listener.port(), listener.token(), leader_slot, listener.patience_s);
    threads = frozen.threads().size();
    if (states != nullptr) *states = frozen.threads();
    frozen.divert();
  }
  return accept_links(listener, threads);
}

void commit(Links& links, const char* node, size_t leader) {
  wire::Running running;
  strncpy(running.node, node, sizeof running.node - 1);
  const u64 seq = links.threads[leader].send(wire::Type::running, running);
  if (links.threads[leader].reply(seq).ret() != 0) fail("the deputy does not commit");
}

wire::ResumeState resume_state_of(const ThreadState& t, const wire::ThreadExtra& extra, size_t threads) {
  wire::ResumeState resume;
  resume.fs_base = t.regs.fs_base, resume.gs_base = t.regs.gs_base;
  resume.clear_child_tid = extra.clear_child_tid;
  resume.robust_list = t.robust_list, resume.robust_bytes = t.robust_bytes;
  resume.rseq = t.rseq, resume.rseq_bytes = t.rseq_bytes, resume.rseq_signature = t.rseq_signature;
  resume.altstack_sp = extra.altstack_sp, resume.altstack_bytes = extra.altstack_bytes;
  resume.altstack_flags = extra.altstack_flags;
  resume.fpstate_offset = kFrameFpstateOffset;
  resume.threads = static_cast<u32>(threads);
  return resume;
}

std::vector<u8> body_of(wire::ResumeState resume, const ThreadState& t) {
  const auto frame = make_frame(t, 0);
  resume.frame_bytes = static_cast<u32>(frame.size());
  std::vector<u8> body(sizeof resume + frame.size());
  memcpy(body.data(), &resume, sizeof resume);
  memcpy(body.data() + sizeof resume, frame.data(), frame.size());
  return body;
}

void send_resume_state(Link& link, u64* seq, wire::ResumeState resume, const ThreadState& t) {
  const std::vector<u8> body = body_of(resume, t);
  *seq = link.send(wire::Type::resume_state, body.data(), body.size());
}

void come_home(Links& links, const std::vector<ThreadState>& states) {
  const u64 all = ~0ull;
  if (links.ear->reply(links.ear->send(wire::Type::exclude, all)).ret() != 0) fail("exclude");
  for (const siginfo_t& info : links.ear->collected) {
    CallSpec queue(SYS_rt_sigqueueinfo, {static_cast<u64>(links.leader().hello.pid), static_cast<u64>(info.si_signo)});
    queue.pointer(2, queue.input(&info, sizeof info));
    if (links.leader().call(queue).ret() != 0) fail("rt_sigqueueinfo");
  }
  std::vector<u64> seqs(states.size());
  for (size_t i = 0; i < states.size(); ++i)
    send_resume_state(links.threads[i], &seqs[i], resume_state_of(states[i], links.threads[i].thread, states.size()),
                      states[i]);
  for (size_t i = 0; i < states.size(); ++i)
    if (links.threads[i].reply(seqs[i]).ret() != 0) fail("resume_state");
  const wire::KernelSigaction abort_action = links.ear->process.actions[wire::kAbortSignal - 1];
  for (size_t i = 0; i < states.size(); ++i) seqs[i] = links.threads[i].send(wire::Type::go, abort_action);
  for (size_t i = 0; i < states.size(); ++i)
    if (links.threads[i].reply(seqs[i]).ret() != 0 || !links.threads[i].at_end()) fail("go");
}

}  // namespace omig::test
