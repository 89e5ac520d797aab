#include "node_agent/admin/attest_process.h"

#include <algorithm>
#include <string>
#include <utility>

#include "attestors/subject.h"
#include "node_agent/admin/entry_message.h"
#include "node_agent/admin/proto/admin.pb.h"
#include "node_agent/registry/near_misses.h"

namespace lanyard {
namespace {

constexpr size_t kNearMisses = 10;
constexpr size_t kMaxStatusBytes = 64 << 10;

// As if the process had connected to the workload socket now, with the ids that it has now.
Result<PeerProcess> PeerOf(pid_t pid) {
  ASSIGN_OR_RETURN(auto process, ProcessRef::Open(pid));
  ASSIGN_OR_RETURN(const ProcDir proc, ProcDir::Open(pid));
  ASSIGN_OR_RETURN(const std::string text, proc.Read("status", kMaxStatusBytes));
  ASSIGN_OR_RETURN(const ProcStatus status, ParseProcStatus(text));
  return PeerProcess{.process = std::move(process), .uid = status.uid.effective, .gid = status.gid.effective};
}

// A gap belongs to the attestor whose type its prefix begins with.
bool IsOf(const Gap& gap, const std::string& type) {
  return gap.prefix == type || gap.prefix.starts_with(type + ":");
}

class AttestProcess : public OneRequestHandler<admin::v1::AttestProcessRequest> {
 public:
  AttestProcess(Call& call, const AttestServices& services) : OneRequestHandler(call), services_(services) {}

 private:
  void OnRequest(admin::v1::AttestProcessRequest request) override {
    if (request.pid() <= 0)
      return call().Finish(Error(StatusCode::kInvalidArgument, "{} is not the number of a process", request.pid()));
    pid_ = request.pid();
    const Result<PeerProcess> peer = PeerOf(pid_);
    if (!peer.ok()) return call().Finish(Annotate(peer.status(), "attest pid {}", pid_));
    response_.set_uid(peer->uid);
    response_.set_gid(peer->gid);
    const Deadline deadline = services_.clock.MonoNow() + services_.timeout;
    attestation_ = services_.attestors.Attest(
        *peer, deadline, [this](Result<Findings> findings) { OnFindings(std::move(findings)); }, {.latest = deadline});
  }

  void OnFindings(Result<Findings> findings) {
    const std::unique_ptr<Attestation> finished = std::move(attestation_);
    if (!findings.ok()) return call().Finish(Annotate(findings.status(), "attest pid {}", pid_));
    for (const AttestorTime& time : finished->times()) AddAttestor(time, *findings);
    for (const Selector& selector : findings->selectors) response_.add_selectors(Shown(selector));
    AddEntries(*findings);
    call().Reply(SerializeShared(response_));
  }

  void AddAttestor(const AttestorTime& time, const Findings& findings) {
    admin::v1::AttestorReport& report = *response_.add_attestors();
    report.set_type(time.type);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time.took);
    report.mutable_took()->set_seconds(seconds.count());
    report.mutable_took()->set_nanos(static_cast<int32_t>((time.took - seconds).count()));
    report.set_selectors(
        static_cast<uint32_t>(std::count_if(findings.selectors.begin(), findings.selectors.end(),
                                            [&](const Selector& selector) { return selector.type == time.type; })));
    for (const Gap& gap : findings.gaps) {
      if (!IsOf(gap, time.type)) continue;
      admin::v1::Gap& message = *report.add_gaps();
      message.set_prefix(gap.prefix);
      message.set_why(std::string(Message(gap.why)));
    }
  }

  void AddEntries(const Findings& findings) {
    const std::shared_ptr<const Registry> registry = services_.registry.registry();
    const Verdicts verdicts = registry->Match(findings);
    const auto add = [&](const EntryPtr& entry, admin::v1::Verdict verdict) -> admin::v1::EntryReport& {
      admin::v1::EntryReport& report = *response_.add_entries();
      *report.mutable_entry() = ToMessage(Registry::Item{entry, registry->PositionOf(entry)});
      report.set_verdict(verdict);
      return report;
    };
    for (const EntryPtr& entry : verdicts.earned) add(entry, admin::v1::VERDICT_EARNED);
    for (const auto& [served, left_out] : verdicts.hint_conflicts) {
      add(left_out, admin::v1::VERDICT_LEFT_OUT)
          .set_why(fmt::format("{} has the same hint and comes first", served->id.str()));
    }
    for (const Undetermined& one : verdicts.undetermined) {
      const Gap& gap = findings.gaps[one.gap];
      add(one.entry, admin::v1::VERDICT_UNDETERMINED)
          .set_why(fmt::format("could not find out {}: {}", gap.prefix, Message(gap.why)));
    }
    for (const NearMiss& miss : NearMisses(*registry, findings.selectors, kNearMisses)) {
      const bool undetermined = std::any_of(verdicts.undetermined.begin(), verdicts.undetermined.end(),
                                            [&](const Undetermined& one) { return one.entry == miss.item.entry; });
      if (undetermined) continue;
      admin::v1::EntryReport& report = add(miss.item.entry, admin::v1::VERDICT_NOT_EARNED);
      report.set_why(miss.Describe());
      for (const Selector& selector : miss.missing) report.add_missing(selector.str());
    }
  }

  const AttestServices& services_;
  pid_t pid_ = 0;
  admin::v1::AttestProcessResponse response_;
  std::unique_ptr<Attestation> attestation_;
};

}  // namespace

std::unique_ptr<CallHandler> MakeAttestProcess(Call& call, const AttestServices& services) {
  return std::make_unique<AttestProcess>(call, services);
}

}  // namespace lanyard
