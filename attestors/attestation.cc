#include "attestors/attestation.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "node_agent/base/utf8.h"

namespace lanyard {

class AttestorSet::Run : public std::enable_shared_from_this<Run> {
 public:
  Run(AttestorSet& set, Deadline deadline, Done done, AttestationScope scope)
      : set_(set), deadline_(deadline), done_(std::move(done)), scope_(std::move(scope)) {}

  void Start(const PeerProcess& peer) {
    Result<std::shared_ptr<const Subject>> subject = Subject::Read(peer, scope_.wanted);
    if (subject.ok()) {
      if (Status same = (*subject)->CheckIds(); !same.ok()) subject = same;
    }
    if (!subject.ok()) return FinishLater(subject.status());
    subject_ = *std::move(subject);
    slots_.resize(set_.attestors_.size());
    for (size_t index = 0; index < slots_.size(); ++index) {
      const Attestor& attestor = *set_.attestors_[index];
      if (!subject_->wanted().HasType(attestor.type())) continue;
      ++waiting_;
      slots_[index].state = State::kNotAsked;
      if (!attestor.service_limit()) Ask(index);
    }
    if (waiting_ == 0 || IsEnough()) return FinishLater(OkStatus());
    AskServices();
    SetAlarm();
  }

  void Cancel() {
    done_ = nullptr;
    alarm_.reset();
    slots_.clear();
  }

  const std::vector<AttestorTime>& times() const { return times_; }

 private:
  enum class State { kNotWanted, kNotAsked, kAsked, kAnswered };
  struct Slot {
    State state = State::kNotWanted;
    std::unique_ptr<Attestor::Attempt> attempt;
    bool complete = false;  // nothing is missing of what it is about to answer
    MonoTime asked;
    Deadline due;
  };

  void Ask(size_t index) {
    Slot& slot = slots_[index];
    slot.state = State::kAsked;
    slot.asked = set_.clock_.MonoNow();
    const auto limit = set_.attestors_[index]->service_limit();
    slot.due = limit ? slot.asked + *limit : deadline_;
    if (scope_.latest) slot.due = std::min(slot.due, *scope_.latest);
    slot.attempt =
        set_.attestors_[index]->Attest(subject_, slot.due, [self = weak_from_this(), index](Result<Findings> answer) {
          if (auto run = self.lock()) run->OnAnswer(index, std::move(answer));
        });
  }

  void AskServices() {
    for (size_t index = 0; index < slots_.size(); ++index) {
      if (slots_[index].state == State::kNotAsked) Ask(index);
    }
  }

  void OnAnswer(size_t index, Result<Findings> answer) {
    if (!done_ || slots_[index].state != State::kAsked) return;
    AttestorStats& stats = set_.stats_[index];
    ++(answer.ok() ? answer->gaps.empty() ? stats.answered : stats.incomplete : stats.failed);
    const bool news = !slots_[index].complete;  // what was complete has been considered already
    Close(index, std::move(answer));
    if (waiting_ == 0 || (news && IsEnough())) Finish(OkStatus());
  }

  // The attestor has given its last answer in this attestation.
  void Close(size_t index, Result<Findings> answer) {
    Slot& slot = slots_[index];
    slot.state = State::kAnswered;
    --waiting_;
    const std::string type(set_.attestors_[index]->type());
    const auto took = set_.clock_.MonoNow() - slot.asked;
    times_.push_back({type, took});
    ObserveTime(*set_.stats_[index].seconds, took);
    Take(type, std::move(answer), findings_);
  }

  static void Take(const std::string& type, Result<Findings> answer, Findings& into) {
    if (answer.ok()) {
      const auto foreign = std::find_if(answer->selectors.begin(), answer->selectors.end(),
                                        [&](const Selector& selector) { return selector.type != type; });
      if (foreign != answer->selectors.end())
        answer = Error(StatusCode::kInternal, "attestor {} gave a selector of type {}", type, foreign->type);
    }
    if (!answer.ok()) {
      into.gaps.push_back({type, InUtf8(answer.status())});
      return;
    }
    std::move(answer->selectors.begin(), answer->selectors.end(), std::back_inserter(into.selectors));
    for (Gap& gap : answer->gaps) into.gaps.push_back({std::move(gap.prefix), InUtf8(gap.why)});
  }

  // A reason names files and cgroups, which may be called by any bytes; who shows it (protobuf, JSON) takes UTF-8 only.
  static Status InUtf8(const Status& why) { return Error(why.code(), "{}", ToUtf8(Message(why))); }

