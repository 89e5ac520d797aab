#include "workload_api/identity_limits.h"

#include <algorithm>

namespace lanyard {

struct IdentityLimits::Use {
  std::string id;
  size_t open = 0;
  TokenBucket rate;
};

IdentityLimits::Ticket& IdentityLimits::Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    Release();
    uses_ = std::move(other.uses_);
    other.uses_.clear();
  }
  return *this;
}

void IdentityLimits::Ticket::Release() {
  for (const std::shared_ptr<Use>& use : uses_) --use->open;
  uses_.clear();
}

Result<IdentityLimits::Ticket> IdentityLimits::Admit(const std::vector<EntryPtr>& entries) {
  const MonoTime now = clock_.MonoNow();
  const std::vector<std::shared_ptr<Use>> uses = Find(entries);
  for (const std::shared_ptr<Use>& use : uses) {
    if (use->open >= settings_.streams)
      return Refuse(IdentityLimit::kStreams, use->id, "calls open at once", settings_.streams);
    if (!use->rate.HasOne(rate(), now))
      return Refuse(IdentityLimit::kCallRate, use->id, "calls a second", settings_.calls_per_second);
  }
  for (const std::shared_ptr<Use>& use : uses) use->rate.Take(rate(), now);
  return Hold(entries);
}

IdentityLimits::Ticket IdentityLimits::Hold(const std::vector<EntryPtr>& entries) {
  Ticket ticket;
  ticket.uses_ = Find(entries);
  for (const std::shared_ptr<Use>& use : ticket.uses_) ++use->open;
  return ticket;
}

// Each identity once, although two entries may give the same one.
std::vector<std::shared_ptr<IdentityLimits::Use>> IdentityLimits::Find(const std::vector<EntryPtr>& entries) {
  if (uses_.size() >= forget_at_) {
    std::erase_if(uses_, [this](const auto& use) {
      return use.second->open == 0 && use.second->rate.IsFull(rate(), clock_.MonoNow());
    });
    forget_at_ = std::max<size_t>(64, uses_.size() * 2);
  }
  std::vector<std::shared_ptr<Use>> found;
  for (const EntryPtr& entry : entries) {
    const std::string& id = entry->id.str();
    std::shared_ptr<Use>& use = uses_[id];
    if (use == nullptr) {
      use = std::make_shared<Use>();
      use->id = id;
    }
    if (std::find(found.begin(), found.end(), use) == found.end()) found.push_back(use);
  }
  return found;
}

Status IdentityLimits::Refuse(IdentityLimit limit, const std::string& id, std::string_view what, unsigned most) {
  const auto index = static_cast<size_t>(limit);
  ++refused_[index];
  return Error(StatusCode::kUnavailable, "too many: {} has reached its limit of {} {} (limits.per_identity.{})", id,
               most, what, kIdentityLimitNames[index]);
}

}  // namespace lanyard
