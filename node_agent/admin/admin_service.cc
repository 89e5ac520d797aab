#include "node_agent/admin/admin_service.h"

#include <algorithm>
#include <utility>

#include "node_agent/admin/audit_tail.h"
#include "node_agent/admin/entry_message.h"
#include "node_agent/admin/proto/admin.pb.h"
#include "node_agent/base/log.h"
#include "node_agent/identity/disk_patience.h"

namespace lanyard {
namespace {

using google::protobuf::Message;

// A unary method whose answer is at hand.
template <class Request>
class Answer : public OneRequestHandler<Request> {
 public:
  using Function = std::function<void(const Request&, Call&)>;
  Answer(Call& call, const Function& function) : OneRequestHandler<Request>(call), function_(function) {}

 private:
  void OnRequest(Request request) override { function_(request, this->call()); }
  const Function& function_;  // the method table's
};

template <class Request>
HandlerFactory Unary(typename Answer<Request>::Function function) {
  return [function = std::move(function)](Call& call) { return std::make_unique<Answer<Request>>(call, function); };
}

void Reply(Call& call, const Message& message) {
  call.Reply(SerializeShared(message));
}

void SetTime(WallTime time, google::protobuf::Timestamp* message) {
  message->set_seconds(std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

admin::v1::CaPhase ToMessage(AuthorityPhase phase) {
  switch (phase) {
    case AuthorityPhase::kPrepared:
      return admin::v1::CA_PHASE_PREPARED;
    case AuthorityPhase::kActive:
      return admin::v1::CA_PHASE_ACTIVE;
    case AuthorityPhase::kRetired:
      break;
  }
  return admin::v1::CA_PHASE_RETIRED;
}

admin::v1::CaAuthority ToMessage(const AuthorityInfo& authority) {
  admin::v1::CaAuthority message;
  message.set_id(authority.id);
  message.set_phase(ToMessage(authority.phase));
  message.set_key_type(authority.key_type);
  SetTime(authority.not_before, message.mutable_not_before());
  SetTime(authority.not_after, message.mutable_not_after());
  if (authority.signs_from) SetTime(*authority.signs_from, message.mutable_signs_from());
  if (authority.keep_until) SetTime(*authority.keep_until, message.mutable_keep_until());
  message.set_source(authority.file);
  message.set_kind(std::string(SvidKindName(authority.kind)));
  return message;
}

admin::v1::HealthStatus ToMessage(HealthLevel level) {
  switch (level) {
    case HealthLevel::kGood:
      return admin::v1::HEALTH_STATUS_OK;
    case HealthLevel::kDegraded:
      return admin::v1::HEALTH_STATUS_DEGRADED;
    case HealthLevel::kBroken:
      break;
  }
  return admin::v1::HEALTH_STATUS_FAILING;
}

void GetHealth(const AdminServices& services, Call& call) {
  admin::v1::GetHealthResponse response;
  response.set_version(services.facts.version);
  response.set_trust_domain(services.facts.trust_domain);
  response.set_environment(services.facts.environment);
  response.mutable_uptime()->set_seconds(services.uptime().count());
  HealthLevel worst = HealthLevel::kGood;
  for (const HealthFinding& finding : services.findings()) {
    worst = std::max(worst, finding.level);
    admin::v1::Finding& message = *response.add_findings();
    message.set_component(finding.component);
    message.set_severity(ToMessage(finding.level));
    message.set_text(finding.text);
    message.set_remedy(finding.remedy);
  }
  response.set_status(ToMessage(worst));
  Reply(call, response);
}

void ShowCa(const AdminServices& services, Call& call) {
  admin::v1::ShowCaResponse response;
  response.set_trust_domain(services.facts.trust_domain);
  for (const AuthorityInfo& authority : services.ca.Show()) *response.add_authorities() = ToMessage(authority);
  if (auto bundle = services.ca.source().bundle()) response.set_bundle_pem(bundle->X509Pem());
  Reply(call, response);
}

void ListEntries(const AdminServices& services, const admin::v1::ListEntriesRequest& request, Call& call) {
  admin::v1::ListEntriesResponse response;
  const auto registry = services.registry.registry();
  for (const Registry::Item& item : registry->items()) {
    const std::string& id = item.entry->id.str();
    const std::string& wanted = request.spiffe_id();
    const bool below = !wanted.empty() && wanted.back() == '/' && id.starts_with(wanted);
    if (wanted.empty() || below || id == wanted) *response.add_entries() = ToMessage(item);
  }
  for (std::string& problem : services.registry.problems()) response.add_errors(std::move(problem));
  Reply(call, response);
}

void ShowEntry(const AdminServices& services, const admin::v1::ShowEntryRequest& request, Call& call) {
  admin::v1::ShowEntryResponse response;
  const auto registry = services.registry.registry();
  for (const Registry::Item& item : registry->items()) {
    if (item.entry->id.str() == request.spiffe_id()) *response.add_entries() = ToMessage(item);
  }
  if (response.entries().empty()) {
    return call.Finish(Error(StatusCode::kNotFound,
                             "no registration entry has the SPIFFE ID {}; lanyard registry list shows all",
                             request.spiffe_id()));
  }
  Reply(call, response);
}

// Rotating takes a disk write: the call may be gone when it is done.
class RotateCa : public OneRequestHandler<admin::v1::RotateCaRequest> {
 public:
  RotateCa(Call& call, AdminServices& services) : OneRequestHandler(call), services_(services) {}

 private:
  void OnRequest(admin::v1::RotateCaRequest) override {
    services_.audit.Append(AdminRecord(call().connection()->peer, call().method(), AuditDecision::kAllow),
                           WithinDiskPatience(services_.attest.clock,
                                              [alive = std::weak_ptr<RotateCa*>(self_)](const Status& status) {
                                                if (auto handler = alive.lock()) (*handler)->OnRecorded(status);
                                              }),
                           AuditSpace::kReserve);
  }

  void OnRecorded(const Status& status) {
    if (!status.ok()) return call().Finish(Annotate(status, "the CA is not rotated without a record of who asked"));
    const PeerProcess& peer = call().connection()->peer;
    LANYARD_LOG_INFO("rotation of the CA asked for by pid {} uid {}", peer.process->pid(), peer.uid);
    services_.ca.Rotate([alive = std::weak_ptr<RotateCa*>(self_)](const Status& rotated) {
      if (auto handler = alive.lock()) (*handler)->OnRotated(rotated);
    });
  }

  void OnRotated(const Status& status) {
    if (!status.ok()) return call().Finish(Annotate(status, "rotate the CA"));
    admin::v1::RotateCaResponse response;
    for (const AuthorityInfo& authority : services_.ca.Show()) *response.add_authorities() = ToMessage(authority);
    Reply(call(), response);
  }

  AdminServices& services_;
  std::shared_ptr<RotateCa*> self_ = std::make_shared<RotateCa*>(this);
};

void SetTheLogLevel(const admin::v1::SetLogLevelRequest& request, Call& call) {
  admin::v1::SetLogLevelResponse response;
  response.set_before(std::string(LogLevelName(CurrentLogLevel())));
  if (!request.level().empty()) {
    const auto level = ParseLogLevel(request.level());
    if (!level) {
      return call.Finish(Error(StatusCode::kInvalidArgument,
                               "unknown log level \"{}\"; valid are debug, info, warn and error", request.level()));
    }
    const PeerProcess& peer = call.connection()->peer;
    if (*level < CurrentLogLevel()) SetLogLevel(*level);  // of the two, the one that lets this line through
    LANYARD_LOG_WARN("log level is {} now, by word of pid {} uid {}", request.level(), peer.process->pid(), peer.uid);
    SetLogLevel(*level);
  }
  response.set_level(std::string(LogLevelName(CurrentLogLevel())));
  Reply(call, response);
}

// The same handler, with its call put on record first. Nobody waits: a full disk must not silence the agent.
HandlerFactory OnRecord(AdminServices& services, AuditSpace space, HandlerFactory factory) {
  return [&services, space, factory = std::move(factory)](Call& call) {
    services.audit.Append(AdminRecord(call.connection()->peer, call.method(), AuditDecision::kAllow), nullptr, space);
    return factory(call);
  };
}

}  // namespace

AuditRecord AdminRecord(const PeerProcess& peer, std::string_view method, AuditDecision decision) {
  return {.kind = AuditKind::kAdmin,
          .decision = decision,
          .caller = AuditCaller{.pid = peer.process->pid(), .uid = peer.uid, .selectors = {}},
          .action = std::string(method.substr(method.rfind('/') + 1))};
}

Methods AdminMethods(AdminServices& services) {
  const std::string prefix = "/lanyard.admin.v1.Admin/";
  Methods methods;
  methods[prefix + "GetHealth"] = Unary<admin::v1::GetHealthRequest>(
      [&services](const admin::v1::GetHealthRequest&, Call& call) { GetHealth(services, call); });
  methods[prefix + "ShowCa"] = Unary<admin::v1::ShowCaRequest>(
      [&services](const admin::v1::ShowCaRequest&, Call& call) { ShowCa(services, call); });
  methods[prefix + "ListEntries"] = Unary<admin::v1::ListEntriesRequest>(
      [&services](const admin::v1::ListEntriesRequest& request, Call& call) { ListEntries(services, request, call); });
  methods[prefix + "ShowEntry"] = Unary<admin::v1::ShowEntryRequest>(
      [&services](const admin::v1::ShowEntryRequest& request, Call& call) { ShowEntry(services, request, call); });
  methods[prefix + "AttestProcess"] = [&services](Call& call) { return MakeAttestProcess(call, services.attest); };
  methods[prefix + "TailAudit"] = [&services](Call& call) { return MakeAuditTail(call, services.audit); };
  // Monitoring asks all the time: what only looks must not eat the space that is kept for what changes something.
  for (auto& [name, factory] : methods) factory = OnRecord(services, AuditSpace::kNormal, std::move(factory));
  methods[prefix + "SetLogLevel"] =
      OnRecord(services, AuditSpace::kReserve, Unary<admin::v1::SetLogLevelRequest>(SetTheLogLevel));
  methods[prefix + "RotateCa"] = [&services](Call& call) { return std::make_unique<RotateCa>(call, services); };
  return methods;
}

}  // namespace lanyard
