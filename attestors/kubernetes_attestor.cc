#include "attestors/kubernetes_attestor.h"

#include <optional>
#include <utility>

#include "attestors/api_server.h"
#include "attestors/container_finder.h"
#include "attestors/container_selectors.h"
#include "attestors/kubelet.h"

namespace lanyard {
namespace {

constexpr std::string_view kType = "k8s";
constexpr std::string_view kNamespaceLabel = "ns-label";

// Each container by the name that its image was asked for with, and by the one with its digest.
void AddImages(std::string_view kind, const std::vector<KubeletContainer>& containers, ContainerSelectors& selectors) {
  for (const KubeletContainer& container : containers) {
    selectors.Add(kind, container.image);
    selectors.Add(kind, container.image_id);
  }
}

Findings SelectorsOf(const KubeletPods::Place& place, const WantedKinds& wanted) {
  Findings findings;
  if (place.pod == nullptr) return findings;
  const KubeletPod& pod = *place.pod;
  const KubeletContainer& container = *place.container;
  ContainerSelectors selectors(kType, findings);
  const auto wants = [&](std::string_view kind) { return wanted.Has(kType, kind); };
  selectors.Add("ns", pod.name_space);
  selectors.Add("sa", pod.service_account);
  selectors.Add("node-name", pod.node);
  selectors.Add("pod-uid", pod.uid);
  selectors.Add("pod-name", pod.name);
  if (wants("pod-label")) selectors.AddLabels("pod-label", pod.labels);
  if (wants("pod-owner") || wants("pod-owner-uid")) {
    for (const KubeletOwner& owner : pod.owners) {
      selectors.Add("pod-owner", fmt::format("{}:{}", owner.kind, owner.name));
      selectors.Add("pod-owner-uid", fmt::format("{}:{}", owner.kind, owner.uid));
    }
  }
  if (wants("pod-image")) AddImages("pod-image", pod.containers, selectors);
  if (wants("pod-init-image")) AddImages("pod-init-image", pod.init_containers, selectors);
  selectors.Add("pod-image-count", fmt::to_string(pod.containers.size()));
  selectors.Add("pod-init-image-count", fmt::to_string(pod.init_containers.size()));
  selectors.Add("container-name", container.name);
  if (wants("container-image")) AddImages("container-image", {container}, selectors);
  return findings;
}

class Asking : public Attestor::Attempt {
 public:
  // Without an API server there are no labels of namespaces.
  Asking(std::shared_ptr<const Subject> subject, EventLoop& loop, ApiServer* api_server, Attestor::Done done)
      : subject_(std::move(subject)), loop_(loop), api_server_(api_server), done_(std::move(done)) {}

  void Ask(Kubelet& kubelet, const ContainerName& name) {
    kubelet_ = &kubelet;
    name_ = name;
    pod_ = kubelet.Find(name, [this](Result<Kubelet::Answer> answer) {
      if (!answer.ok()) return Finish(answer.status());
      OnPod(answer->place);
    });
  }

  void FinishLater(Result<Findings> findings) {
    loop_.Post([this, findings = std::move(findings), alive = std::weak_ptr<int>(alive_)]() mutable {
      if (!alive.expired()) Finish(std::move(findings));
    });
  }

  std::optional<Findings> SoFar() const override {
    if (labels_ != nullptr) {
      Findings so_far = findings_;
      ContainerSelectors(kType, so_far).AddGap(kNamespaceLabel, api_server_->Late(namespace_));
      return so_far;
    }
    const Status late =
        kubelet_ != nullptr ? kubelet_->Late(name_) : Error(StatusCode::kDeadlineExceeded, "not found out in time");
    return Findings{.selectors = {}, .gaps = {{std::string(kType), late}}};
  }

 private:
  void OnPod(const KubeletPods::Place& place) {
    findings_ = SelectorsOf(place, subject_->wanted());
    if (place.pod == nullptr || api_server_ == nullptr || !subject_->wanted().Has(kType, kNamespaceLabel))
      return Finish(std::move(findings_));
    namespace_ = place.pod->name_space;
    if (const auto known = api_server_->Cached(namespace_)) return OnLabels(known);
    labels_ = api_server_->FindLabels(namespace_,
                                      [this](const Result<ApiServer::Cache::FactsPtr>& labels) { OnLabels(labels); });
  }

