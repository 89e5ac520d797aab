#include "tests/bench/held_streams.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include "tests/bench/load_time.h"
#include "tests/bench/token_messages.h"
#include "tests/bench/x509_message.h"

namespace lanyard::bench {
namespace {

constexpr uint64_t kCommands = ~0ULL;
constexpr size_t kAtOnce = 64;  // streams that wait for their first message while they are opened

std::string_view MethodOf(StreamKind kind) {
  switch (kind) {
    case StreamKind::kX509Svids:
      return "FetchX509SVID";
    case StreamKind::kX509Bundles:
      return "FetchX509Bundles";
    case StreamKind::kJwtBundles:
      return "FetchJWTBundles";
  }
  return "";  // the compiler knows that all are named
}

}  // namespace

Result<HeldStreams> HeldStreams::Open(const std::string& path, size_t count, StreamKind kind) {
  HeldStreams held(kind);
  held.poll_.reset(epoll_create1(EPOLL_CLOEXEC));
  held.streams_.reserve(count);
  const auto waiting = [&] {
    return static_cast<size_t>(std::count_if(held.streams_.begin(), held.streams_.end(),
                                             [](const Held& one) { return one.messages == 0 && !one.over; }));
  };
  const double begin = MonotonicSeconds();
  while (held.streams_.size() < count) {
    const size_t room = std::min(count - held.streams_.size(), kAtOnce - waiting());
    for (size_t i = 0; i < room; ++i) RETURN_IF_ERROR(held.Connect(path));
    while (waiting() == kAtOnce) held.Wait(-1);
  }
  while (waiting() > 0) held.Wait(-1);
  std::cout << fmt::format("{{\"streams\": {}, \"opened_s\": {:.6f}}}\n", count, MonotonicSeconds() - begin);
  std::cout.flush();
  return held;
}

Status HeldStreams::Connect(const std::string& path) {
  ASSIGN_OR_RETURN(StreamClient client, StreamClient::Open(path, {MethodOf(kind_), ""}));
  epoll_event event{.events = EPOLLIN, .data = {.u64 = streams_.size()}};
  if (epoll_ctl(poll_.get(), EPOLL_CTL_ADD, client.fd(), &event) != 0) return ErrnoStatus(errno, "watch a stream");
  streams_.push_back({.client = std::move(client)});
  return OkStatus();
}

void HeldStreams::Wait(int milliseconds) {
  epoll_event events[256];
  const int count = epoll_wait(poll_.get(), events, std::size(events), milliseconds);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u64 != kCommands) {
      TakeIn(streams_[events[i].data.u64]);
      continue;
    }
    char piece[4096];
    const ssize_t length = read(STDIN_FILENO, piece, sizeof piece);
    input_over_ = length <= 0;
    if (length > 0) input_.append(piece, static_cast<size_t>(length));
  }
}

void HeldStreams::TakeIn(Held& held) {
  while (held.client.Read()) {
    const double now = MonotonicSeconds();
    ++held.messages;
    held.bytes += held.client.message().size();
    held.last_message = now;
    if (!TakeMessage(held, now)) ++held.invalid;
  }
  if (held.client.over() && !std::exchange(held.over, true))
    epoll_ctl(poll_.get(), EPOLL_CTL_DEL, held.client.fd(), nullptr);
}

bool HeldStreams::TakeMessage(Held& held, double now) {
  uint64_t content = 0;
  if (kind_ == StreamKind::kX509Svids) {
    const double wall = WallSeconds();
    const auto message = ReadX509Message(held.client.message());
    if (!message || static_cast<double>(message->expires_at) <= wall) return false;
    if (held.expires_at != 0 && message->expires_at != held.expires_at) {
      held.least_left = std::min(held.least_left, static_cast<double>(held.expires_at) - wall);
    }
    held.expires_at = message->expires_at;
    held.parts = content = message->svids;
  } else {
    constexpr unsigned kOfX509 = 2, kOfJwt = 1;  // the field in each response
    const unsigned field = kind_ == StreamKind::kX509Bundles ? kOfX509 : kOfJwt;
    const auto message = ReadBundlesMessage(held.client.message(), field);
    if (!message) return false;
    held.parts = message->bundles;
    content = message->digest;
  }
  if (content != held.content) held.content_since = now;
  held.content = content;
  return true;
}

void HeldStreams::Run() {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kCommands}};
  epoll_ctl(poll_.get(), EPOLL_CTL_ADD, STDIN_FILENO, &event);
  while (!input_over_) {
    Wait(expected_ ? 20 : -1);
    for (size_t end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      Obey(input_.substr(0, end));
      input_.erase(0, end + 1);
    }
    CheckExpectation();
  }
}

void HeldStreams::Obey(const std::string& command) {
  std::istringstream words(command);
  std::string verb;
  words >> verb;
  if (verb == "mark") {
    Mark();
  } else if (verb == "report") {
    Report();
  } else if (verb == "expect") {
    std::string what;
    double seconds = 0;
    words >> what >> seconds;
    const bool another = what == "another";
    const uint64_t content = another ? streams_.front().content : std::strtoull(what.c_str(), nullptr, 10);
    expected_ = Expectation{.content = content, .another = another, .deadline = MonotonicSeconds() + seconds};
  } else {
    std::cerr << fmt::format("workload_load: unknown command \"{}\"\n", command);
  }
}

void HeldStreams::Mark() {
  for (Held& held : streams_) {
    held.messages = held.bytes = held.invalid = 0;
    held.least_left = 1e18;
  }
}

void HeldStreams::Report() const {
  const double wall = WallSeconds();
  uint64_t messages = 0, bytes = 0, invalid = 0, over = 0, least = ~0ULL, most = 0;
  size_t fewest = ~size_t{0};
  double least_left = 1e18, oldest = 1e18;
  for (const Held& held : streams_) {
    messages += held.messages;
    bytes += held.bytes;
    invalid += held.invalid;
    over += held.over ? 1 : 0;
    least = std::min(least, held.messages);
    most = std::max(most, held.messages);
    fewest = std::min(fewest, held.parts);
    least_left = std::min({least_left, held.least_left, static_cast<double>(held.expires_at) - wall});
    oldest = std::min(oldest, held.last_message);
  }
  std::cout << fmt::format(
      "{{\"streams\": {}, \"over\": {}, \"messages\": {}, \"least_messages\": {}, \"most_messages\": {}, \"bytes\": "
      "{}, "
      "\"invalid\": {}, \"fewest\": {}, \"least_left_s\": {:.3f}, \"longest_silence_s\": {:.3f}}}\n",
      streams_.size(), over, messages, least, most, bytes, invalid, fewest, least_left, MonotonicSeconds() - oldest);
  std::cout.flush();
}

void HeldStreams::CheckExpectation() {
  if (!expected_) return;
  double first = 1e18, last = 0;
  size_t there = 0;
  for (const Held& held : streams_) {
    if (!expected_->MetBy(held)) continue;
    ++there;
    first = std::min(first, held.content_since);
    last = std::max(last, held.content_since);
  }
  if (there < streams_.size() && MonotonicSeconds() < expected_->deadline) return;
  std::cout << fmt::format("{{\"streams\": {}, \"there\": {}, \"first\": {:.6f}, \"last\": {:.6f}}}\n", streams_.size(),
                           there, first, last);
  std::cout.flush();
  expected_.reset();
}

}  // namespace lanyard::bench