  // With this the rest is not waited for.
  bool IsEnough() {
    if (!scope_.enough || waiting_ == 0) return false;
    Findings so_far = findings_;
    const size_t closed = so_far.gaps.size();
    for (size_t index = 0; index < slots_.size(); ++index) {
      Slot& slot = slots_[index];
      if (slot.state != State::kAsked && slot.state != State::kNotAsked) continue;
      const std::string type(set_.attestors_[index]->type());
      std::optional<Findings> partial = slot.attempt ? slot.attempt->SoFar() : std::nullopt;
      Status spared =
          Error(StatusCode::kCancelled, "attestor {} was not waited for: no entry depends on it here", type);
      slot.complete = partial && partial->gaps.empty();
      if (partial) {
        for (Gap& gap : partial->gaps) gap.why = spared;
      }
      Take(type, partial ? Result<Findings>(*std::move(partial)) : Result<Findings>(std::move(spared)), so_far);
    }
    const bool open = so_far.gaps.size() > closed;
    if (open && !scope_.enough(so_far, closed)) return false;
    for (size_t index = 0; index < slots_.size(); ++index) Spare(index);
    findings_ = std::move(so_far);
    return true;
  }

  void Spare(size_t index) {
    Slot& slot = slots_[index];
    if (slot.state != State::kAsked && slot.state != State::kNotAsked) return;
    slot.state = State::kAnswered;
    --waiting_;
    AttestorStats& stats = set_.stats_[index];
    ++(slot.complete ? stats.answered : stats.spared);
    if (slot.complete) ObserveTime(*stats.seconds, set_.clock_.MonoNow() - slot.asked);
  }

  void SetAlarm() {
    Deadline next = Deadline::max();
    for (const Slot& slot : slots_) {
      if (slot.state == State::kAsked) next = std::min(next, slot.due);
    }
    alarm_ = set_.clock_.CallAt(next, [self = weak_from_this()] {
      if (auto run = self.lock()) run->OnAlarm();
    });
  }

  void OnAlarm() {
    const MonoTime now = set_.clock_.MonoNow();
    for (size_t index = 0; index < slots_.size(); ++index) {
      Slot& slot = slots_[index];
      if (slot.state != State::kAsked || slot.due > now) continue;
      std::optional<Findings> partial = slot.attempt->SoFar();
      slot.attempt.reset();
      ++set_.stats_[index].late;
      Status late =
          Error(StatusCode::kDeadlineExceeded, "attestor {} did not answer in time", set_.attestors_[index]->type());
      Close(index, partial ? Result<Findings>(*std::move(partial)) : Result<Findings>(std::move(late)));
    }
    if (waiting_ == 0 || IsEnough()) return Finish(OkStatus());
    SetAlarm();
  }

  void FinishLater(Status status) {
    set_.loop_.Post([self = weak_from_this(), status = std::move(status)] {
      if (auto run = self.lock()) run->Finish(status);
    });
  }

  void Finish(const Status& failed) {
    if (!done_) return;
    alarm_.reset();
    const Status status = failed.ok() ? subject_->CheckUnchanged() : failed;
    Done done = std::exchange(done_, nullptr);
    if (!status.ok()) {
      std::move(done)(status);
      return;
    }
    auto& selectors = findings_.selectors;
    std::sort(selectors.begin(), selectors.end());
    selectors.erase(std::unique(selectors.begin(), selectors.end()), selectors.end());
    std::move(done)(std::move(findings_));
  }

  AttestorSet& set_;
  const Deadline deadline_;
  Done done_;
  const AttestationScope scope_;
  std::shared_ptr<const Subject> subject_;
  std::unique_ptr<Clock::Alarm> alarm_;
  std::vector<Slot> slots_;
  size_t waiting_ = 0;
  Findings findings_;
  std::vector<AttestorTime> times_;
};

AttestorSet::AttestorSet(EventLoop& loop, Clock& clock, std::vector<std::unique_ptr<Attestor>> attestors)
    : loop_(loop), clock_(clock), attestors_(std::move(attestors)) {
  for (const auto& attestor : attestors_) stats_.emplace_back().type = attestor->type();
}

AttestorSet::~AttestorSet() = default;

std::unique_ptr<Attestation> AttestorSet::Attest(const PeerProcess& peer, Deadline deadline, Done done,
                                                 AttestationScope scope) {
  // The handle owns the run alone; while a callback works on it, a second reference keeps it until the callback
  // returns.
  struct Handle : Attestation {
    explicit Handle(std::shared_ptr<Run> owned) : run(std::move(owned)) {}
    ~Handle() override { run->Cancel(); }
    const std::vector<AttestorTime>& times() const override { return run->times(); }
    std::shared_ptr<Run> run;
  };
  auto run = std::make_shared<Run>(*this, deadline, std::move(done), std::move(scope));
  auto handle = std::make_unique<Handle>(run);
  run->Start(peer);
  return handle;
}

std::vector<std::pair<std::string_view, Status>> AttestorSet::problems() const {
  std::vector<std::pair<std::string_view, Status>> problems;
  for (const auto& attestor : attestors_) {
    if (Status health = attestor->health(); !health.ok()) problems.emplace_back(attestor->type(), std::move(health));
  }
  return problems;
}

}  // namespace lanyard
