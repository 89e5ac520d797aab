#include "tests/bench/held_streams.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <sstream>

#include "tests/bench/load_time.h"
#include "tests/bench/x509_message.h"

namespace lanyard::bench {
namespace {

constexpr uint64_t kCommands = ~0ULL;
constexpr size_t kAtOnce = 64;  // streams that wait for their first message while they are opened

}  // namespace

Result<HeldStreams> HeldStreams::Open(const std::string& path, size_t count) {
  HeldStreams held;
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
  ASSIGN_OR_RETURN(StreamClient client, StreamClient::Open(path));
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
    const double now = MonotonicSeconds(), wall = WallSeconds();
    ++held.messages;
    held.bytes += held.client.message().size();
    held.last_message = now;
    const auto message = ReadX509Message(held.client.message());
    if (!message || static_cast<double>(message->expires_at) <= wall) {
      ++held.invalid;
      continue;
    }
    if (held.expires_at != 0 && message->expires_at != held.expires_at) {
      held.least_left = std::min(held.least_left, static_cast<double>(held.expires_at) - wall);
    }
    held.expires_at = message->expires_at;
    if (message->svids != held.svids) held.svids_since = now;
    held.svids = message->svids;
  }
  if (held.client.over() && !std::exchange(held.over, true))
    epoll_ctl(poll_.get(), EPOLL_CTL_DEL, held.client.fd(), nullptr);
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
    double seconds = 0;
    expected_.emplace();
    words >> expected_->svids >> seconds;
    expected_->deadline = MonotonicSeconds() + seconds;
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
  size_t fewest_svids = ~size_t{0};
  double least_left = 1e18, oldest = 1e18;
  for (const Held& held : streams_) {
    messages += held.messages;
    bytes += held.bytes;
    invalid += held.invalid;
    over += held.over ? 1 : 0;
    least = std::min(least, held.messages);
    most = std::max(most, held.messages);
    fewest_svids = std::min(fewest_svids, held.svids);
    least_left = std::min({least_left, held.least_left, static_cast<double>(held.expires_at) - wall});
    oldest = std::min(oldest, held.last_message);
  }
  std::cout << fmt::format(
      "{{\"streams\": {}, \"over\": {}, \"messages\": {}, \"least_messages\": {}, \"most_messages\": {}, \"bytes\": "
      "{}, "
      "\"invalid\": {}, \"fewest_svids\": {}, \"least_left_s\": {:.3f}, \"longest_silence_s\": {:.3f}}}\n",
      streams_.size(), over, messages, least, most, bytes, invalid, fewest_svids, least_left,
      MonotonicSeconds() - oldest);
  std::cout.flush();
}

void HeldStreams::CheckExpectation() {
  if (!expected_) return;
  double first = 1e18, last = 0;
  size_t there = 0;
  for (const Held& held : streams_) {
    if (held.svids != expected_->svids) continue;
    ++there;
    first = std::min(first, held.svids_since);
    last = std::max(last, held.svids_since);
  }
  if (there < streams_.size() && MonotonicSeconds() < expected_->deadline) return;
  std::cout << fmt::format("{{\"streams\": {}, \"there\": {}, \"first\": {:.6f}, \"last\": {:.6f}}}\n", streams_.size(),
                           there, first, last);
  std::cout.flush();
  expected_.reset();
}

}  // namespace lanyard::bench
