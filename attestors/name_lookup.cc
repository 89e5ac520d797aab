#include "attestors/name_lookup.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <list>

namespace lanyard {
namespace {

constexpr size_t kMaxRecord = size_t{1024} * 1024;  // a group's record lists its members

// getpwuid_r(3): "0 or ENOENT or ESRCH or EBADF or EPERM or …: the given name or uid was not found". With these the
// database was asked; everything else means that it was not.
bool MeansNotFound(int error) {
  return error == 0 || error == ENOENT || error == ESRCH;
}

template <class Record>
Result<Name> LookUp(int (*ask)(uint32_t, Record*, char*, size_t, Record**), char* Record::*name, uint32_t id,
                    std::string_view what) {
  std::string buffer(4096, '\0');
  while (true) {
    Record record{};
    Record* found = nullptr;
    const int error = ask(id, &record, buffer.data(), buffer.size(), &found);
    if (error == EINTR) continue;
    if (error == ERANGE && buffer.size() < kMaxRecord) {
      buffer.resize(buffer.size() * 4);
      continue;
    }
    if (found != nullptr) return Name(found->*name);
    if (MeansNotFound(error)) return Name();
    return Error(StatusCode::kUnavailable, "look up name of {} {}: {}", what, id,
                 std::generic_category().message(error));
  }
}

}  // namespace

Result<Name> LookUpName(NameKind kind, uint32_t id) {
  if (kind == NameKind::kUser) return LookUp<passwd>(getpwuid_r, &passwd::pw_name, id, "user");
  return LookUp<group>(getgrgid_r, &group::gr_name, id, "group");
}

struct NameLookup::State : std::enable_shared_from_this<State> {
  using Key = std::pair<NameKind, uint32_t>;
  struct Known {
    Name name;
    MonoTime until;
  };
  struct Ask : Ticket {
    ~Ask() override {
      if (auto alive = state.lock()) alive->asks.erase(position);
    }
    std::weak_ptr<State> state;
    std::list<Ask*>::iterator position;
    NameKind kind{};
    std::vector<uint32_t> ids;
    std::vector<Name> names;  // of the first ids
    Done done;                // empty once called

    bool complete() const { return names.size() == ids.size(); }
    Key next() const { return {kind, ids[names.size()]}; }
  };

  State(BlockingJobs& blocking_jobs, EventLoop& event_loop, Clock& given_clock, Source given_source, size_t entries)
      : jobs(blocking_jobs), loop(event_loop), clock(given_clock), source(given_source), max_entries(entries) {}

  BlockingJobs& jobs;
  EventLoop& loop;
  Clock& clock;
  const Source source;
  const size_t max_entries;
  std::map<Key, Known> known;
  std::deque<Key> by_age;                                        // of those, the oldest first
  std::map<Key, std::unique_ptr<BlockingJobs::Ticket>> lookups;  // under way; they go on when nobody waits
  std::list<Ask*> asks;

  const Known* Find(const Key& key) {
    const auto found = known.find(key);
    if (found == known.end() || found->second.until <= clock.MonoNow()) return nullptr;
    return &found->second;
  }

  std::optional<std::vector<Name>> Collect(NameKind kind, const std::vector<uint32_t>& ids) {
    std::vector<Name> names;
    for (const uint32_t id : ids) {
      const Known* entry = Find({kind, id});
      if (entry == nullptr) return std::nullopt;
      names.push_back(entry->name);
    }
    return names;
  }

  void Start(const Key& key) {
    if (lookups.contains(key)) return;
    auto result = std::make_shared<Result<Name>>(Name());
    lookups[key] = jobs.Submit(
        BlockingJobs::kUserDatabase, [source = source, key, result] { *result = source(key.first, key.second); },
        [weak = weak_from_this(), key, result] {
          if (auto alive = weak.lock()) alive->OnAnswer(key, *result);
        });
  }

  void OnAnswer(const Key& key, const Result<Name>& result) {
    lookups.erase(key);
    if (result.ok()) Remember(key, *result);
    std::vector<std::pair<Done, Result<std::vector<Name>>>> calls;  // a call may destroy any of the asks
    for (Ask* ask : asks) {
      if (!ask->done || ask->complete() || ask->next() != key) continue;
      if (!result.ok()) {
        calls.emplace_back(std::exchange(ask->done, nullptr), result.status());
      } else if (Continue(*ask)) {
        calls.emplace_back(std::exchange(ask->done, nullptr), std::move(ask->names));
      }
    }
    for (auto& [done, names] : calls) std::move(done)(std::move(names));
  }

  // What is known under `key` has run out, or it is not known: it becomes the youngest.
  void Remember(const Key& key, const Name& name) {
    const MonoTime now = clock.MonoNow();
    while (!by_age.empty() && (known.size() >= max_entries || known.at(by_age.front()).until <= now)) {
      known.erase(by_age.front());
      by_age.pop_front();
    }
    known.emplace(key, Known{name, now + kKeep});
    by_age.push_back(key);
  }

  // Takes the names that are known. False: the first that is not is being looked up, and no other for this ask.
  bool Continue(Ask& ask) {
    while (!ask.complete()) {
      const Known* entry = Find(ask.next());
      if (entry == nullptr) {
        Start(ask.next());
        return false;
      }
      ask.names.push_back(entry->name);
    }
    return true;
  }
};

NameLookup::NameLookup(BlockingJobs& jobs, EventLoop& loop, Clock& clock, Source source, size_t max_entries)
    : state_(std::make_shared<State>(jobs, loop, clock, source, max_entries)) {}

NameLookup::~NameLookup() = default;

std::optional<std::vector<Name>> NameLookup::Cached(NameKind kind, const std::vector<uint32_t>& ids) {
  return state_->Collect(kind, ids);
}

std::unique_ptr<NameLookup::Ticket> NameLookup::Find(NameKind kind, std::vector<uint32_t> ids, Done done) {
  auto ask = std::make_unique<State::Ask>();
  ask->state = state_;
  ask->kind = kind;
  ask->ids = std::move(ids);
  ask->done = std::move(done);
  ask->position = state_->asks.insert(state_->asks.end(), ask.get());
  if (state_->Continue(*ask)) {
    // All known: answered on the loop's next round, unless the ticket is gone by then.
    state_->loop.Post([weak = std::weak_ptr<State>(state_), waiting = ask.get()] {
      auto alive = weak.lock();
      if (!alive) return;
      const auto found = std::find(alive->asks.begin(), alive->asks.end(), waiting);
      if (found == alive->asks.end() || !waiting->done || !waiting->complete()) return;
      std::exchange(waiting->done, nullptr)(std::move(waiting->names));
    });
  }
  return ask;
}

}  // namespace lanyard
