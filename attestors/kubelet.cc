#include "attestors/kubelet.h"

#include <algorithm>
#include <utility>

#include "node_agent/base/log.h"
#include "node_agent/base/printable.h"

namespace lanyard {
namespace {

constexpr std::string_view kPath = "/pods";
constexpr std::chrono::seconds kRequestTimeout{10};
constexpr size_t kMaxAnswer = size_t{32} << 20;  // 250 pods of 100 KB, and room

// Between two requests: a quarter of the time that the youngest of those who wait has waited, within these.
constexpr std::chrono::milliseconds kShortestPause{250};  // as sent; they arrive less evenly
constexpr std::chrono::milliseconds kLongestPause{1000};

constexpr std::chrono::seconds kProbePause{10};  // while it fails and nobody waits

Result<KubeletPods> ReadPods(WipedString& answer, const std::string& node_name) {
  ASSIGN_OR_RETURN(KubeletPods pods, KubeletPods::Read(answer));
  const auto elsewhere = std::find_if(pods.pods().begin(), pods.pods().end(), [&](const KubeletPod& pod) {
    return !node_name.empty() && pod.node != node_name;
  });
  if (elsewhere == pods.pods().end()) return pods;
  return Error(StatusCode::kFailedPrecondition,
               "it speaks of pod {}/{} on node {}, and is to be the kubelet of {}; check node_name and the address",
               Printable(elsewhere->name_space), Printable(elsewhere->name), Printable(elsewhere->node), node_name);
}

}  // namespace

struct Kubelet::Waiter {
  ContainerName name;
  MonoTime since;
  Done done;  // empty once called, or when nobody is interested any more
};

Kubelet::Kubelet(KubeletOptions options, HostTools& tools, Clock& clock)
    : options_(std::move(options)),
      tools_(tools),
      clock_(clock),
      server_({.peer = options_.server,
               .token_path = options_.token_path,
               .right = "get nodes/pods (before Kubernetes 1.33 nodes/proxy)",
               .max_answer_bytes = kMaxAnswer},
              tools, clock) {}

Kubelet::~Kubelet() = default;

std::unique_ptr<Kubelet::Ticket> Kubelet::Find(ContainerName name, Done done) {
  struct Claim : Ticket {
    ~Claim() override { waiter->done = nullptr; }
    std::shared_ptr<Waiter> waiter;
  };
  auto claim = std::make_unique<Claim>();
  claim->waiter = std::make_shared<Waiter>(Waiter{std::move(name), clock_.MonoNow(), std::move(done)});
  waiters_.push_back(claim->waiter);
  tools_.loop.Post([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) Plan();
  });
  return claim;
}

// A list that was asked for after it began to wait is new to it, however long the kubelet took.
bool Kubelet::MayUseList(const Waiter& waiter) const {
  if (pods_ == nullptr || !last_failure_.ok()) return false;
  return waiter.since <= pods_asked_for_ || clock_.MonoNow() - pods_asked_for_ < options_.refresh;
}

// No value: the list does not have it.
Result<std::optional<Kubelet::Answer>> Kubelet::LookUp(const ContainerName& name) const {
  ASSIGN_OR_RETURN(const KubeletPods::Place place, pods_->Find(name.container_id));
  if (place.pod == nullptr) return std::nullopt;
  if (!name.pod_uid.empty() && place.pod->uid != name.pod_uid) {
    return Error(StatusCode::kFailedPrecondition,
                 "its cgroup puts container {} into pod {}, and the kubelet into pod {}; ask again", name.container_id,
                 name.pod_uid, Printable(place.pod->uid));
  }
  return Answer{pods_, place};
}

