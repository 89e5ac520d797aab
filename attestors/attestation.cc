#include "attestors/attestation.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace lanyard {

class AttestorSet::Run : public std::enable_shared_from_this<Run> {
 public:
  Run(AttestorSet& set, Done done) : set_(set), started_(set.clock_.MonoNow()), done_(std::move(done)) {}

  void Start(const PeerProcess& peer, Deadline deadline, WantedKindsPtr wanted) {
    Result<std::shared_ptr<const Subject>> subject = Subject::Read(peer, std::move(wanted));
    if (subject.ok()) {
      if (Status same = (*subject)->CheckIds(); !same.ok()) subject = same;
    }
    if (!subject.ok()) {
      FinishLater(subject.status());
      return;
    }
    subject_ = *std::move(subject);
    attempts_.resize(set_.attestors_.size());
    for (size_t index = 0; index < attempts_.size(); ++index) {
      attempts_[index].answered = !subject_->wanted().HasType(set_.attestors_[index]->type());
      if (!attempts_[index].answered) ++waiting_;
    }
    alarm_ = set_.clock_.CallAt(deadline, [self = weak_from_this()] {
      if (auto run = self.lock()) run->OnDeadline();
    });
    for (size_t index = 0; index < attempts_.size(); ++index) {
      if (attempts_[index].answered) continue;
      attempts_[index].attempt =
          set_.attestors_[index]->Attest(subject_, deadline, [self = weak_from_this(), index](Result<Findings> answer) {
            if (auto run = self.lock()) run->OnAnswer(index, std::move(answer));
          });
    }
    if (waiting_ == 0) FinishLater(OkStatus());
  }

  void Cancel() {
    done_ = nullptr;
    alarm_.reset();
    attempts_.clear();
  }

  const std::vector<AttestorTime>& times() const { return times_; }

 private:
  struct Slot {
    std::unique_ptr<Attestor::Attempt> attempt;
    bool answered = false;
  };

  void OnAnswer(size_t index, Result<Findings> answer) {
    if (!done_ || std::exchange(attempts_[index].answered, true)) return;
    const std::string type(set_.attestors_[index]->type());
    times_.push_back({type, set_.clock_.MonoNow() - started_});
    if (answer.ok()) {
      for (const Selector& selector : answer->selectors) {
        if (selector.type == type) continue;
        answer = Error(StatusCode::kInternal, "attestor {} gave a selector of type {}", type, selector.type);
        break;
      }
    }
    if (answer.ok()) {
      std::move(answer->selectors.begin(), answer->selectors.end(), std::back_inserter(findings_.selectors));
      std::move(answer->gaps.begin(), answer->gaps.end(), std::back_inserter(findings_.gaps));
    } else {
      findings_.gaps.push_back({type, answer.status()});
    }
    if (--waiting_ == 0) Finish(OkStatus());
  }

  void OnDeadline() {
    for (size_t index = 0; index < attempts_.size(); ++index) {
      if (attempts_[index].answered) continue;
      std::optional<Findings> partial = attempts_[index].attempt->GiveUp();
      attempts_[index].attempt.reset();
      Status late =
          Error(StatusCode::kDeadlineExceeded, "attestor {} did not answer in time", set_.attestors_[index]->type());
      OnAnswer(index, partial ? Result<Findings>(*std::move(partial)) : Result<Findings>(std::move(late)));
    }
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
  const MonoTime started_;
  Done done_;
  std::shared_ptr<const Subject> subject_;
  std::unique_ptr<Clock::Alarm> alarm_;
  std::vector<Slot> attempts_;
  size_t waiting_ = 0;
  Findings findings_;
  std::vector<AttestorTime> times_;
};

AttestorSet::AttestorSet(EventLoop& loop, Clock& clock, std::vector<std::unique_ptr<Attestor>> attestors)
    : loop_(loop), clock_(clock), attestors_(std::move(attestors)) {}

AttestorSet::~AttestorSet() = default;

std::unique_ptr<Attestation> AttestorSet::Attest(const PeerProcess& peer, Deadline deadline, Done done,
                                                 WantedKindsPtr wanted) {
  // The handle owns the run alone; while a callback works on it, a second reference keeps it until the callback
  // returns.
  struct Handle : Attestation {
    explicit Handle(std::shared_ptr<Run> owned) : run(std::move(owned)) {}
    ~Handle() override { run->Cancel(); }
    const std::vector<AttestorTime>& times() const override { return run->times(); }
    std::shared_ptr<Run> run;
  };
  auto run = std::make_shared<Run>(*this, std::move(done));
  auto handle = std::make_unique<Handle>(run);
  run->Start(peer, deadline, std::move(wanted));
  return handle;
}

std::vector<std::string_view> AttestorSet::types() const {
  std::vector<std::string_view> types;
  types.reserve(attestors_.size());
  for (const auto& attestor : attestors_) types.push_back(attestor->type());
  return types;
}

}  // namespace lanyard
