#include "attestors/kubernetes_server.h"

#include <string_view>
#include <utility>

#include "attestors/blocking_jobs.h"
#include "node_agent/base/file_trust.h"
#include "node_agent/base/printable.h"

namespace lanyard {
namespace {

constexpr size_t kMaxToken = size_t{64} << 10;
constexpr size_t kShownOfRefusal = 256;

}  // namespace

class KubernetesServer::Asking : public Request {
 public:
  Asking(KubernetesServer& server, std::string path, Deadline deadline, Reader read, Done done)
      : server_(server),
        path_(std::move(path)),
        deadline_(deadline),
        read_(std::make_shared<Reader>(std::move(read))),
        done_(std::move(done)) {}

  void Start() {
    const std::string& token_path = server_.options_.token_path;
    if (token_path.empty()) return Ask(nullptr);
    auto token = std::make_shared<Result<WipedString>>(WipedString());
    InPool(
        "its token", [token, token_path] { *token = ReadTrustedSecret(token_path, kMaxToken); },
        [this, token] {
          if (!token->ok()) return Finish(Annotate(token->status(), "read the token for it"));
          while (!(*token)->empty() && (*token)->back() == '\n') (*token)->pop_back();
          Ask(&**token);
        });
  }

 private:
  void Ask(const WipedString* token) {
    auto on_answer = [this](Result<HttpAnswer> answer) { OnAnswer(std::move(answer)); };
    request_ = token == nullptr ? server_.http_.Get(path_, deadline_, std::move(on_answer))
                                : server_.http_.Get(path_, *token, deadline_, std::move(on_answer));
  }

  void OnAnswer(Result<HttpAnswer> answer) {
    if (!answer.ok()) return Finish(answer.status());
    if (answer->status != 200) return Finish(server_.Named(path_, Refused(*answer)));
    auto body = std::make_shared<WipedString>(std::move(answer->body));
    auto status = std::make_shared<Status>();
    InPool(
        "the answer",
        [body, status, read = read_]() mutable {
          *status = (*read)(*body);
          body.reset();
        },
        [this, status] { Finish(status->ok() ? OkStatus() : server_.Named(path_, *status)); });
  }

  void InPool(std::string_view what, EventLoop::Task work, EventLoop::Task done) {
    alarm_ = server_.clock_.CallAt(deadline_, [this, what] {
      Finish(server_.Named(path_, Error(StatusCode::kDeadlineExceeded, "{} could not be read in time", what)));
    });
    job_ =
        server_.tools_.jobs.Submit(BlockingJobs::kKubelet, std::move(work), [this, done = std::move(done)]() mutable {
          alarm_.reset();
          done();
        });
  }

  Status Refused(const HttpAnswer& answer) const {
    std::string advice = "see its log";
    if (answer.status == 401) advice = "is the token or certificate one that it accepts?";
    if (answer.status == 403) advice = fmt::format("may this service account {}?", server_.options_.right);
    return Error(StatusCode::kUnavailable, "it refused with HTTP status {} ({}); {}", answer.status,
                 Printable(std::string_view(answer.body).substr(0, kShownOfRefusal)), advice);
  }

  // May destroy this.
  void Finish(const Status& status) {
    job_.reset();
    alarm_.reset();
    Done done = std::move(done_);
    std::move(done)(status);
  }

  KubernetesServer& server_;
  const std::string path_;
  const Deadline deadline_;
  const std::shared_ptr<Reader> read_;  // may still run in the pool when nobody waits any more
  Done done_;
  std::unique_ptr<Clock::Alarm> alarm_;  // while something is read
  std::unique_ptr<BlockingJobs::Ticket> job_;
  std::unique_ptr<HttpClient::Request> request_;
};

KubernetesServer::KubernetesServer(KubernetesServerOptions options, HostTools& tools, Clock& clock)
    : options_(std::move(options)),
      tools_(tools),
      clock_(clock),
      http_(
          tools.loop, clock,
          {.server = options_.peer, .max_body_bytes = options_.max_answer_bytes, .connections = options_.connections}) {
}

std::unique_ptr<KubernetesServer::Request> KubernetesServer::Get(std::string path, Deadline deadline, Reader read,
                                                                 Done done) {
  auto asking = std::make_unique<Asking>(*this, std::move(path), deadline, std::move(read), std::move(done));
  asking->Start();
  return asking;
}

Status KubernetesServer::Named(std::string_view path, const Status& why) const {
  return Annotate(why, "{}", PeerName(options_.peer, path));
}

}  // namespace lanyard