// Answers whom the list at hand can answer, and sees to it that it is asked for again where others wait.
void Kubelet::Plan() {
  std::list<std::shared_ptr<Waiter>> waiting = std::exchange(waiters_, {});
  waiting.remove_if([this](const std::shared_ptr<Waiter>& waiter) { return !waiter->done || Answered(*waiter); });
  waiters_.splice(waiters_.begin(), waiting);
  alarm_.reset();
  if (flight_ != nullptr || (waiters_.empty() && last_failure_.ok())) return;
  const MonoTime next = asked_ ? last_asked_ + Pause() : clock_.MonoNow();
  if (next <= clock_.MonoNow()) return Ask();
  alarm_ = clock_.CallAt(next, [this] { Plan(); });
}

bool Kubelet::Answered(Waiter& waiter) {
  if (!MayUseList(waiter)) return false;
  Result<std::optional<Answer>> looked_up = LookUp(waiter.name);
  Result<Answer> answer = Answer{pods_, {}};
  if (!looked_up.ok()) {
    answer = About(looked_up.status());
  } else if (std::optional<Answer>& found = *looked_up) {
    answer = *std::move(found);
  } else if (!waiter.name.pod_uid.empty() || waiter.since > pods_asked_for_) {
    return false;
  }
  Done done = std::exchange(waiter.done, nullptr);
  std::move(done)(std::move(answer));
  return true;
}

std::chrono::nanoseconds Kubelet::Pause() const {
  if (!last_failure_.ok()) return waiters_.empty() ? kProbePause : kLongestPause;
  MonoTime youngest = waiters_.front()->since;
  for (const auto& waiter : waiters_) youngest = std::max(youngest, waiter->since);
  return std::clamp<std::chrono::nanoseconds>((clock_.MonoNow() - youngest) / 4, kShortestPause, kLongestPause);
}

void Kubelet::Probe() {
  alarm_ = clock_.CallAfter(std::chrono::nanoseconds(0), [this] {
    if (flight_ == nullptr) Ask();
  });
}

void Kubelet::Ask() {
  asked_ = true;
  last_asked_ = clock_.MonoNow();
  auto pods = std::make_shared<KubeletPods>();
  flight_ = server_.Get(
      std::string(kPath), last_asked_ + kRequestTimeout,
      [pods, node_name = options_.node_name](WipedString& answer) -> Status {
        ASSIGN_OR_RETURN(*pods, ReadPods(answer, node_name));
        return OkStatus();
      },
      [this, pods](const Status& status) {
        OnAnswer(status.ok() ? Result<KubeletPods>(std::move(*pods)) : Result<KubeletPods>(status));
      });
}

void Kubelet::OnAnswer(Result<KubeletPods> answer) {
  const std::unique_ptr<KubernetesServer::Request> finished = std::move(flight_);
  const bool failed_before = !last_failure_.ok();
  last_failure_ = answer.ok() ? OkStatus() : About(answer.status());
  if (answer.ok()) {
    if (failed_before) LANYARD_LOG_INFO("the kubelet answers again");
    pods_ = std::make_shared<const KubeletPods>(*std::move(answer));
    pods_asked_for_ = last_asked_;
  } else {
    if (!failed_before) LANYARD_LOG_WARN("{}", Message(last_failure_));
    FailThoseBefore(last_asked_);
  }
  Plan();
}

void Kubelet::FailThoseBefore(MonoTime asked) {
  const auto waiting = waiters_;
  for (const std::shared_ptr<Waiter>& waiter : waiting) {
    if (waiter->since > asked) continue;
    if (Done done = std::exchange(waiter->done, nullptr)) std::move(done)(last_failure_);
  }
}

Status Kubelet::About(const Status& why) {
  return Annotate(why, "ask the kubelet");
}

Status Kubelet::Late(const ContainerName& name) const {
  if (!last_failure_.ok()) return last_failure_;
  const Status why =
      pods_ == nullptr
          ? Error(StatusCode::kDeadlineExceeded, "it has not answered in time")
          : Error(StatusCode::kDeadlineExceeded, "it does not list container {} of pod {} in time",
                  std::string_view(name.container_id).substr(0, 12), name.pod_uid.empty() ? "(unknown)" : name.pod_uid);
  return About(server_.Named(kPath, why));
}

}  // namespace lanyard
