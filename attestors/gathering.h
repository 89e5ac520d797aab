// One attestor's attempt that finds its selectors in several steps, some at once and some by answers from the pool.
//
// Lifetime: as an Attempt; it owns the tickets of its steps, so that their callbacks may refer to it. Thread: loop.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "attestors/attestor.h"
#include "attestors/selector.h"
#include "node_agent/base/event_loop.h"

namespace lanyard {

class Gathering : public Attestor::Attempt {
 public:
  Gathering(EventLoop& loop, std::string_view type, Attestor::Done done)
      : loop_(loop), type_(type), done_(std::move(done)) {}

  // "type:kind:value". A value that does not fit in a selector (a file name with a newline) gives none.
  void Add(std::string_view kind, std::string_view value) {
    if (FitsInSelector(value)) findings_.selectors.push_back({type_, fmt::format("{}:{}", kind, value)});
  }
  void Add(std::string_view kind, uint64_t value) {
    findings_.selectors.push_back({type_, fmt::format("{}:{}", kind, value)});
  }

  // Selectors of `kind` (or finer: "cgroup:cpu:/x") could not be found out. Of what does not fit in a selector there is
  // no gap, since no entry can name it.
  void AddGap(std::string_view kind, const Status& why) { AddGap(findings_, kind, why); }

  // A step under way that will give selectors of `kind`. Returns its number, for Arrived.
  size_t Expect(std::string_view kind) {
    steps_.push_back({std::string(kind), nullptr});
    ++open_;
    return steps_.size() - 1;
  }
  // Keeps the step's ticket until the attempt ends.
  template <class Ticket>
  void Keep(size_t step, std::unique_ptr<Ticket> ticket) {
    steps_[step].ticket = std::shared_ptr<void>(std::move(ticket));
  }
  // The step is complete. May destroy this: the last thing a callback does.
  void Arrived(size_t step) {
    steps_[step].kind.clear();
    if (--open_ == 0 && sealed_) Finish();
  }

  // All steps have begun.
  void Seal() {
    sealed_ = true;
    if (open_ > 0) return;
    loop_.Post([this, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) Finish();
    });
  }

  std::optional<Findings> SoFar() const override {
    Findings so_far = findings_;
    for (const Step& step : steps_) {
      if (!step.kind.empty())
        AddGap(so_far, step.kind, Error(StatusCode::kDeadlineExceeded, "{} was not found out in time", step.kind));
    }
    return so_far;
  }

 private:
  struct Step {
    std::string kind;  // empty: arrived
    std::shared_ptr<void> ticket;
  };

  void AddGap(Findings& findings, std::string_view kind, const Status& why) const {
    if (FitsInSelector(kind)) findings.gaps.push_back({fmt::format("{}:{}", type_, kind), why});
  }

  void Finish() {
    Attestor::Done done = std::move(done_);
    std::move(done)(std::move(findings_));
  }

  EventLoop& loop_;
  const std::string type_;
  Attestor::Done done_;
  Findings findings_;
  std::vector<Step> steps_;
  size_t open_ = 0;
  bool sealed_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace lanyard