  void OnLabels(const Result<ApiServer::Cache::FactsPtr>& labels) {
    ContainerSelectors selectors(kType, findings_);
    if (labels.ok()) {
      selectors.AddLabels(kNamespaceLabel, **labels);
    } else {
      selectors.AddGap(kNamespaceLabel, labels.status());
    }
    Finish(std::move(findings_));
  }

  // May destroy this.
  void Finish(Result<Findings> findings) {
    Attestor::Done done = std::move(done_);
    std::move(done)(std::move(findings));
  }

  const std::shared_ptr<const Subject> subject_;
  EventLoop& loop_;
  ApiServer* const api_server_;  // null: not asked
  Attestor::Done done_;
  const Kubelet* kubelet_ = nullptr;
  ContainerName name_;
  std::unique_ptr<Kubelet::Ticket> pod_;
  Findings findings_;  // what the kubelet said
  std::string namespace_;
  std::unique_ptr<ApiServer::Cache::Ticket> labels_;  // null: not asked yet
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

KubeletOptions KubeletOf(const KubernetesOptions& options) {
  KubeletOptions kubelet{.server = {}, .token_path = {}, .node_name = options.node_name, .refresh = options.refresh};
  if (options.read_only_port) {
    kubelet.server = TcpServer{options.address, *options.read_only_port, std::nullopt};
    return kubelet;
  }
  TlsSettings tls{.ca_file = options.ca_path,
                  .server_name = options.node_name,
                  .certificate_file = {},
                  .key_file = {},
                  .skip_verification = options.skip_verification};
  if (!options.cert_path.empty()) {
    tls.certificate_file = options.cert_path;
    tls.key_file = options.key_path;
  } else if (!options.anonymous) {
    kubelet.token_path = options.token_path;
  }
  kubelet.server = TcpServer{options.address, options.port, std::move(tls)};
  return kubelet;
}

ApiServerOptions ApiServerOf(const KubernetesOptions& options) {
  TlsSettings tls{
      .ca_file = options.api_ca_path, .server_name = options.api_address, .certificate_file = {}, .key_file = {}};
  return {.server = TcpServer{options.api_address, options.api_port, std::move(tls)},
          .token_path = options.api_token_path,
          .refresh = options.refresh};
}

class KubernetesAttestor : public Attestor {
 public:
  KubernetesAttestor(const KubernetesOptions& options, HostTools& tools, Clock& clock)
      : limit_(options.timeout), tools_(tools), kubelet_(KubeletOf(options), tools, clock) {
    if (!options.api_address.empty()) api_server_.emplace(ApiServerOf(options), tools, clock);
    kubelet_.Probe();
  }

  std::string_view type() const override { return kType; }
  std::optional<std::chrono::milliseconds> service_limit() const override { return limit_; }
  Status health() const override {
    if (!kubelet_.health().ok() || !api_server_) return kubelet_.health();
    return api_server_->health();
  }

  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline /*deadline*/, Done done) override {
    const Result<ContainerName> name = FindContainer(*subject, tools_.mounts);
    auto attempt = std::make_unique<Asking>(std::move(subject), tools_.loop, api_server_ ? &*api_server_ : nullptr,
                                            std::move(done));
    if (!name.ok()) {
      attempt->FinishLater(name.status());
    } else if (!name->found()) {
      attempt->FinishLater(Findings());
    } else {
      attempt->Ask(kubelet_, *name);
    }
    return attempt;
  }

 private:
  const std::chrono::milliseconds limit_;
  HostTools& tools_;
  Kubelet kubelet_;
  std::optional<ApiServer> api_server_;
};

}  // namespace

Status CheckKubeletPeer(const KubernetesOptions& options) {
  return Annotate(CheckPeer(KubeletOf(options).server), "kubelet");
}

Status CheckApiServerPeer(const KubernetesOptions& options) {
  return Annotate(CheckPeer(ApiServerOf(options).server), "api_server");
}

Status CheckKubernetesAttestor() {
  return Annotate(HttpClient::Available(), "attestors.kubernetes");
}

std::unique_ptr<Attestor> MakeKubernetesAttestor(const KubernetesOptions& options, HostTools& tools, Clock& clock) {
  return std::make_unique<KubernetesAttestor>(options, tools, clock);
}

}  // namespace lanyard
