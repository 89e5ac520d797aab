#include "attestors/api_server.h"

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

constexpr std::chrono::seconds kRequestTimeout{5};
constexpr std::chrono::minutes kFailureIsNews{1};
constexpr unsigned kConnections = 2;

std::string PathOf(std::string_view name) {
  return fmt::format("/api/v1/namespaces/{}", name);
}

// A label as in RFC 1123, as names of namespaces are: nothing that would be another path.
bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

Status About(const Status& why) {
  return Annotate(why, "ask the API server");
}

}  // namespace

// One lookup, in the hands of the cache.
class ApiServer::Inspection {
 public:
  Inspection(ApiServer& server, std::string name, Cache::Found found)
      : server_(server), name_(std::move(name)), found_(std::move(found)) {}

  void Ask() {
    if (!IsName(name_)) return FinishLater(Error(StatusCode::kInvalidArgument, "no namespace can have such a name"));
    auto labels = std::make_shared<NamespaceLabels>();
    request_ = server_.server_.Get(
        PathOf(name_), server_.clock_.MonoNow() + kRequestTimeout,
        [labels, name = name_](WipedString& answer) -> Status {
          ASSIGN_OR_RETURN(*labels, ReadNamespaceAnswer(answer, name));
          return OkStatus();
        },
        [this, labels](const Status& status) {
          Finish(status.ok() ? Result<NamespaceLabels>(std::move(*labels)) : Result<NamespaceLabels>(status));
        });
  }

 private:
  void FinishLater(Status why) {
    server_.tools_.loop.Post([this, why = std::move(why), alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) Finish(why);
    });
  }

  // Destroys this.
  void Finish(Result<NamespaceLabels> labels) {
    if (!labels.ok()) labels = About(labels.status());
    server_.last_failure_ = labels.status();
    server_.failed_at_ = server_.clock_.MonoNow();
    Cache::Found found = std::move(found_);
    std::move(found)(std::move(labels));
  }

  ApiServer& server_;
  const std::string name_;
  Cache::Found found_;
  std::unique_ptr<KubernetesServer::Request> request_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

ApiServer::ApiServer(const ApiServerOptions& options, HostTools& tools, Clock& clock)
    : tools_(tools),
      clock_(clock),
      server_({.peer = options.server,
               .token_path = options.token_path,
               .right = "get namespaces",
               .max_answer_bytes = kMaxNamespaceAnswer,
               .connections = kConnections},
              tools, clock),
      labels_(clock,
              [this](const std::string& name, Cache::Found found) -> std::shared_ptr<void> {
                auto inspection = std::make_shared<Inspection>(*this, name, std::move(found));
                inspection->Ask();
                return inspection;
              },
              {.keep = options.refresh}) {}

ApiServer::Cache::FactsPtr ApiServer::Cached(const std::string& name) const {
  return labels_.Cached(name);
}

std::unique_ptr<ApiServer::Cache::Ticket> ApiServer::FindLabels(const std::string& name, Cache::Done done) {
  return labels_.Find(name, std::move(done));
}

Status ApiServer::Late(const std::string& name) const {
  return About(server_.Named(PathOf(name), Error(StatusCode::kDeadlineExceeded, "it has not answered in time")));
}

Status ApiServer::health() const {
  if (clock_.MonoNow() - failed_at_ >= kFailureIsNews) return OkStatus();
  return Annotate(last_failure_, "labels of namespaces (k8s:ns-label)");
}

}  // namespace lanyard
