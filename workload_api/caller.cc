#include "workload_api/caller.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "node_agent/base/printable.h"
#include "node_agent/registry/near_misses.h"

namespace lanyard {
namespace {

// Of the denied, who choose much of what is found about them.
constexpr size_t kLongestDescription = 4096;

std::string Describe(const Findings& findings) {
  std::string text;
  for (const Selector& selector : findings.selectors) {
    if (text.size() > kLongestDescription) break;
    text += fmt::format("{}{}", text.empty() ? "" : " ", Shown(selector));
  }
  for (const Gap& gap : findings.gaps) {
    if (text.size() > kLongestDescription) break;
    text += fmt::format("; {} could not be found out: {}", gap.prefix, Message(gap.why));
  }
  if (text.size() <= kLongestDescription) return text;
  return fmt::format("{} …", Beginning(text, kLongestDescription));
}

// How long a denial waits for what only its record says.
constexpr std::chrono::milliseconds kLongestWholeLook{500};

constexpr size_t kNearMisses = 3;  // in a record; `lanyard attest` says more

// What attestors say that have not answered yet, from gap `open` on, decides about no entry.
bool IsDecided(const Findings& so_far, size_t open, const Registry& registry) {
  const size_t undetermined = registry.Match(so_far).undetermined.size();
  if (undetermined == 0) return true;
  std::vector<std::string_view> closed;
  for (const Gap& gap : std::span(so_far.gaps).first(open)) closed.push_back(gap.prefix);
  return registry.Match(so_far.selectors, closed).undetermined.size() == undetermined;
}

bool HasOpenGaps(const Findings& findings) {
  return std::any_of(findings.gaps.begin(), findings.gaps.end(),
                     [](const Gap& gap) { return gap.why.code() == StatusCode::kCancelled; });
}

bool Has(const Entries& entries, const EntryPtr& entry) {
  return std::find(entries.begin(), entries.end(), entry) != entries.end();
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
  LookNarrowly({.asks = Asks::kAnew, .done = std::move(done)});
}

void Caller::LookAgain(Done done) {
  LookNarrowly({.asks = Asks::kOpenStream, .done = std::move(done)});
}

void Caller::LookNarrowly(Look look) {
  look.whole = false;
  look.latest = std::nullopt;
  look.registry = services_.registry.registry();
  look.wanted = look.registry->wanted();
  Attest(std::move(look));
}

void Caller::Attest(Look look) {
  AttestationScope scope{.wanted = look.wanted, .latest = look.latest};
  if (!look.whole) {
    scope.enough = [registry = look.registry](const Findings& so_far, size_t open) {
      return IsDecided(so_far, open, *registry);
    };
  }
  attestation_ = services_.attestors.Attest(
      call_.connection()->peer, services_.clock.MonoNow() + services_.attestation_timeout,
      [this, look = std::move(look)](Result<Findings> findings) mutable {
        OnFindings(std::move(look), std::move(findings));
      },
      std::move(scope));
}

void Caller::OnFindings(Look look, Result<Findings> findings) {
  const std::unique_ptr<Attestation> finished = std::move(attestation_);
  if (look.whole) return OnWholeFindings(std::move(look), std::move(findings));
  if (!findings.ok()) {
    if (look.asks == Asks::kAnew || findings.status().code() != StatusCode::kUnavailable)
      services_.access.Deny(NewRecord(), findings.status(), "");
    return std::move(look.done)(findings.status());
  }
  findings_ = std::make_shared<const Findings>(*std::move(findings));
  wanted_ = look.wanted;
  const std::shared_ptr<const Registry> registry = services_.registry.registry();
  // It may not have been enough for the registry of now.
  const bool another = look.registry != registry;
  if (!wanted_->Covers(*registry->wanted()) || (another && HasOpenGaps(*findings_)))
    return LookNarrowly(std::move(look));
  Result<Entries> entries = Match(*registry);
  if (entries.status().code() == StatusCode::kPermissionDenied && LookWholly(look, registry)) return;
  entries = Admit(std::move(entries), look);
  if (!entries.ok() && (look.asks == Asks::kAnew || entries.status().code() != StatusCode::kUnavailable))
    RecordDenial(entries.status());
  std::move(look.done)(std::move(entries));
}

bool Caller::LookWholly(Look& look, const std::shared_ptr<const Registry>& registry) {
  if (wanted_->Covers(*WantedKinds::All())) return false;
  if (auto known = services_.denials.Find(*call_.connection()->peer.process, *findings_, registry)) {
    findings_ = std::move(known);
    return false;
  }
  look.whole = true;
  look.registry = registry;
  look.wanted = WantedKinds::All();
  look.latest = services_.clock.MonoNow() + kLongestWholeLook;
  Attest(std::move(look));
  return true;
}

// The first look has decided; what this one could not find out, in its shorter time, changes nothing.
void Caller::OnWholeFindings(Look look, Result<Findings> findings) {
  const std::shared_ptr<const Registry> registry = services_.registry.registry();
  if (look.registry != registry) return LookNarrowly(std::move(look));
  const Status denied = Match(*registry).status();
  if (findings.ok()) {
    auto whole = std::make_shared<const Findings>(*std::move(findings));
    services_.denials.Keep(*call_.connection()->peer.process, findings_, whole, registry);
    findings_ = std::move(whole);
    wanted_ = look.wanted;
  }
  RecordDenial(denied);
  std::move(look.done)(denied);
}

Result<Entries> Caller::Admit(Result<Entries> entries, const Look& look) {
  if (!entries.ok() || look.asks != Asks::kAnew) return entries;
  Result<IdentityLimits::Ticket> ticket = services_.identities.Admit(*entries);
  if (!ticket.ok()) return ticket.status();
  ticket_ = *std::move(ticket);
  return entries;
}

Result<Entries> Caller::Match(const Registry& registry) {
  revision_ = registry.revision();
  return Decide(*findings_, registry);
}

bool Caller::StillEarns(const Entries& entries) const {
  const std::shared_ptr<const Registry> registry = services_.registry.registry();
  if (!wanted_->Covers(*registry->wanted())) return false;
  const Result<Entries> now = Decide(*findings_, *registry);
  return now.ok() && *now == entries;
}

bool Caller::HasLost(const Entries& entries) const {
  const Verdicts verdicts = services_.registry.registry()->Match(*findings_);
  return std::any_of(entries.begin(), entries.end(), [&](const EntryPtr& entry) {
    return !Has(verdicts.earned, entry) && std::none_of(verdicts.undetermined.begin(), verdicts.undetermined.end(),
                                                        [&](const Undetermined& open) { return open.entry == entry; });
  });
}

void Caller::RecordDenial(const Status& why) {
  const auto nearly = [&] {
    std::vector<std::string> entries;
    for (const NearMiss& miss : NearMisses(*services_.registry.registry(), findings_->selectors, kNearMisses))
      entries.push_back(fmt::format("{}: {}", miss.item.entry->id.str(), miss.Describe()));
    return entries;
  };
  services_.access.Deny(NewRecord(), why, Describe(*findings_), nearly);
}

void Caller::RecordWithheld(const Status& why) {
  services_.access.Refuse(NewRecord(), why, Describe(*findings_));
}

AuditRecord Caller::NewRecord() const {
  const PeerProcess& peer = call_.connection()->peer;
  AuditRecord record{.kind = AuditKind::kFetch,
                     .caller = AuditCaller{.pid = peer.process->pid(), .uid = peer.uid, .selectors = {}},
                     .resource = std::string(call_.method()),
                     .correlation_id = correlation_id_};
  if (findings_) {
    for (const Selector& selector : findings_->selectors) record.caller->selectors.push_back(Shown(selector));
    record.policy = AuditPolicy{.engine = "registry", .revision = revision_};
  }
  return record;
}

}  // namespace lanyard
