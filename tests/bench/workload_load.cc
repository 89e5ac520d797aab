// Calls any SPIFFE Workload API over its Unix socket, and prints what callers saw, one JSON object a line.
//
//   workload_load fetch SOCKET SECONDS CALLERS  a new connection, FetchX509SVID, its first message, again and again
//   workload_load jwt SOCKET SECONDS CALLERS    FetchJWTSVID for one audience, again and again on one connection each
//   workload_load jwt-new SOCKET SECONDS CALLERS   the same, each time for an audience that nobody has named before
//   workload_load validate SOCKET SECONDS CALLERS  the same with ValidateJWTSVID of one token
//   workload_load cold SOCKET COUNT             COUNT fetches, each after 1 to 2.4 quiet seconds
//   workload_load paced SOCKET SECONDS          fetches, at most 200 a second: an honest node does not do more
//   workload_load first SOCKET SECONDS          asks until a first message comes, for so long: when, and how many SVIDs
//   workload_load streams SOCKET COUNT          opens COUNT streams of X.509-SVIDs, holds them, and obeys lines on
//   workload_load x509-bundles SOCKET COUNT     standard input (the others: of bundles)
//   workload_load jwt-bundles SOCKET COUNT
//       mark              counts anew from here
//       report            what came since the mark
//       expect N SECONDS  waits until the newest message of each stream holds N SVIDs: when the first and the last had
//       it
//       expect another SECONDS   the same for a message that says something else than now
//
// Every message is read: one that holds no SVID, or an expired one, is a failure. Times are those of the monotonic
// clock.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/bench/held_streams.h"
#include "tests/bench/kept_calls.h"
#include "tests/bench/load_time.h"
#include "tests/bench/stream_client.h"
#include "tests/bench/tally.h"
#include "tests/bench/x509_message.h"

namespace lanyard::bench {
namespace {

constexpr double kPatience = 30;  // seconds for one fetch
constexpr Call kFetchX509Svid{"FetchX509SVID", ""};

struct Fetch {
  StreamClient client;
  double begun;
};

// Fetches, some at once, and how long each took.
class Fetches {
 public:
  explicit Fetches(std::string path) : path_(std::move(path)), poll_(epoll_create1(EPOLL_CLOEXEC)) {}

  void Run(double seconds, size_t callers) {
    const double begin = MonotonicSeconds(), end = begin + seconds;
    under_way_.resize(callers);
    for (size_t i = 0; i < callers; ++i) Begin(i);
    size_t left = callers;
    while (left > 0) {
      epoll_event events[64];
      const int count = epoll_wait(poll_.get(), events, std::size(events), static_cast<int>(1000 * kPatience));
      if (count <= 0) break;  // nobody is answered any more
      for (int i = 0; i < count; ++i) {
        const size_t which = events[i].data.u64;
        std::optional<Fetch>& fetch = under_way_[which];
        if (!fetch || !Continue(*fetch)) continue;
        fetch.reset();
        MonotonicSeconds() < end ? Begin(which) : static_cast<void>(--left);
      }
    }
    tally_.failed += left;
    tally_.seconds = MonotonicSeconds() - begin;
  }

  // Waits before each, so that the agent has gone quiet.
  void RunCold(size_t count) {
    std::mt19937 random(std::random_device{}());
    std::uniform_int_distribution<useconds_t> pause(1'000'000, 2'400'000);
    for (size_t i = 0; i < count; ++i) {
      usleep(pause(random));
      Run(0, 1);
    }
  }

  void RunPaced(double seconds) {
    constexpr double kPace = 0.005;
    const double begin = MonotonicSeconds();
    for (double next = begin; MonotonicSeconds() < begin + seconds; next += kPace) {
      if (const double wait = next - MonotonicSeconds(); wait > 0) usleep(static_cast<useconds_t>(1e6 * wait));
      Run(0, 1);
    }
  }

  Tally& tally() { return tally_; }

 private:
  void Begin(size_t which) {
    const double begun = MonotonicSeconds();
    auto client = StreamClient::Open(path_, kFetchX509Svid);
    if (!client.ok()) {
      fmt::print(stderr, "workload_load: {}\n", Message(client.status()));
      std::_Exit(1);
    }
    epoll_event event{.events = EPOLLIN, .data = {.u64 = which}};
    epoll_ctl(poll_.get(), EPOLL_CTL_ADD, client->fd(), &event);
    under_way_[which].emplace(Fetch{*std::move(client), begun});
  }

