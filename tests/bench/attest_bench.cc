// CPU time of one attestation of a live process, its executable's hash in the cache: by attestors, as JSON.
//
//   attest_bench [ROUNDS]
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>

#include "attestors/attestation.h"
#include "attestors/process_attestor.h"
#include "attestors/unix_attestor.h"

namespace lanyard {
namespace {

double CpuMicroseconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto micros = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return micros(usage.ru_utime) + micros(usage.ru_stime);
}

std::vector<std::unique_ptr<Attestor>> Attestors(std::string_view which, HostTools& tools) {
  std::vector<std::unique_ptr<Attestor>> attestors;
  if (which != "process") attestors.push_back(MakeUnixAttestor({}, tools));
  if (which == "process") attestors.push_back(MakeProcessAttestor({}, tools));
  if (which == "both") attestors.push_back(MakeProcessAttestor({}, tools));
  return attestors;
}

void Measure(const char* separator, std::string_view which, const PeerProcess& peer, int rounds) {
  EventLoop loop;
  std::unique_ptr<Clock> clock = MakeSystemClock(loop);
  HostTools tools(loop, *clock);
  AttestorSet set(loop, *clock, Attestors(which, tools));
  size_t selectors = 0;
  int left = 0;
  double begun = 0;
  std::unique_ptr<Attestation> attestation;
  std::function<void()> next = [&] {
    attestation = set.Attest(peer, clock->MonoNow() + std::chrono::seconds(5), [&](Result<Findings> findings) {
      if (!findings.ok() || !findings->gaps.empty()) {
        const Status why = findings.ok() ? findings->gaps[0].why : findings.status();
        fmt::print(stderr, "cannot measure: {}\n", why.ToString());
        std::_Exit(1);
      }
      selectors = findings->selectors.size();
      if (--left == rounds) begun = CpuMicroseconds();
      left > 0 ? next() : loop.Stop();
    });
  };
  left = rounds + 20;  // the first ones fill the caches
  next();
  loop.Run();
  const double spent = CpuMicroseconds() - begun;
  std::printf("%s\"%.*s\": {\"cpu_us\": %.2f, \"selectors\": %zu}", separator, static_cast<int>(which.size()),
              which.data(), spent / rounds, selectors);
}

// What nobody who asks /proc about a process can go below: its status, cgroups and start time read once each, and where
// its executable is.
void MeasureLimit(pid_t pid, int rounds) {
  const double begun = CpuMicroseconds();
  char bytes[8192];
  for (int i = 0; i < rounds; ++i) {
    for (const char* name : {"status", "cgroup", "stat"}) {
      const int fd = open(fmt::format("/proc/{}/{}", pid, name).c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0 || read(fd, bytes, sizeof bytes) <= 0) std::_Exit(1);
      close(fd);
    }
    if (readlink(fmt::format("/proc/{}/exe", pid).c_str(), bytes, sizeof bytes) <= 0) std::_Exit(1);
  }
  std::printf(", \"limit\": {\"cpu_us\": %.2f}}\n", (CpuMicroseconds() - begun) / rounds);
}

}  // namespace
}  // namespace lanyard

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5000;
  const pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && (setgid(12345) != 0 || setuid(12345) != 0)) _exit(1);
    execl("/bin/sleep", "sleep", "600", static_cast<char*>(nullptr));
    _exit(1);
  }
  usleep(200'000);  // until it has executed
  auto process = lanyard::ProcessRef::Open(child);
  if (process.ok()) {
    const uid_t uid = geteuid() == 0 ? 12345 : geteuid();
    const char* separator = "{";
    for (std::string_view which : {"unix", "process", "both"}) {
      lanyard::Measure(separator, which, {*process, uid, uid}, rounds);
      separator = ", ";
    }
    lanyard::MeasureLimit(child, rounds);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return process.ok() ? 0 : 1;
}
