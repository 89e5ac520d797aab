#include "attestors/containerd_attestor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "attestors/answer_cache.h"
#include "attestors/container_finder.h"
#include "attestors/container_selectors.h"
#include "attestors/cri_answer.h"
#include "attestors/cri_client.h"
#include "attestors/engine_mounts.h"

namespace lanyard {
namespace {

constexpr std::string_view kType = "containerd";
constexpr std::chrono::milliseconds kLookAgain{50};

// No value: the runtime does not know the container.
using Known = std::optional<CriContainer>;
using Containers = AnswerCache<Known>;
using ImageDigests = AnswerCache<std::string>;

// Which container, and in which detail: the key of what is kept.
struct ContainerKey {
  static constexpr std::string_view kVerboseMark = "+env";

  static std::string Make(const std::string& id, CriDetail detail) {
    return detail == CriDetail::kVerbose ? id + std::string(kVerboseMark) : id;
  }
  explicit ContainerKey(std::string_view key)
      : detail(key.ends_with(kVerboseMark) ? CriDetail::kVerbose : CriDetail::kPlain),
        id(detail == CriDetail::kVerbose ? key.substr(0, key.size() - kVerboseMark.size()) : key) {}

  CriDetail detail;
  std::string id;
};

// Asks about one container until it is known whether it runs, and reads the answer in the pool: it may be long, and it
// names paths that have to be looked at.
class ContainerLookup {
 public:
  ContainerLookup(CriClient& client, BlockingJobs& jobs, Clock& clock, ContainerKey key, Deadline deadline,
                  Containers::Found found)
      : client_(client),
        jobs_(jobs),
        clock_(clock),
        key_(std::move(key)),
        deadline_(deadline),
        found_(std::move(found)) {
    Ask();
  }

 private:
  void Ask() {
    cri::ContainerStatusRequest request;
    request.set_container_id(key_.id);
    request.set_verbose(key_.detail == CriDetail::kVerbose);
    call_ = client_.ContainerStatus(std::move(request), deadline_, [this](Result<cri::ContainerStatusResponse> answer) {
      if (answer.ok()) {
        Read(*std::move(answer));
      } else if (answer.status().code() == StatusCode::kNotFound) {
        Finish(Known());
      } else {
        Finish(answer.status());
      }
    });
  }

  void Read(cri::ContainerStatusResponse answer) {
    auto result = std::make_shared<Result<Known>>(Known());
    job_ = jobs_.Submit(
        BlockingJobs::OfContainer(key_.id),
        [answer = std::move(answer), key = key_, socket = client_.socket_path(), result]() mutable {
          *result = ReadCriContainer(std::move(answer), key.id, key.detail);
          if (!result->ok() || !result->value()) return;
          const Status apart = CheckMountsDoNotReach({&socket, 1}, (*result)->value().mounted_host_paths);
          if (!apart.ok()) *result = apart;
        },
        [this, result] {
          if (!result->ok()) {
            Finish(result->status());
          } else if (result->value()) {
            Finish(std::move(**result));
          } else {
            OnNotStarted();
          }
        });
  }

  void OnNotStarted() {
    if (clock_.MonoNow() + kLookAgain >= deadline_) {
      Finish(Error(StatusCode::kUnavailable, "the runtime has not started it"));
      return;
    }
    alarm_ = clock_.CallAfter(kLookAgain, [this] { Ask(); });
  }

  // May destroy this.
  void Finish(Result<Known> known) {
    Containers::Found found = std::move(found_);
    if (!known.ok()) known = Annotate(known.status(), "container {}", std::string_view(key_.id).substr(0, 12));
    std::move(found)(std::move(known));
  }

  CriClient& client_;
  BlockingJobs& jobs_;
  Clock& clock_;
  const ContainerKey key_;
  const Deadline deadline_;
  Containers::Found found_;
  std::unique_ptr<CriClient::Ticket> call_;
  std::unique_ptr<BlockingJobs::Ticket> job_;
  std::unique_ptr<Clock::Alarm> alarm_;
};

class ContainerdAttestor : public Attestor {
 public:
  ContainerdAttestor(const ContainerdOptions& options, HostTools& tools, Clock& clock)
      : tools_(tools),
        clock_(clock),
        limit_(options.timeout),
        client_(tools.loop, clock, options.socket),
        containers_(clock,
                    [this](const std::string& key, Containers::Found found) {
                      return std::make_shared<ContainerLookup>(client_, tools_.jobs, clock_, ContainerKey(key),
                                                               clock_.MonoNow() + limit_, std::move(found));
                    }),
        digests_(clock, [this](const std::string& image, ImageDigests::Found found) {
          return AskForImage(image, std::move(found));
        }) {}

  std::string_view type() const override { return kType; }
  std::optional<std::chrono::milliseconds> service_limit() const override { return limit_; }

  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline deadline, Done done) override;

