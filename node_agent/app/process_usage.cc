#include "node_agent/app/process_usage.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <sstream>

#include "node_agent/base/file.h"

namespace lanyard {
namespace {

std::optional<uint64_t> CountFds() {
  struct stat found {};
  if (stat("/proc/self/fd", &found) == 0 && found.st_size > 0) return found.st_size;  // Linux 6.2 and later
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
  if (directory == nullptr) return std::nullopt;
  uint64_t count = 0;
  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count - 1;  // the directory's own
}

}  // namespace

Result<ProcessUsage> ReadProcessUsage() {
  ASSIGN_OR_RETURN(const std::string stat, ReadFile("/proc/self/stat", 4096));
  // proc(5): pid (comm) state …; the command may hold anything, so fields are counted from its closing parenthesis.
  std::istringstream fields(stat.substr(std::min(stat.rfind(')'), stat.size() - 1) + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  uint64_t user = 0, system = 0, resident_pages = 0;
  ProcessUsage usage;
  fields >> user >> system;
  for (int field = 16; field < 20; ++field) fields >> skipped;
  fields >> usage.threads >> skipped >> skipped >> usage.virtual_bytes >> resident_pages;
  if (!fields) return Error(StatusCode::kInternal, "read /proc/self/stat: it has not the fields of proc(5)");
  usage.cpu =
      std::chrono::duration<double>(static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)));
  usage.resident_bytes = resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  usage.open_fds = CountFds();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) usage.max_fds = limit.rlim_cur;
  return usage;
}

}  // namespace lanyard
