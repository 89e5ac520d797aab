#include "workload_api/client/authorizer.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace lanyard {
namespace {

bool IsTaskOf(const SpiffeId& peer, const SpiffeId& agent) {
  constexpr std::string_view kTask = "/task/";
  if (peer.trust_domain() != agent.trust_domain() || !peer.path().starts_with(agent.path())) return false;
  std::string_view rest = peer.path().substr(agent.path().size());
  if (!rest.starts_with(kTask)) return false;
  rest.remove_prefix(kTask.size());
  return !rest.empty() && rest.find('/') == std::string_view::npos;
}

}  // namespace

Authorizer AuthorizeIf(std::function<bool(const SpiffeId&)> predicate, std::string what) {
  return [predicate = std::move(predicate), what = std::move(what)](const SpiffeId& peer) {
    return predicate(peer) ? OkStatus() : Error(StatusCode::kPermissionDenied, "only {} is expected here", what);
  };
}

Authorizer AuthorizeId(SpiffeId id) {
  std::string what = id.str();
  return AuthorizeIf([id = std::move(id)](const SpiffeId& peer) { return peer == id; }, std::move(what));
}

Authorizer AuthorizeOneOf(std::vector<SpiffeId> ids) {
  std::string what = fmt::format("one of {} SPIFFE IDs", ids.size());
  return AuthorizeIf(
      [ids = std::move(ids)](const SpiffeId& peer) { return std::find(ids.begin(), ids.end(), peer) != ids.end(); },
      std::move(what));
}

Authorizer AuthorizeAgentOrTask(SpiffeId agent) {
  std::string what = fmt::format("{} or a task of it", agent.str());
  return AuthorizeIf(
      [agent = std::move(agent)](const SpiffeId& peer) { return peer == agent || IsTaskOf(peer, agent); },
      std::move(what));
}

Authorizer AuthorizeMemberOf(TrustDomain trust_domain) {
  std::string what = fmt::format("a member of {}", trust_domain.name());
  return AuthorizeIf(
      [trust_domain = std::move(trust_domain)](const SpiffeId& peer) { return peer.MemberOf(trust_domain); },
      std::move(what));
}

}  // namespace lanyard
