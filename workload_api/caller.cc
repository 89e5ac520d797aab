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
  Attest(services_.registry.registry()->wanted(), NewDeadline(), std::move(done));
}

void Caller::Attest(WantedKindsPtr wanted, Deadline deadline, Done done) {
  auto finish = [this, wanted, deadline, done = std::move(done)](Result<Findings> findings) mutable {
    const std::unique_ptr<Attestation> finished = std::move(attestation_);
    if (!findings.ok()) {
      services_.access.Deny(NewRecord(), findings.status(), "");
      return std::move(done)(findings.status());
    }
    findings_ = std::make_unique<const Findings>(*std::move(findings));
    wanted_ = wanted;
    const std::shared_ptr<const Registry> registry = services_.registry.registry();
    if (!wanted->Covers(*registry->wanted())) return Attest(registry->wanted(), deadline, std::move(done));
    Result<Entries> entries = Match(*registry);
    if (entries.status().code() == StatusCode::kPermissionDenied && !wanted->Covers(*WantedKinds::All()))
      return Attest(WantedKinds::All(), deadline, std::move(done));
    if (!entries.ok()) services_.access.Deny(NewRecord(), entries.status(), Describe(*findings_));
    std::move(done)(std::move(entries));
  };
  attestation_ = services_.attestors.Attest(call_.connection()->peer, deadline, std::move(finish), std::move(wanted));
}

Result<Entries> Caller::Match(const Registry& registry) {
  revision_ = registry.revision();
  return Decide(*findings_, registry);
}

void Caller::Reconsider(Done done) {
  if (attestation_ != nullptr) return;  // it will be decided by what the registry is then
  const std::shared_ptr<const Registry> registry = services_.registry.registry();
  if (!wanted_->Covers(*registry->wanted())) return Attest(registry->wanted(), NewDeadline(), std::move(done));
  Result<Entries> entries = Match(*registry);
  if (!entries.ok()) services_.access.Deny(NewRecord(), entries.status(), Describe(*findings_));
  std::move(done)(std::move(entries));
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
