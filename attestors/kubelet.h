// The kubelet of this node, asked which pod a container belongs to.
//
// One request at a time, shared by all who wait: GET /pods answers for every container of the node, and costs the
// kubelet more than it costs us. What it said is used until it is `refresh` old. A container that has just started is
// not in its list yet: whoever waits for one has the list read again, at most five times a second and less often the
// longer it takes. A container whose cgroup names no pod is looked for in one list that was asked for afterwards.
//
// An error answers all who waited when the request was sent. Nothing older than `refresh` is used instead.
//
// Believed is who has the certificate for the node's name (or, on the read-only port and where verification is turned
// off, whoever answers), and only if all the pods that it speaks of are on the node of that name.
//
// Lifetime: `tools` and `clock` outlive it, and it outlives its tickets. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "attestors/container_locator.h"
#include "attestors/host_tools.h"
#include "attestors/kubelet_pods.h"
#include "attestors/kubernetes_server.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/http_peer.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct KubeletOptions {
  HttpPeer server;
  std::string token_path;  // read for each request, and sent with it; empty: none is
  std::string node_name;   // of the node that it must be the kubelet of; empty: any
  std::chrono::nanoseconds refresh = std::chrono::seconds(5);
};

class Kubelet {
 public:
  // Who a container belongs to. `place` is valid as long as `pods` is held.
  struct Answer {
    std::shared_ptr<const KubeletPods> pods;
    KubeletPods::Place place;  // without a pod: the container is no pod's
  };
  // Destroy it to lose interest; `done` then never runs.
  struct Ticket {
    virtual ~Ticket() = default;
  };
  using Done = absl::AnyInvocable<void(Result<Answer>) &&>;

  Kubelet(KubeletOptions options, HostTools& tools, Clock& clock);
  ~Kubelet();

  // `done` runs once, never before Find has returned, and may destroy any ticket. It does not run while the kubelet
  // does not list a container that its cgroup puts into a pod: whoever asks knows how long that is worth waiting for.
  // Errors: those of the request, and FailedPrecondition when kubelet and kernel contradict each other.
  [[nodiscard]] std::unique_ptr<Ticket> Find(ContainerName name, Done done);

  // Asks once, though nobody waits, so that health() tells whether it answers.
  void Probe();
  // Why the last request failed. Until one is answered it is asked again every ten seconds.
  const Status& health() const { return last_failure_; }

  // Whether a request is under way.
  bool asking() const { return flight_ != nullptr; }

  // What to say when its answer is not waited for any longer.
  Status Late(const ContainerName& name) const;

 private:
  struct Waiter;

  void Plan();
  bool Answered(Waiter& waiter);
  bool MayUseList(const Waiter& waiter) const;
  Result<std::optional<Answer>> LookUp(const ContainerName& name) const;
  std::chrono::nanoseconds Pause() const;
  void Ask();
  void OnAnswer(Result<KubeletPods> answer);
  void FailThoseBefore(MonoTime asked);
  static Status About(const Status& why);

  const KubeletOptions options_;
  HostTools& tools_;
  Clock& clock_;
  KubernetesServer server_;
  std::shared_ptr<const KubeletPods> pods_;  // the last that it said; null: nothing yet
  MonoTime pods_asked_for_;                  // when the request was sent that was answered with these
  MonoTime last_asked_;
  bool asked_ = false;
  Status last_failure_;  // of the last request; OK when it was answered
  std::list<std::shared_ptr<Waiter>> waiters_;
  std::unique_ptr<KubernetesServer::Request> flight_;  // null: none is under way
  std::unique_ptr<Clock::Alarm> alarm_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace lanyard