  // True when it is over.
  bool Continue(Fetch& fetch) {
    if (!fetch.client.Read()) {
      tally_.failed += fetch.client.over() ? 1 : 0;
      return fetch.client.over();
    }
    const double took = MonotonicSeconds() - fetch.begun;
    const auto message = ReadX509Message(fetch.client.message());
    if (message && static_cast<double>(message->expires_at) > WallSeconds()) {
      tally_.micros.push_back(1e6 * took);
      tally_.message_bytes = fetch.client.message().size();
    } else {
      ++tally_.failed;
    }
    return true;
  }

  std::string path_;
  UniqueFd poll_;
  std::vector<std::optional<Fetch>> under_way_;
  Tally tally_;
};

// What one connection gives: nothing when it ends without a message.
std::optional<X509Message> TryOnce(const std::string& path, double deadline, bool& connected) {
  auto client = StreamClient::Open(path, kFetchX509Svid);
  connected = client.ok();
  if (!connected) return std::nullopt;
  while (!client->over() && MonotonicSeconds() < deadline) {
    if (client->Read()) return ReadX509Message(client->message());
    usleep(200);
  }
  return std::nullopt;
}

int First(const std::string& path, double seconds) {
  const double deadline = MonotonicSeconds() + seconds;
  constexpr useconds_t kShortest = 1000, kLongest = 16'000;  // an agent that starts needs the processor more than we do
  for (useconds_t pause = kShortest; MonotonicSeconds() < deadline;) {
    bool connected = false;
    if (const auto message = TryOnce(path, deadline, connected)) {
      fmt::print("{{\"at\": {:.6f}, \"svids\": {}}}\n", MonotonicSeconds(), message->svids);
      return 0;
    }
    usleep(pause);
    if (connected) pause = std::min(2 * pause, kLongest);
  }
  fmt::print(stderr, "workload_load: no message came within {} s\n", seconds);
  return 1;
}

int Fail(const Status& why) {
  fmt::print(stderr, "workload_load: {}\n", Message(why));
  return 1;
}

int Streams(const std::string& path, size_t count, StreamKind kind) {
  auto held = HeldStreams::Open(path, count, kind);
  if (!held.ok()) return Fail(held.status());
  held->Run();
  return 0;
}

int Calls(const std::string& path, double seconds, size_t connections, KeptCall which) {
  auto calls = KeptCalls::Open(path, connections, which);
  if (!calls.ok()) return Fail(calls.status());
  calls->Run(seconds).Print();
  return 0;
}

// As many descriptors as there may be.
void RaiseLimit() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

constexpr std::pair<std::string_view, KeptCall> kKeptCalls[] = {
    {"jwt", KeptCall::kJwt}, {"jwt-new", KeptCall::kNewJwt}, {"validate", KeptCall::kValidate}};
constexpr std::pair<std::string_view, StreamKind> kStreams[] = {{"streams", StreamKind::kX509Svids},
                                                                {"x509-bundles", StreamKind::kX509Bundles},
                                                                {"jwt-bundles", StreamKind::kJwtBundles}};

int Main(const std::vector<std::string>& arguments) {
  const auto number = [&](size_t at) { return std::strtod(arguments[at].c_str(), nullptr); };
  const auto count = [&](size_t at) { return static_cast<size_t>(number(at)); };
  const std::string verb = arguments.empty() ? "" : arguments[0];
  RaiseLimit();
  if (arguments.size() == 3) {
    if (verb == "first") return First(arguments[1], number(2));
    for (const auto& [name, kind] : kStreams) {
      if (verb == name) return Streams(arguments[1], count(2), kind);
    }
  }
  if (arguments.size() == 4) {
    for (const auto& [name, which] : kKeptCalls) {
      if (verb == name) return Calls(arguments[1], number(2), count(3), which);
    }
  }
  if (arguments.size() == 4 && verb == "fetch") {
    Fetches fetches(arguments[1]);
    fetches.Run(number(2), count(3));
    fetches.tally().Print();
    return 0;
  }
  if (arguments.size() == 3 && (verb == "cold" || verb == "paced")) {
    Fetches fetches(arguments[1]);
    verb == "cold" ? fetches.RunCold(count(2)) : fetches.RunPaced(number(2));
    fetches.tally().Print();
    return 0;
  }
  fmt::print(stderr, "usage: workload_load VERB SOCKET NUMBER...; the verbs are in workload_load.cc\n");
  return 2;
}

}  // namespace
}  // namespace lanyard::bench

int main(int argc, char** argv) {
  return lanyard::bench::Main({argv + 1, argv + argc});
}
