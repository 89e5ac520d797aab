#include "attestors/executable_hash.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "attestors/executable_read.h"

namespace lanyard {
namespace {

struct FileHash {
  size_t operator()(const FileVersion& file) const noexcept {
    uint64_t mixed = 14695981039346656037ULL;
    for (const uint64_t part :
         {uint64_t{file.device_major} << 32 | file.device_minor, file.inode, file.size,
          static_cast<uint64_t>(file.mtime_ns), static_cast<uint64_t>(file.ctime_ns), file.mount}) {
      mixed = (mixed ^ part) * 1099511628211ULL;
      mixed ^= mixed >> 29;
    }
    return mixed;
  }
};

}  // namespace

struct ExecutableHasher::State : std::enable_shared_from_this<State> {
  struct Waiter : Ticket {
    ~Waiter() override {
      if (auto alive = state.lock()) alive->Leave(*this);
    }
    std::weak_ptr<State> state;
    uid_t uid = 0;
    FileVersion file;
    ReadRequest request;
    Done done;  // empty once called
  };
  struct FlightKey {
    uid_t uid;
    FileVersion file;
    bool operator==(const FlightKey&) const = default;
  };
  struct FlightKeyHash {
    size_t operator()(const FlightKey& key) const noexcept { return FileHash()(key.file) * 31 + key.uid; }
  };
  // One reading that several wait for.
  struct Flight {
    std::list<Waiter*> waiters;
    std::shared_ptr<std::atomic<bool>> cancelled;
    std::unique_ptr<BlockingJobs::Ticket> job;
  };
  struct Entry {
    std::string sha256;
    std::list<FileVersion>::iterator position;
  };

  State(BlockingJobs& blocking_jobs, HashOptions given) : jobs(blocking_jobs), options(given) {}

  BlockingJobs& jobs;
  const HashOptions options;
  std::unordered_map<FlightKey, Flight, FlightKeyHash> flights;
  std::unordered_map<FileVersion, Entry, FileHash> cache;
  std::list<FileVersion> by_use;  // the latest first
  uint64_t files_hashed = 0;

  void Join(Waiter& waiter) {
    const FlightKey key{waiter.uid, waiter.file};
    Flight& flight = flights[key];
    flight.waiters.push_back(&waiter);
    if (!flight.job) Launch(key, flight);
  }

  // Reads through the process of the waiter in front: when that one is gone, the next one's is tried.
  void Launch(const FlightKey& key, Flight& flight) {
    auto result = std::make_shared<Result<ReadResult>>(Error(StatusCode::kUnknown, "not read"));
    flight.cancelled = std::make_shared<std::atomic<bool>>(false);
    flight.job = jobs.Submit(
        key.uid,
        [request = flight.waiters.front()->request, cancelled = flight.cancelled, result] {
          *result = HashExecutable(request, *cancelled);
        },
        [weak = weak_from_this(), key, result, asker = flight.waiters.front()] {
          if (auto alive = weak.lock()) alive->OnRead(key, asker, *result);
        });
  }

  void OnRead(const FlightKey& key, Waiter* asker, const Result<ReadResult>& result) {
    ++files_hashed;
    const auto found = flights.find(key);
    if (found == flights.end()) return;
    Flight& flight = found->second;
    flight.job.reset();
    std::list<Waiter*> answered;
    if (result.ok()) {
      const ReadResult& read = *result;
      if (read.cacheable && read.sha256) Remember(key.file, *read.sha256);
      answered.swap(flight.waiters);
    } else if (!flight.waiters.empty() && flight.waiters.front() == asker) {
      answered.splice(answered.begin(), flight.waiters, flight.waiters.begin());  // its failure may be its own
    }
    if (flight.waiters.empty()) {
      flights.erase(found);
    } else {
      Launch(key, flight);
    }
    Answer(answered, result);
  }

  static void Answer(const std::list<Waiter*>& waiters, const Result<ReadResult>& result) {
    std::vector<Done> calls;  // a call may destroy any of the waiters
    for (Waiter* waiter : waiters) calls.push_back(std::exchange(waiter->done, nullptr));
    for (Done& done : calls) {
      std::move(done)(result.ok() ? Result<ExecutableHash>(result->sha256) : Result<ExecutableHash>(result.status()));
    }
  }

  void Leave(Waiter& waiter) {
    const auto found = flights.find(FlightKey{waiter.uid, waiter.file});
    if (found == flights.end()) return;
    Flight& flight = found->second;
    flight.waiters.remove(&waiter);
    if (!flight.waiters.empty()) return;
    flight.cancelled->store(true, std::memory_order_relaxed);
    flights.erase(found);
  }

  void Remember(const FileVersion& file, const std::string& sha256) {
    if (cache.contains(file) || options.cache_entries == 0) return;
    if (cache.size() >= options.cache_entries) {
      cache.erase(by_use.back());
      by_use.pop_back();
    }
    by_use.push_front(file);
    cache.emplace(file, Entry{sha256, by_use.begin()});
  }
};

ExecutableHasher::ExecutableHasher(BlockingJobs& jobs, HashOptions options)
    : state_(std::make_shared<State>(jobs, options)) {}

ExecutableHasher::~ExecutableHasher() = default;

const std::string* ExecutableHasher::Cached(const FileVersion& file) {
  const auto found = state_->cache.find(file);
  if (found == state_->cache.end()) return nullptr;
  state_->by_use.splice(state_->by_use.begin(), state_->by_use, found->second.position);
  return &found->second.sha256;
}

std::unique_ptr<ExecutableHasher::Ticket> ExecutableHasher::Hash(std::shared_ptr<const ProcDir> process,
                                                                 const Executable& executable, uid_t uid,
                                                                 std::shared_ptr<const MountTable> mounts, Done done) {
  auto waiter = std::make_unique<State::Waiter>();
  waiter->state = state_;
  waiter->uid = uid;
  waiter->file = executable.file;
  waiter->request = ReadRequest{std::move(process), executable, std::move(mounts), state_->options.max_file_bytes};
  waiter->done = std::move(done);
  state_->Join(*waiter);
  return waiter;
}

uint64_t ExecutableHasher::files_hashed() const {
  return state_->files_hashed;
}

}  // namespace lanyard
