#include "attestors/unix_attestor.h"

#include "attestors/executable_path.h"
#include "attestors/gathering.h"

namespace lanyard {
namespace {

// A user can be given tens of thousands of groups (subordinate ids); beyond this many they are a gap and not a burden.
constexpr size_t kMaxGroups = 1024;

class UnixAttestor : public Attestor {
 public:
  UnixAttestor(const UnixOptions& options, HostTools& tools) : options_(options), tools_(tools) {}

  std::string_view type() const override { return "unix"; }

  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline /*deadline*/, Done done) override {
    auto attempt = std::make_unique<Gathering>(tools_.loop, type(), std::move(done));
    const auto wants = [&](std::string_view kind) { return subject->wanted().Has(type(), kind); };
    const ProcStatus& status = subject->status();
    attempt->Add("uid", status.uid.effective);
    attempt->Add("gid", status.gid.effective);
    if (wants("user")) AddNames(*attempt, NameKind::kUser, "user", {status.uid.effective});
    if (wants("group")) AddNames(*attempt, NameKind::kGroup, "group", {status.gid.effective});
    if (wants("supplementary_gid") || wants("supplementary_group")) AddSupplementaryGroups(*attempt, *subject);
    if (options_.executable && (wants("path") || wants("sha256"))) AddExecutable(*attempt, *subject);
    attempt->Seal();
    return attempt;
  }

 private:
  void AddSupplementaryGroups(Gathering& attempt, const Subject& subject) {
    const std::vector<uint32_t>& groups = subject.status().groups;
    const bool gids = subject.wanted().Has(type(), "supplementary_gid");
    const bool names = subject.wanted().Has(type(), "supplementary_group");
    if (groups.size() > kMaxGroups) {
      const Status why = Error(StatusCode::kResourceExhausted, "{} supplementary groups are more than the {} looked at",
                               groups.size(), kMaxGroups);
      if (gids) attempt.AddGap("supplementary_gid", why);
      if (names) attempt.AddGap("supplementary_group", why);
      return;
    }
    if (gids) {
      for (const uint32_t gid : groups) attempt.Add("supplementary_gid", gid);
    }
    if (names && !groups.empty()) AddNames(attempt, NameKind::kGroup, "supplementary_group", groups);
  }

  void AddNames(Gathering& attempt, NameKind kind, std::string_view selector, std::vector<uint32_t> ids) {
    if (const auto names = tools_.names.Cached(kind, ids)) {
      AddNamesFound(attempt, selector, *names);
      return;
    }
    const size_t step = attempt.Expect(selector);
    attempt.Keep(step,
                 tools_.names.Find(kind, std::move(ids), [&attempt, step, selector](Result<std::vector<Name>> names) {
                   if (names.ok()) {
                     AddNamesFound(attempt, selector, *names);
                   } else {
                     attempt.AddGap(selector, names.status());
                   }
                   attempt.Arrived(step);
                 }));
  }

  static void AddNamesFound(Gathering& attempt, std::string_view selector, const std::vector<Name>& names) {
    for (const Name& name : names) {
      if (name) attempt.Add(selector, *name);
    }
  }

  void AddExecutable(Gathering& attempt, const Subject& subject) {
    const Status looked = subject.executable().status();
    // After the executable, which holds on to its mount: nothing else has that mount's id in this table.
    const auto mounts = looked.ok() ? tools_.mounts.Current() : Result<std::shared_ptr<const MountTable>>(looked);
    if (!mounts.ok()) {
      attempt.AddGap("path", mounts.status());
      attempt.AddGap("sha256", mounts.status());
      return;
    }
    const Executable& executable = *subject.executable();
    if (const auto path = PathInOwnNamespace(executable, **mounts)) attempt.Add("path", *path);
    if (!subject.wanted().Has(type(), "sha256")) return;
    if (const std::string* sha256 = tools_.hasher.Cached(executable.file)) {
      attempt.Add("sha256", *sha256);
      return;
    }
    const size_t step = attempt.Expect("sha256");
    attempt.Keep(step, tools_.hasher.Hash(subject.proc(), executable, subject.peer().uid, *mounts,
                                          [&attempt, step](Result<ExecutableHash> sha256) {
                                            if (!sha256.ok()) {
                                              attempt.AddGap("sha256", sha256.status());
                                            } else if (*sha256) {
                                              attempt.Add("sha256", **sha256);
                                            }
                                            attempt.Arrived(step);
                                          }));
  }

  const UnixOptions options_;
  HostTools& tools_;
};

}  // namespace

std::unique_ptr<Attestor> MakeUnixAttestor(const UnixOptions& options, HostTools& tools) {
  return std::make_unique<UnixAttestor>(options, tools);
}

}  // namespace lanyard
