#include "attestors/docker_attestor.h"

#include <optional>
#include <utility>

#include "attestors/container_finder.h"
#include "attestors/container_selectors.h"
#include "attestors/docker_engine.h"
#include "node_agent/base/http_client.h"

namespace lanyard {
namespace {

constexpr std::string_view kType = "docker";

Findings SelectorsOf(const DockerEngine::Facts& container, const WantedKinds& wanted) {
  Findings findings;
  if (!container) return findings;
  ContainerSelectors selectors(kType, findings);
  if (wanted.Has(kType, "label")) selectors.AddLabels("label", container->labels);
  if (wanted.Has(kType, "env")) selectors.AddVariables(container->env);
  if (wanted.Has(kType, "image_id")) selectors.Add("image_id", container->image);
  if (wanted.Has(kType, "image_config_digest")) selectors.Add("image_config_digest", container->image_digest);
  return findings;
}

// podman calls the cgroups of its containers libpod-ID, or puts them below one called libpod.
bool IsPodmans(const ContainerName& name) {
  const std::string_view named = std::string_view(name.cgroup_path).substr(0, name.name_end);
  return named.find("libpod-") != std::string_view::npos || named.find("/libpod/") != std::string_view::npos;
}

class Inspecting : public Attestor::Attempt {
 public:
  using Answer = Result<DockerEngine::Cache::FactsPtr>;

  Inspecting(std::shared_ptr<const Subject> subject, EventLoop& loop, Attestor::Done done)
      : subject_(std::move(subject)), loop_(loop), done_(std::move(done)) {}

  void Ask(DockerEngine& engine, const std::string& container_id) {
    const auto env = subject_->wanted().Has(kType, "env") ? DockerEngine::Env::kWanted : DockerEngine::Env::kNotWanted;
    if (auto known = engine.Cached(container_id, env)) return FinishLater(std::move(known));
    late_ = engine.Late(container_id);
    ticket_ = engine.Find(container_id, env, [this](const Answer& answer) { Finish(answer); });
  }

  void FinishLater(Answer answer) {
    loop_.Post([this, answer = std::move(answer), alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) Finish(answer);
    });
  }

  std::optional<Findings> SoFar() const override {
    return Findings{.selectors = {}, .gaps = {{std::string(kType), late_}}};
  }

 private:
  // May destroy this.
  void Finish(const Answer& answer) {
    Attestor::Done done = std::move(done_);
    if (!answer.ok()) return std::move(done)(answer.status());
    std::move(done)(SelectorsOf(**answer, subject_->wanted()));
  }

  const std::shared_ptr<const Subject> subject_;
  EventLoop& loop_;
  Attestor::Done done_;
  Status late_ = Error(StatusCode::kDeadlineExceeded, "not found out in time");
  std::unique_ptr<DockerEngine::Cache::Ticket> ticket_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

class DockerAttestor : public Attestor {
 public:
  DockerAttestor(const DockerOptions& options, HostTools& tools, Clock& clock)
      : limit_(options.timeout),
        tools_(tools),
        docker_({"Docker", options.socket, options.timeout, {options.socket, options.podman_socket}}, tools, clock),
        podman_({"podman's system service",
                 options.podman_socket,
                 options.timeout,
                 {options.socket, options.podman_socket}},
                tools, clock) {}

  std::string_view type() const override { return kType; }
  std::optional<std::chrono::milliseconds> service_limit() const override { return limit_; }

  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline /*deadline*/, Done done) override {
    const Result<ContainerName> name = FindContainer(*subject, tools_.mounts);
    auto attempt = std::make_unique<Inspecting>(std::move(subject), tools_.loop, std::move(done));
    if (!name.ok()) {
      attempt->FinishLater(name.status());
    } else if (!name->found()) {
      attempt->FinishLater(std::make_shared<const DockerEngine::Facts>());
    } else {
      attempt->Ask(IsPodmans(*name) ? podman_ : docker_, name->container_id);
    }
    return attempt;
  }

 private:
  const std::chrono::milliseconds limit_;
  HostTools& tools_;
  DockerEngine docker_;
  DockerEngine podman_;
};

}  // namespace

Status CheckDockerAttestor() {
  return Annotate(HttpClient::Available(), "attestors.docker");
}

std::unique_ptr<Attestor> MakeDockerAttestor(const DockerOptions& options, HostTools& tools, Clock& clock) {
  return std::make_unique<DockerAttestor>(options, tools, clock);
}

}  // namespace lanyard
