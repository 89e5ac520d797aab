#include "workload_api/look_turns.h"

#include <deque>
#include <list>
#include <unordered_map>
#include <utility>

namespace lanyard {
namespace {

constexpr size_t kAtOnce = 32;       // under way
constexpr size_t kAtOnceOfOne = 8;   // of these, of one owner
constexpr size_t kBegunInOneGo = 8;  // about a millisecond of the loop

}  // namespace

struct LookTurns::State {
  struct Place : Turn {
    ~Place() override {
      if (auto alive = state.lock()) alive->Leave(*this);
    }
    std::weak_ptr<State> state;
    Owner owner = nullptr;
    Begin begin;  // empty once begun
    std::list<Place*>::iterator position;
  };
  struct Lane {
    std::list<Place*> waiting;
    size_t under_way = 0;
    bool in_turns = false;
  };

  explicit State(Clock& given) : clock(given) {}

  Clock& clock;
  std::unordered_map<Owner, Lane> lanes;
  std::deque<Owner> turns;  // owners with something that may begin, each once
  size_t waiting = 0;
  size_t under_way = 0;
  std::unique_ptr<Clock::Alarm> alarm;

  void QueueLane(Owner owner, Lane& lane) {
    if (lane.waiting.empty() || lane.under_way >= kAtOnceOfOne || std::exchange(lane.in_turns, true)) return;
    turns.push_back(owner);
  }

  void Schedule() {
    if (alarm == nullptr && !turns.empty() && under_way < kAtOnce)
      alarm = clock.CallAfter(std::chrono::nanoseconds(0), [this] { Go(); });
  }

  void Go() {
    alarm.reset();
    for (size_t begun = 0; begun < kBegunInOneGo && under_way < kAtOnce && !turns.empty();) {
      const Owner owner = turns.front();
      turns.pop_front();
      Lane& lane = lanes.at(owner);
      lane.in_turns = false;
      if (lane.waiting.empty() || lane.under_way >= kAtOnceOfOne) {
        if (lane.waiting.empty() && lane.under_way == 0) lanes.erase(owner);
        continue;
      }
      Place& place = *lane.waiting.front();
      lane.waiting.pop_front();
      --waiting;
      ++lane.under_way;
      ++under_way;
      ++begun;
      QueueLane(owner, lane);
      std::exchange(place.begin, nullptr)();  // may end this place, or others
    }
    Schedule();
  }

  void Leave(Place& place) {
    const auto found = lanes.find(place.owner);
    Lane& lane = found->second;
    if (place.begin != nullptr) {
      lane.waiting.erase(place.position);
      --waiting;
    } else {
      --lane.under_way;
      --under_way;
    }
    QueueLane(place.owner, lane);
    if (lane.waiting.empty() && lane.under_way == 0 && !lane.in_turns) lanes.erase(found);
    Schedule();
  }
};

LookTurns::LookTurns(Clock& clock) : state_(std::make_shared<State>(clock)) {}

LookTurns::~LookTurns() = default;

std::unique_ptr<LookTurns::Turn> LookTurns::Wait(Owner owner, Begin begin) {
  auto place = std::make_unique<State::Place>();
  State::Lane& lane = state_->lanes[owner];
  place->state = state_;
  place->owner = owner;
  place->begin = std::move(begin);
  place->position = lane.waiting.insert(lane.waiting.end(), place.get());
  ++state_->waiting;
  state_->QueueLane(owner, lane);
  state_->Schedule();
  return place;
}

size_t LookTurns::waiting() const {
  return state_->waiting;
}

size_t LookTurns::under_way() const {
  return state_->under_way;
}

size_t LookTurns::owners() const {
  return state_->lanes.size();
}

}  // namespace lanyard
