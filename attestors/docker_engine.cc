#include "attestors/docker_engine.h"

#include <algorithm>
#include <utility>

#include "attestors/blocking_jobs.h"
#include "attestors/engine_mounts.h"

namespace lanyard {
namespace {

// An engine learns that a container runs a moment after the container's first process does.
constexpr int kLooks = 6;
constexpr std::chrono::milliseconds kFirstPause{10};  // doubled each time

// An answer up to this size is read on the loop: it takes less than the way to the pool and back does. Bytes.
constexpr size_t kReadAtOnce = size_t{32} << 10;

Status About(const std::string& id, const Status& why) {
  return Annotate(why, "inspect container {}…", std::string_view(id).substr(0, 12));
}

}  // namespace

// One lookup, in the hands of the cache.
class DockerEngine::Inspection {
 public:
  Inspection(DockerEngine& engine, std::string id, Env env, Cache::Found found)
      : engine_(engine),
        id_(std::move(id)),
        env_(env),
        deadline_(engine.clock_.MonoNow() + engine.options_.timeout),
        found_(std::move(found)) {}

  void Ask() {
    request_ = engine_.http_.Get(fmt::format("/containers/{}/json", id_), deadline_,
                                 [this](Result<HttpAnswer> answer) { OnAnswer(std::move(answer)); });
  }

 private:
  void OnAnswer(Result<HttpAnswer> answer) {
    const Options& options = engine_.options_;
    if (!answer.ok()) return Finish(Unreachable(answer.status()));
    if (answer->status == 404) return Finish(Facts());
    if (answer->status != 200)
      return Finish(Error(StatusCode::kUnavailable, "socket {}: {} answered with HTTP status {}; see its log",
                          options.socket, options.name, answer->status));
    if (answer->body.size() > kReadAtOnce) return ReadInPool(std::move(answer->body));
    Result<DockerContainer> container = ReadDockerAnswer(answer->body, id_);
    if (!container.ok() || container->mounted.empty()) return OnRead(std::move(container));
    CheckInPool(*std::move(container));
  }

  void ReadInPool(WipedString answer) {
    auto body = std::make_shared<const WipedString>(std::move(answer));
    InPool([body = std::move(body), id = id_, sockets = engine_.options_.dangerous_sockets]() mutable {
      const auto read = std::move(body);
      return Checked(ReadDockerAnswer(*read, id), sockets);
    });
  }

  void CheckInPool(DockerContainer container) {
    InPool([container = std::move(container), sockets = engine_.options_.dangerous_sockets]() mutable {
      return Checked(std::move(container), sockets);
    });
  }

  static Result<DockerContainer> Checked(Result<DockerContainer> container, const std::vector<std::string>& sockets) {
    if (container.ok()) RETURN_IF_ERROR(CheckMountsDoNotReach(sockets, container->mounted));
    return container;
  }

  void InPool(absl::AnyInvocable<Result<DockerContainer>()> work) {
    auto result = std::make_shared<Result<DockerContainer>>(DockerContainer{});
    job_ = engine_.tools_.jobs.Submit(
        BlockingJobs::OfContainer(id_), [work = std::move(work), result]() mutable { *result = work(); },
        [this, result] { OnRead(std::move(*result)); });
  }

  void OnRead(Result<DockerContainer> container) {
    if (!container.ok()) return Finish(container.status());
    if (env_ == Env::kNotWanted) container->env.clear();
    if (container->running) return Finish(Facts(*std::move(container)));
    if (++looks_ == kLooks)
      return Finish(Error(StatusCode::kFailedPrecondition, "{} says that it does not run", engine_.options_.name));
    pause_ = engine_.clock_.CallAfter(kFirstPause * (1 << looks_), [this] { Ask(); });
  }

  Status Unreachable(const Status& why) const {
    if (why.code() != StatusCode::kNotFound && why.code() != StatusCode::kUnavailable) return why;
    return Error(StatusCode::kUnavailable, "{}; is {} running, and may the node agent reach it?", Message(why),
                 engine_.options_.name);
  }

  // Destroys this.
  void Finish(Result<Facts> facts) {
    if (!facts.ok()) facts = About(id_, facts.status());
    Cache::Found found = std::move(found_);
    std::move(found)(std::move(facts));
  }

  DockerEngine& engine_;
  const std::string id_;
  const Env env_;
  const Deadline deadline_;
  Cache::Found found_;
  int looks_ = 0;
  std::unique_ptr<HttpClient::Request> request_;
  std::unique_ptr<BlockingJobs::Ticket> job_;
  std::unique_ptr<Clock::Alarm> pause_;
};

DockerEngine::DockerEngine(Options options, HostTools& tools, Clock& clock)
    : options_(std::move(options)),
      tools_(tools),
      clock_(clock),
      http_(tools.loop, clock, {.server = UnixServer{options_.socket}, .max_body_bytes = kMaxDockerAnswer}),
      with_env_(clock, Inspect(Env::kWanted)),
      without_env_(clock, Inspect(Env::kNotWanted)) {}

DockerEngine::Cache::LookUp DockerEngine::Inspect(Env env) {
  return [this, env](const std::string& id, Cache::Found found) -> std::shared_ptr<void> {
    auto inspection = std::make_shared<Inspection>(*this, id, env, std::move(found));
    inspection->Ask();
    return inspection;
  };
}

DockerEngine::Cache::FactsPtr DockerEngine::Cached(const std::string& id, Env env) const {
  auto facts = with_env_.Cached(id);  // does for those who do not want them
  return facts == nullptr && env == Env::kNotWanted ? without_env_.Cached(id) : facts;
}

std::unique_ptr<DockerEngine::Cache::Ticket> DockerEngine::Find(const std::string& id, Env env, Cache::Done done) {
  return (env == Env::kWanted ? with_env_ : without_env_).Find(id, std::move(done));
}

Status DockerEngine::Late(const std::string& id) const {
  return About(id, Error(StatusCode::kDeadlineExceeded, "socket {}: {} has not answered in time", options_.socket,
                         options_.name));
}

}  // namespace lanyard
