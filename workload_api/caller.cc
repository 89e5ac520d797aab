#include "workload_api/caller.h"

#include <string>

namespace lanyard {
namespace {

std::string Describe(const Findings& findings) {
  std::string text;
  for (const Selector& selector : findings.selectors)
    text += fmt::format("{}{}", text.empty() ? "" : " ", selector.str());
  for (const Gap& gap : findings.gaps)
    text += fmt::format("; {} could not be found out: {}", gap.prefix, Message(gap.why));
  return text;
}

}  // namespace

Result<Entries> Decide(const Findings& findings, const Registry& registry) {
  Verdicts verdicts = registry.Match(findings);
  if (!verdicts.undetermined.empty()) {
    // Fewer identities than the caller may be entitled to would be a wrong answer that looks like a right one.
    const Gap& gap = findings.gaps[verdicts.undetermined.front().gap];
    return Error(StatusCode::kUnavailable, "could not find out {}: {}", gap.prefix, Message(gap.why));
  }
  if (verdicts.earned.empty()) {
    // SPIFFE_Workload_API §5.2.1: a caller without an identity is told PermissionDenied.
    return Error(StatusCode::kPermissionDenied, "no identity issued: no registration entry matches this process");
  }
  return std::move(verdicts.earned);
}

Caller::Caller(CallerServices& services, const Call& call)
    : services_(services), call_(call), correlation_id_(services.access.NewCorrelationId()) {}

void Caller::Identify(Done done) {
  const Deadline deadline = services_.clock.MonoNow() + services_.attestation_timeout;
  attestation_ = services_.attestors.Attest(call_.connection()->peer, deadline,
                                            [this, done = std::move(done)](Result<Findings> findings) mutable {
                                              std::unique_ptr<Attestation> finished = std::move(attestation_);
                                              if (!findings.ok()) {
                                                services_.access.Deny(NewRecord(), findings.status(), "");
                                                return std::move(done)(findings.status());
                                              }
                                              findings_ = std::make_unique<const Findings>(*std::move(findings));
                                              std::move(done)(Reconsider());
                                            });
}

Result<Entries> Caller::Reconsider() {
  const std::shared_ptr<const Registry> registry = services_.registry.registry();
  revision_ = registry->revision();
  Result<Entries> entries = Decide(*findings_, *registry);
  if (!entries.ok()) services_.access.Deny(NewRecord(), entries.status(), Describe(*findings_));
  return entries;
}

AuditRecord Caller::NewRecord() const {
  const PeerProcess& peer = call_.connection()->peer;
  AuditRecord record{.kind = AuditKind::kFetch,
                     .caller = AuditCaller{.pid = peer.process->pid(), .uid = peer.uid, .selectors = {}},
                     .resource = std::string(call_.method()),
                     .correlation_id = correlation_id_};
  if (findings_) {
    for (const Selector& selector : findings_->selectors) record.caller->selectors.push_back(selector.str());
    record.policy = AuditPolicy{.engine = "registry", .revision = revision_};
  }
  return record;
}

}  // namespace lanyard
