#include "attestors/ancestry.h"

#include <optional>

namespace lanyard {
namespace {

constexpr int kMaxLevels = 64;
constexpr int kAttempts = 4;

Result<ProcStat> ReadStat(const ProcDir& process) {
  ASSIGN_OR_RETURN(const std::string text, process.Read("stat", 4096));
  return ParseProcStat(text);
}

// No value: the chain changed while it was read.
Result<std::optional<Ancestry>> Walk(const ProcDir& process) {
  Ancestry ancestry;
  std::shared_ptr<const ProcDir> last;
  const ProcDir* child = &process;
  ASSIGN_OR_RETURN(ProcStat child_stat, ReadStat(process));
  // 0: none in this pid namespace. Pid 1 is everybody's ancestor and says nothing about anybody.
  for (int level = 0; child_stat.parent > 1; ++level) {
    if (level == kMaxLevels) {
      ancestry.gap = Error(StatusCode::kResourceExhausted, "more than {} ancestors", kMaxLevels);
      break;
    }
    Result<ProcDir> opened = ProcDir::Open(child_stat.parent);
    Result<ProcStat> stat = opened.ok() ? ReadStat(*opened) : Result<ProcStat>(opened.status());
    Result<Executable> executable = opened.ok() ? ReadExecutable(*opened) : Result<Executable>(opened.status());

    if (!stat.ok() || stat->start_time >= child_stat.start_time) {
      const Result<ProcStat> again = ReadStat(*child);
      if (!again.ok() || again->parent != child_stat.parent) return std::optional<Ancestry>();
    }
    if (!stat.ok()) return Annotate(stat.status(), "read ancestor with pid {}", child_stat.parent);
    if (stat->start_time > child_stat.start_time) return std::optional<Ancestry>();

    auto parent = std::make_shared<const ProcDir>(*std::move(opened));
    if (executable.ok()) {
      ancestry.ancestors.push_back({parent, *std::move(executable)});
    } else if (!stat->kernel_thread) {
      ancestry.gap = Annotate(executable.status(), "read ancestor with pid {}", child_stat.parent);
    }
    last = std::move(parent);
    child = last.get();
    child_stat = *stat;
  }
  return std::optional<Ancestry>(std::move(ancestry));
}

}  // namespace

Result<Ancestry> ReadAncestry(const ProcDir& process) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ASSIGN_OR_RETURN(std::optional<Ancestry> ancestry, Walk(process));
    if (ancestry) return *std::move(ancestry);
  }
  return Error(StatusCode::kUnavailable, "ancestors changed while being read; ask again");
}

}  // namespace lanyard
