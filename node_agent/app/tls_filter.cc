#include "node_agent/app/tls_filter.h"

#include <mutex>
#include <optional>
#include <utility>

namespace lanyard {
namespace {

class TlsFilter : public HttpFilter {
 public:
  explicit TlsFilter(TlsServerSession session) : session_(std::move(session)) {}

  Status Receive(std::string_view wire, std::string& plain, std::string& reply) override {
    return session_.Receive(wire, plain, reply);
  }
  Status SendLast(std::string_view plain, std::string& wire) override { return session_.SendLast(plain, wire); }

 private:
  TlsServerSession session_;
};

}  // namespace

// What the server's thread reads.
struct TlsSlot::Shared {
  std::mutex mutex;  // guards context
  std::optional<TlsServerContext> context;

  std::optional<TlsServerContext> Get() {
    const std::lock_guard lock(mutex);
    return context;
  }
};

TlsSlot::TlsSlot() : shared_(std::make_shared<Shared>()) {}

void TlsSlot::Set(TlsServerContext context) {
  const std::lock_guard lock(shared_->mutex);
  shared_->context.emplace(std::move(context));
}

bool TlsSlot::empty() const {
  return !shared_->Get().has_value();
}

HttpFilterFactory TlsSlot::filters() const {
  return [shared = shared_]() -> std::unique_ptr<HttpFilter> {
    const std::optional<TlsServerContext> context = shared->Get();
    if (!context) return nullptr;
    Result<TlsServerSession> session = TlsServerSession::Begin(*context);
    return session.ok() ? std::make_unique<TlsFilter>(*std::move(session)) : nullptr;
  };
}

}  // namespace lanyard
