#include "attestors/blocking_jobs.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <list>
#include <unordered_map>

namespace lanyard {
namespace {

constexpr BlockingJobs::Owner kFirstContainer = BlockingJobs::Owner{1} << 33;

}  // namespace

struct BlockingJobs::Job {
  Owner owner;
  EventLoop::Task work;
  EventLoop::Task done;  // empty: nobody waits any more
};

struct BlockingJobs::State {
  struct Lane {
    std::list<std::shared_ptr<Job>> waiting;
    int running = 0;
  };

  // What owners of one kind may have together.
  struct Share {
    const int limit;
    int running = 0;
  };

  State(EventLoop& event_loop, BlockingLimits given)
      : loop(event_loop), limits(given), of_uids{given.of_uids}, of_containers{given.of_containers} {}

  EventLoop& loop;
  const BlockingLimits limits;
  std::unordered_map<Owner, Lane> lanes;
  std::deque<Owner> turns;  // owners with waiting jobs, each once
  int running = 0;
  Share of_uids, of_containers;

  // Null for who shares with nobody.
  Share* ShareOf(Owner owner) {
    if (owner < kUserDatabase) return &of_uids;
    return owner >= kFirstContainer ? &of_containers : nullptr;
  }

  bool HasPlace(Owner owner, const Lane& lane) {
    const Share* share = ShareOf(owner);
    return lane.running < limits.per_owner && (share == nullptr || share->running < share->limit);
  }

  static void Add(const std::shared_ptr<State>& state, std::shared_ptr<Job> job) {
    const Owner owner = job->owner;
    Lane& lane = state->lanes[owner];
    if (lane.waiting.empty()) state->turns.push_back(owner);
    lane.waiting.push_back(std::move(job));
    StartJobs(state);
  }

  static void StartJobs(const std::shared_ptr<State>& state) {
    for (size_t looks = state->turns.size(); looks > 0 && !state->turns.empty() && state->running < state->limits.total;
         --looks) {
      const Owner owner = state->turns.front();
      state->turns.pop_front();
      Lane& lane = state->lanes[owner];
      if (state->HasPlace(owner, lane)) {
        std::shared_ptr<Job> job = std::move(lane.waiting.front());
        lane.waiting.pop_front();
        ++lane.running;
        ++state->running;
        if (Share* share = state->ShareOf(owner)) ++share->running;
        Start(state, std::move(job));
        looks = state->turns.size() + 2;  // everybody may have another turn
      }
      if (!lane.waiting.empty()) state->turns.push_back(owner);
    }
  }

  static void Start(const std::shared_ptr<State>& state, std::shared_ptr<Job> job) {
    Job& started = *job;
    state->loop.RunInPool([&started] { started.work(); },
                          [weak = std::weak_ptr<State>(state), job = std::move(job)] {
                            if (auto still = weak.lock()) Finish(still, *job);
                          });
  }

  static void Finish(const std::shared_ptr<State>& state, Job& job) {
    --state->running;
    if (Share* share = state->ShareOf(job.owner)) --share->running;
    Lane& lane = state->lanes[job.owner];
    --lane.running;
    if (lane.running == 0 && lane.waiting.empty()) state->lanes.erase(job.owner);
    EventLoop::Task done = std::exchange(job.done, nullptr);
    StartJobs(state);
    if (done) done();
  }

  void Drop(const std::shared_ptr<Job>& job) {
    job->done = nullptr;
    const auto lane = lanes.find(job->owner);
    if (lane == lanes.end()) return;
    auto& waiting = lane->second.waiting;
    const auto found = std::find(waiting.begin(), waiting.end(), job);
    if (found == waiting.end()) return;
    waiting.erase(found);
    if (!waiting.empty()) return;
    turns.erase(std::find(turns.begin(), turns.end(), job->owner));
    if (lane->second.running == 0) lanes.erase(lane);
  }
};

BlockingLimits DefaultBlockingLimits() {
  int threads = 4;  // libuv's default
  // Nothing sets it any more once there is a second thread.
  if (const char* text = std::getenv("UV_THREADPOOL_SIZE"); text != nullptr) {  // NOLINT(concurrency-mt-unsafe)
    int value = 0;
    const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
    if (error == std::errc() && *end == '\0' && value > 0) threads = value;
  }
  const int total = std::max(1, threads - 1);
  const int of_uids = (total + 1) / 2;
  return {.total = total,
          .per_owner = std::min(2, total),
          .of_uids = of_uids,
          .of_containers = std::max(1, total - of_uids - 1)};
}

BlockingJobs::Owner BlockingJobs::OfContainer(std::string_view id) {
  uint32_t digits = 0;
  std::from_chars(id.data(), id.data() + std::min<size_t>(id.size(), 8), digits, 16);
  return kFirstContainer | digits;
}

BlockingJobs::BlockingJobs(EventLoop& loop, BlockingLimits limits) : state_(std::make_shared<State>(loop, limits)) {}

BlockingJobs::~BlockingJobs() = default;

std::unique_ptr<BlockingJobs::Ticket> BlockingJobs::Submit(Owner owner, EventLoop::Task work, EventLoop::Task done) {
  struct Claim : Ticket {
    ~Claim() override {
      auto alive = state.lock();
      if (alive) alive->Drop(job);
    }
    std::weak_ptr<State> state;
    std::shared_ptr<Job> job;
  };
  auto claim = std::make_unique<Claim>();
  claim->state = state_;
  claim->job = std::make_shared<Job>(Job{owner, std::move(work), std::move(done)});
  State::Add(state_, claim->job);
  return claim;
}

int BlockingJobs::running() const {
  return state_->running;
}

}  // namespace lanyard
