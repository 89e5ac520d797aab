#include "tests/bench/kept_calls.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/load_time.h"
#include "tests/bench/message_fields.h"
#include "tests/bench/token_messages.h"

namespace lanyard::bench {
namespace {

constexpr int kPatienceMs = 30'000;  // for one answer
constexpr std::string_view kFetch = "FetchJWTSVID", kValidate = "ValidateJWTSVID";

// Waits for the end of the client's call, and returns its last message.
Result<std::string> Answer(StreamClient& client) {
  std::string message;
  const double deadline = MonotonicSeconds() + kPatienceMs / 1000.0;
  while (!client.over() && MonotonicSeconds() < deadline) {
    if (client.Read())
      message = client.message();
    else
      usleep(200);
  }
  if (message.empty()) return Error(StatusCode::kUnavailable, "a call was not answered");
  return message;
}

}  // namespace

Result<KeptCalls> KeptCalls::Open(const std::string& path, size_t connections, KeptCall which) {
  KeptCalls calls;
  calls.which_ = which;
  calls.method_ = which == KeptCall::kValidate ? kValidate : kFetch;
  // Nobody else has named it, not even an earlier run
  calls.audience_ = fmt::format("https://ledger.example.org/{:.9f}", WallSeconds());
  calls.poll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (which == KeptCall::kValidate) RETURN_IF_ERROR(calls.FetchToken(path));
  for (size_t i = 0; i < connections; ++i) RETURN_IF_ERROR(calls.Connect(path));
  return calls;
}

Status KeptCalls::FetchToken(const std::string& path) {
  const std::string request = FieldBytes(1, audience_);
  ASSIGN_OR_RETURN(StreamClient client, StreamClient::Open(path, {kFetch, request}));
  ASSIGN_OR_RETURN(const std::string message, Answer(client));
  const auto read = ReadJwtMessage(message);
  if (!read) return Error(StatusCode::kUnavailable, "the answer to {} holds no JWT-SVID", kFetch);
  token_ = read->first;
  return OkStatus();
}

Status KeptCalls::Connect(const std::string& path) {
  const std::string request = Request();
  ASSIGN_OR_RETURN(StreamClient client, StreamClient::Open(path, {method_, request}));
  ASSIGN_OR_RETURN(const std::string message, Answer(client));
  if (!IsAnswer(message)) return Error(StatusCode::kUnavailable, "the answer to {} is not what was asked for", method_);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kept_.size()}};
  if (epoll_ctl(poll_.get(), EPOLL_CTL_ADD, client.fd(), &event) != 0) return ErrnoStatus(errno, "watch a connection");
  kept_.push_back({.client = std::move(client)});
  return OkStatus();
}

std::string KeptCalls::Request() {
  if (which_ == KeptCall::kValidate) return FieldBytes(1, audience_) + FieldBytes(2, token_);
  if (which_ == KeptCall::kJwt) return FieldBytes(1, audience_);
  return FieldBytes(1, fmt::format("{}/{}", audience_, audiences_++));
}

bool KeptCalls::IsAnswer(std::string_view message) const {
  if (which_ == KeptCall::kValidate) return ReadValidation(message).has_value();
  const auto read = ReadJwtMessage(message);
  return read && static_cast<double>(read->expires_at) > WallSeconds();
}

void KeptCalls::Begin(Kept& kept) {
  const std::string request = Request();
  kept.answered = false;
  kept.begun = MonotonicSeconds();
  kept.client.Begin({method_, request});
}

bool KeptCalls::Continue(Kept& kept) {
  while (kept.client.Read()) kept.answered = IsAnswer(kept.client.message());
  return kept.client.over();
}

Tally KeptCalls::Run(double seconds) {
  Tally tally;
  const double begin = MonotonicSeconds(), end = begin + seconds;
  for (Kept& kept : kept_) Begin(kept);
  size_t left = kept_.size();
  while (left > 0) {
    epoll_event events[64];
    const int count = epoll_wait(poll_.get(), events, std::size(events), kPatienceMs);
    if (count <= 0) break;  // nobody is answered any more
    for (int i = 0; i < count; ++i) {
      Kept& kept = kept_[events[i].data.u64];
      if (!Continue(kept)) continue;
      const double now = MonotonicSeconds();
      if (kept.answered) {
        tally.micros.push_back(1e6 * (now - kept.begun));
        tally.message_bytes = kept.client.message().size();
      } else {
        ++tally.failed;
      }
      if (now < end && !kept.client.lost()) {
        Begin(kept);
      } else {
        epoll_ctl(poll_.get(), EPOLL_CTL_DEL, kept.client.fd(), nullptr);
        --left;
      }
    }
  }
  tally.failed += left;
  tally.seconds = MonotonicSeconds() - begin;
  return tally;
}

}  // namespace lanyard::bench
