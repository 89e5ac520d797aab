#include "attestors/process_attestor.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "attestors/ancestry.h"
#include "attestors/cgroup_trust.h"
#include "attestors/executable_path.h"
#include "attestors/gathering.h"

namespace lanyard {
namespace {

constexpr std::array<std::string_view, 7> kNamespaces = {"mnt", "pid", "net", "user", "uts", "ipc", "cgroup"};

// The scope that systemd put the process in: below slices only, since units nest in nothing else. A directory further
// down that is called *.scope was made by whoever the unit was delegated to.
std::optional<std::string_view> ScopeOf(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, end);
    if (!segment.ends_with(".slice")) {
      if (segment.ends_with(".scope") && segment.size() > std::string_view(".scope").size()) return segment;
      return std::nullopt;
    }
    path.remove_prefix(end);
  }
  return std::nullopt;
}

class ProcessAttestor : public Attestor {
 public:
  ProcessAttestor(const ProcessOptions& options, HostTools& tools) : options_(options), tools_(tools) {}

  std::string_view type() const override { return "process"; }

  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline /*deadline*/, Done done) override {
    auto attempt = std::make_unique<Gathering>(tools_.loop, type(), std::move(done));
    const auto wants = [&](std::string_view kind) { return subject->wanted().Has(type(), kind); };
    attempt->Add("traced", subject->status().tracer != 0 ? "true" : "false");
    attempt->Add("no_new_privs", subject->status().no_new_privs ? "true" : "false");
    if (wants("loginuid")) AddLoginUid(*attempt, *subject->proc());
    if (wants("tty")) AddTty(*attempt, *subject->proc());
    if (wants("ns")) AddNamespaces(*attempt, *subject->proc());
    if (wants("cgroup") || wants("scope")) AddCgroups(*attempt, *subject);
    if (options_.ancestors && (wants("ancestor") || wants("ancestor_sha256"))) AddAncestors(*attempt, *subject);
    attempt->Seal();
    return attempt;
  }

 private:
  static void AddLoginUid(Gathering& attempt, const ProcDir& proc) {
    const Result<std::string> text = proc.Read("loginuid", 64);
    // A kernel built without audit has no such file, and then nobody has a login uid.
    if (text.status().code() == StatusCode::kNotFound) return;
    const Result<uint32_t> uid = text.ok() ? ParseLoginUid(*text) : Result<uint32_t>(text.status());
    if (!uid.ok()) return attempt.AddGap("loginuid", uid.status());
    if (*uid != std::numeric_limits<uint32_t>::max()) attempt.Add("loginuid", *uid);
  }

  static void AddTty(Gathering& attempt, const ProcDir& proc) {
    const Result<std::string> text = proc.Read("stat", 4096);
    const Result<ProcStat> stat = text.ok() ? ParseProcStat(*text) : Result<ProcStat>(text.status());
    if (!stat.ok()) return attempt.AddGap("tty", stat.status());
    attempt.Add("tty", TtyName(stat->tty));
  }

  void AddNamespaces(Gathering& attempt, const ProcDir& proc) {
    for (size_t i = 0; i < kNamespaces.size(); ++i) {
      const std::string_view kind = kNamespaces[i];
      const Result<uint64_t> own = OwnNamespace(i);
      if (own.status().code() == StatusCode::kNotFound) continue;  // the kernel is built without this kind
      const Result<uint64_t> inode = ReadNamespace(proc, kind);
      if (!inode.ok()) {  // also where its main thread has ended
        attempt.AddGap(fmt::format("ns:{}", kind), inode.status());
        continue;
      }
      attempt.Add("ns", fmt::format("{}:{}", kind, *inode));
      if (!own.ok()) {
        attempt.AddGap(fmt::format("ns:{}:host", kind), own.status());
      } else if (*inode == *own) {
        attempt.Add("ns", fmt::format("{}:host", kind));
      }
    }
  }

  // The node agent never changes its own.
  Result<uint64_t> OwnNamespace(size_t i) {
    std::optional<uint64_t>& own = own_namespaces_[i];
    if (!own) {
      ASSIGN_OR_RETURN(const ProcDir self, ProcDir::Open(getpid()));
      ASSIGN_OR_RETURN(own, ReadNamespace(self, kNamespaces[i]));
    }
    return *own;
  }

  static Result<uint64_t> ReadNamespace(const ProcDir& proc, std::string_view kind) {
    ASSIGN_OR_RETURN(const std::string link, proc.ReadLink(fmt::format("ns/{}", kind).c_str()));
    return ParseNamespaceLink(kind, link);
  }

  void AddCgroups(Gathering& attempt, const Subject& subject) {
    const Result<std::shared_ptr<const MountTable>> mounts = tools_.mounts.Current();
    const Status known = subject.cgroups().ok() ? mounts.status() : subject.cgroups().status();
    if (!known.ok()) {
      attempt.AddGap("cgroup", known);
      attempt.AddGap("scope", known);
      return;
    }
    std::optional<std::string> v2_scope, named_scope;
    Status scope_unknown;
    for (const CgroupMembership& told : *subject.cgroups()) {
      const CgroupMembership cgroup = (*mounts)->cgroup_tree.FromRoot(told);
      const bool systemds = cgroup.v2() || cgroup.controllers.front() == "name=systemd";
      const Result<CgroupTrust> trust = CheckCgroupTrust(cgroup, subject.status(), **mounts);
      if (!trust.ok()) {
        AddCgroupGaps(attempt, cgroup, trust.status());
        if (systemds && (OutsideCgroupNamespace(cgroup) || ScopeOf(cgroup.path))) scope_unknown = trust.status();
        continue;
      }
      if (*trust == CgroupTrust::kCallerCouldWriteIt) continue;
      if (cgroup.v2()) attempt.Add("cgroup", cgroup.path);
      for (const std::string& controller : cgroup.controllers)
        attempt.Add("cgroup", fmt::format("{}:{}", controller, cgroup.path));
      if (systemds) (cgroup.v2() ? v2_scope : named_scope) = ScopeOf(cgroup.path);
    }
    if (const auto scope = v2_scope ? v2_scope : named_scope) {
      attempt.Add("scope", *scope);
    } else if (!scope_unknown.ok()) {
      attempt.AddGap("scope", scope_unknown);
    }
  }

  // Only the selector in question is open, when its name is known.
  static void AddCgroupGaps(Gathering& attempt, const CgroupMembership& cgroup, const Status& why) {
    const bool nameless = OutsideCgroupNamespace(cgroup);
    if (cgroup.v2()) return attempt.AddGap(nameless ? "cgroup" : fmt::format("cgroup:{}", cgroup.path), why);
    for (const std::string& controller : cgroup.controllers) {
      attempt.AddGap(
          nameless ? fmt::format("cgroup:{}", controller) : fmt::format("cgroup:{}:{}", controller, cgroup.path), why);
    }
  }

  void AddAncestors(Gathering& attempt, const Subject& subject) {
    const bool hashes = options_.ancestor_hashes && subject.wanted().Has(type(), "ancestor_sha256");
    const Result<Ancestry> ancestry = ReadAncestry(*subject.proc());
    // After the executables, which hold on to their mounts: nothing else has the id of one of these in this table.
    const Result<std::shared_ptr<const MountTable>> mounts = tools_.mounts.Current();
    const Status known = ancestry.ok() ? mounts.status() : ancestry.status();
    const Status gap = known.ok() ? ancestry->gap : known;
    if (!gap.ok()) {
      attempt.AddGap("ancestor", gap);
      if (hashes) attempt.AddGap("ancestor_sha256", gap);
    }
    if (!known.ok()) return;
    for (const Ancestor& ancestor : ancestry->ancestors) {
      const auto path = PathInOwnNamespace(ancestor.executable, **mounts);
      if (path) attempt.Add("ancestor", *path);
      if (path && hashes) AddAncestorHash(attempt, subject, ancestor, *mounts);
    }
  }

  void AddAncestorHash(Gathering& attempt, const Subject& subject, const Ancestor& ancestor,
                       const std::shared_ptr<const MountTable>& mounts) {
    if (const std::string* sha256 = tools_.hasher.Cached(ancestor.executable.file)) {
      attempt.Add("ancestor_sha256", *sha256);
      return;
    }
    const size_t step = attempt.Expect("ancestor_sha256");
    attempt.Keep(step, tools_.hasher.Hash(ancestor.proc, ancestor.executable, subject.peer().uid, mounts,
                                          [&attempt, step](Result<ExecutableHash> sha256) {
                                            if (!sha256.ok()) {
                                              attempt.AddGap("ancestor_sha256", sha256.status());
                                            } else if (*sha256) {
                                              attempt.Add("ancestor_sha256", **sha256);
                                            }
                                            attempt.Arrived(step);
                                          }));
  }

  const ProcessOptions options_;
  HostTools& tools_;
  std::array<std::optional<uint64_t>, kNamespaces.size()> own_namespaces_;
};

}  // namespace

std::unique_ptr<Attestor> MakeProcessAttestor(const ProcessOptions& options, HostTools& tools) {
  return std::make_unique<ProcessAttestor>(options, tools);
}

}  // namespace lanyard
