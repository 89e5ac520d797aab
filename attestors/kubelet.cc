#include "attestors/kubelet.h"

#include <algorithm>
#include <utility>

#include "attestors/blocking_jobs.h"
#include "node_agent/base/file_trust.h"
#include "node_agent/base/log.h"
#include "node_agent/base/printable.h"

namespace lanyard {
namespace {

constexpr std::string_view kPath = "/pods";
constexpr std::chrono::seconds kRequestTimeout{10};
constexpr size_t kMaxAnswer = size_t{32} << 20;  // 250 pods of 100 KB, and room
constexpr size_t kMaxToken = size_t{64} << 10;
constexpr size_t kShownOfRefusal = 256;

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

// One request: the token is read, the list asked for and read. What may block does so in the pool.
class Kubelet::Flight {
 public:
  Flight(Kubelet& kubelet, Deadline deadline) : kubelet_(kubelet), deadline_(deadline) {}

  void Start() {
    const KubeletOptions& options = kubelet_.options_;
    if (options.token_path.empty()) return Ask(nullptr);
    auto token = std::make_shared<Result<WipedString>>(WipedString());
    job_ = kubelet_.tools_.jobs.Submit(
        BlockingJobs::kKubelet, [token, path = options.token_path] { *token = ReadTrustedSecret(path, kMaxToken); },
        [this, token] {
          if (!token->ok()) return Finish(Annotate(token->status(), "read the token for it"));
          while (!(*token)->empty() && (*token)->back() == '\n') (*token)->pop_back();
          Ask(&**token);
        });
  }

 private:
  void Ask(const WipedString* token) {
    const std::string path(kPath);
    auto on_answer = [this](Result<HttpAnswer> answer) { OnAnswer(std::move(answer)); };
    request_ = token == nullptr ? kubelet_.http_.Get(path, deadline_, std::move(on_answer))
                                : kubelet_.http_.Get(path, *token, deadline_, std::move(on_answer));
  }

  void OnAnswer(Result<HttpAnswer> answer) {
    if (!answer.ok()) return Finish(answer.status());
    if (answer->status != 200) return Finish(kubelet_.Named(Refused(*answer)));
    auto body = std::make_shared<WipedString>(std::move(answer->body));
    auto pods = std::make_shared<Result<KubeletPods>>(KubeletPods());
    job_ = kubelet_.tools_.jobs.Submit(
        BlockingJobs::kKubelet,
        [body, pods, node_name = kubelet_.options_.node_name]() mutable {
          *pods = ReadPods(*body, node_name);
          body.reset();
        },
        [this, pods] { Finish(pods->ok() ? std::move(*pods) : kubelet_.Named(pods->status())); });
  }

  Status Refused(const HttpAnswer& answer) const {
    std::string_view advice = "see its log";
    if (answer.status == 401) advice = "is the token or certificate one that it accepts?";
    if (answer.status == 403) advice = "may this service account get nodes/pods (before Kubernetes 1.33 nodes/proxy)?";
    return Error(StatusCode::kUnavailable, "it refused with HTTP status {} ({}); {}", answer.status,
                 Printable(std::string_view(answer.body).substr(0, kShownOfRefusal)), advice);
  }

  // Destroys this.
  void Finish(Result<KubeletPods> answer) { kubelet_.OnAnswer(std::move(answer)); }

  Kubelet& kubelet_;
  const Deadline deadline_;
  std::unique_ptr<BlockingJobs::Ticket> job_;
  std::unique_ptr<HttpClient::Request> request_;
};

Kubelet::Kubelet(KubeletOptions options, HostTools& tools, Clock& clock)
    : options_(std::move(options)),
      tools_(tools),
      clock_(clock),
      http_(tools.loop, clock, {.server = options_.server, .max_body_bytes = kMaxAnswer, .connections = 1}) {}

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
  Result<std::optional<Answer>> answer = LookUp(waiter.name);
  if (answer.ok() && !*answer) {
    if (!waiter.name.pod_uid.empty() || waiter.since > pods_asked_for_) return false;
    answer = std::optional(Answer{pods_, {}});
  }
  Done done = std::exchange(waiter.done, nullptr);
  std::move(done)(answer.ok() ? Result<Answer>(**std::move(answer)) : Result<Answer>(About(answer.status())));
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
  flight_ = std::make_unique<Flight>(*this, last_asked_ + kRequestTimeout);
  flight_->Start();
}

void Kubelet::OnAnswer(Result<KubeletPods> answer) {
  const std::unique_ptr<Flight> finished = std::move(flight_);
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

Status Kubelet::Named(const Status& why) const {
  return Annotate(why, "{}", PeerName(options_.server, kPath));
}

Status Kubelet::Late(const ContainerName& name) const {
  if (!last_failure_.ok()) return last_failure_;
  if (pods_ == nullptr) return About(Named(Error(StatusCode::kDeadlineExceeded, "it has not answered in time")));
  return About(Named(Error(StatusCode::kDeadlineExceeded, "it does not list container {} of pod {} in time",
                           std::string_view(name.container_id).substr(0, 12),
                           name.pod_uid.empty() ? "(unknown)" : name.pod_uid)));
}

}  // namespace lanyard