 private:
  class Asking;

  std::shared_ptr<void> AskForImage(const std::string& image, ImageDigests::Found found) {
    cri::ImageStatusRequest request;
    request.mutable_image()->set_image(image);
    return client_.ImageStatus(
        std::move(request), clock_.MonoNow() + limit_,
        [found = std::move(found)](Result<cri::ImageStatusResponse> answer) mutable {
          std::move(found)(answer.ok() ? ReadCriImageDigest(*answer) : Result<std::string>(answer.status()));
        });
  }

  HostTools& tools_;
  Clock& clock_;
  const std::chrono::milliseconds limit_;
  CriClient client_;
  Containers containers_;
  ImageDigests digests_;
};

// The container first, then its image.
class ContainerdAttestor::Asking : public Attempt {
 public:
  Asking(ContainerdAttestor& attestor, std::shared_ptr<const Subject> subject, Done done)
      : attestor_(attestor), subject_(std::move(subject)), done_(std::move(done)) {}

  void Start() {
    const Result<ContainerName>& name = FindContainer(*subject_, attestor_.tools_.mounts);
    if (!name.ok()) return FinishLater(name.status());
    if (!name->found()) return FinishLater(OkStatus());
    const std::string key =
        ContainerKey::Make(name->container_id, Wants("env") ? CriDetail::kVerbose : CriDetail::kPlain);
    if (const auto kept = attestor_.containers_.Cached(key)) return OnContainer(kept);
    container_ = attestor_.containers_.Find(key, [this](Result<Containers::FactsPtr> answer) {
      if (answer.ok()) {
        OnContainer(*answer);
      } else {
        FinishLater(answer.status());
      }
    });
  }

  std::optional<Findings> SoFar() const override {
    if (!image_) return std::nullopt;  // nothing is known yet
    Findings so_far = findings_;
    ContainerSelectors(kType, so_far)
        .AddGap("image_config_digest",
                Error(StatusCode::kDeadlineExceeded, "the runtime did not describe its image in time"));
    return so_far;
  }

 private:
  bool Wants(std::string_view kind) const { return subject_->wanted().Has(kType, kind); }

  void OnContainer(const Containers::FactsPtr& known) {
    const std::optional<CriContainer>& found = *known;
    if (!found) return FinishLater(OkStatus());
    const CriContainer& container = *found;
    if (Wants("label")) selectors_.AddLabels("label", container.labels);
    if (Wants("image_id")) selectors_.Add("image_id", container.image);
    if (Wants("env")) {
      if (container.environment.ok()) {
        selectors_.AddVariables(*container.environment);
      } else {
        selectors_.AddGap("env", container.environment.status());
      }
    }
    if (!Wants("image_config_digest")) return FinishLater(OkStatus());
    if (container.image_ref.empty()) {
      selectors_.AddGap("image_config_digest",
                        Error(StatusCode::kUnavailable, "the runtime does not say which image it is of"));
      return FinishLater(OkStatus());
    }
    if (const auto kept = attestor_.digests_.Cached(container.image_ref)) return OnDigest(*kept);
    image_ = attestor_.digests_.Find(container.image_ref, [this](Result<ImageDigests::FactsPtr> digest) {
      if (digest.ok()) return OnDigest(**digest);
      selectors_.AddGap("image_config_digest", digest.status());
      FinishLater(OkStatus());
    });
  }

  void OnDigest(const std::string& digest) {
    selectors_.Add("image_config_digest", digest);
    FinishLater(OkStatus());
  }

  void FinishLater(Status status) {
    attestor_.tools_.loop.Post([this, alive = std::weak_ptr<int>(alive_), status = std::move(status)] {
      if (alive.expired()) return;
      Done done = std::move(done_);
      std::move(done)(status.ok() ? Result<Findings>(std::move(findings_)) : Result<Findings>(status));
    });
  }

  ContainerdAttestor& attestor_;
  const std::shared_ptr<const Subject> subject_;
  Done done_;
  Findings findings_;
  ContainerSelectors selectors_{kType, findings_};
  std::unique_ptr<Containers::Ticket> container_;
  std::unique_ptr<ImageDigests::Ticket> image_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

std::unique_ptr<Attestor::Attempt> ContainerdAttestor::Attest(std::shared_ptr<const Subject> subject,
                                                              Deadline /*deadline*/, Done done) {
  auto attempt = std::make_unique<Asking>(*this, std::move(subject), std::move(done));
  attempt->Start();
  return attempt;
}

}  // namespace

std::unique_ptr<Attestor> MakeContainerdAttestor(const ContainerdOptions& options, HostTools& tools, Clock& clock) {
  return std::make_unique<ContainerdAttestor>(options, tools, clock);
}

}  // namespace lanyard
