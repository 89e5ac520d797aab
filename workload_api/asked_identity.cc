#include "workload_api/asked_identity.h"

#include <string>
#include <utility>
#include <vector>

namespace lanyard {

Result<AskedIdentity> AskedIdentity::Parse(std::string_view field) {
  AskedIdentity asked;
  if (field.empty()) return asked;
  Result<SpiffeId> id = SpiffeId::Parse(field);
  if (!id.ok()) return Error(StatusCode::kInvalidArgument, "the field spiffe_id: {}", Message(id.status()));
  asked.id_ = *std::move(id);
  return asked;
}

Result<Entries> AskedIdentity::Among(Entries earned) const {
  if (!id_) return earned;
  std::erase_if(earned, [this](const EntryPtr& entry) { return entry->id != *id_; });
  if (earned.empty()) {
    return Error(StatusCode::kPermissionDenied, "no identity issued: this process does not earn {}", id_->str());
  }
  return earned;
}

}  // namespace lanyard
