#include "attestors/container_locator.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace lanyard {
namespace {

constexpr size_t kIdDigits = 64;
constexpr std::string_view kPod = "pod";

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// What may stand next to another one in a name that goes on.
bool IsWord(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool StandsAlone(std::string_view text, size_t begin, size_t end) {
  return (begin == 0 || !IsWord(text[begin - 1])) && (end == text.size() || !IsWord(text[end]));
}

struct Range {
  size_t begin, end;
};

std::optional<Range> FindContainerId(std::string_view segment) {
  for (size_t begin = 0; begin + kIdDigits <= segment.size(); ++begin) {
    const size_t end = begin + kIdDigits;
    if (!StandsAlone(segment, begin, end)) continue;
    if (std::all_of(segment.begin() + begin, segment.begin() + end, IsHex)) return Range{begin, end};
  }
  return std::nullopt;
}

// The length of the pod UID at the beginning of `text`, 0 for none: 8-4-4-4-12 hexadecimal digits with '-' between
// them, or '_' where systemd's driver had to escape it; or 32 digits, which is what the kubelet makes up for a static
// pod.
size_t PodUidLength(std::string_view text) {
  constexpr size_t kDashed = 36, kPlain = 32;
  if (text.size() >= kDashed) {
    const auto fits = [&](size_t at) {
      const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
      return dash ? text[at] == '-' || text[at] == '_' : IsHex(text[at]);
    };
    size_t at = 0;
    while (at < kDashed && fits(at)) ++at;
    if (at == kDashed) return kDashed;
  }
  return text.size() >= kPlain && std::all_of(text.begin(), text.begin() + kPlain, IsHex) ? kPlain : 0;
}

std::string FindPodUid(std::string_view segment) {
  for (size_t at = segment.find(kPod); at != std::string_view::npos; at = segment.find(kPod, at + 1)) {
    const size_t begin = at + kPod.size();
    const size_t length = PodUidLength(segment.substr(begin));
    if (length == 0 || !StandsAlone(segment, at, begin + length)) continue;
    std::string uid(segment.substr(begin, length));
    std::replace(uid.begin(), uid.end(), '_', '-');
    return uid;
  }
  return "";
}

// The last segment of `path`, which is cut off with its slash.
std::string_view TakeLast(std::string_view& path) {
  const size_t slash = path.rfind('/');
  const std::string_view last = slash == std::string_view::npos ? path : path.substr(slash + 1);
  path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  return last;
}

}  // namespace

ContainerName LocateContainer(std::string_view cgroup_path) {
  ContainerName name;
  std::string_view rest = cgroup_path;
  std::string_view segment = TakeLast(rest);
  std::optional<Range> id;
  while (!segment.empty() && !(id = FindContainerId(segment))) segment = TakeLast(rest);
  if (!id) return name;
  name.container_id = segment.substr(id->begin, id->end - id->begin);
  name.cgroup_path = cgroup_path;
  name.name_end = static_cast<size_t>(segment.data() + segment.size() - cgroup_path.data());
  for (std::string_view above = rest; !above.empty() && name.outer_end == 0;) {
    const std::string_view outer = TakeLast(above);
    if (FindContainerId(outer)) name.outer_end = static_cast<size_t>(outer.data() + outer.size() - cgroup_path.data());
  }
  // The pod stands to the left of the id, in the same segment (CRI-O's "…podUID.slice:cri-containerd:ID") or before.
  segment = id->begin > 0 ? segment.substr(0, id->begin) : TakeLast(rest);
  while (!segment.empty() && (name.pod_uid = FindPodUid(segment)).empty()) segment = TakeLast(rest);
  return name;
}

Status MergeContainerName(ContainerName& so_far, ContainerName next) {
  if (!next.found() || (!so_far.pod_uid.empty() && next.pod_uid.empty())) return OkStatus();
  if (!so_far.found() || (so_far.pod_uid.empty() && !next.pod_uid.empty())) {
    so_far = std::move(next);
    return OkStatus();
  }
  if (so_far.pod_uid != next.pod_uid) {
    return Error(StatusCode::kFailedPrecondition, "its cgroups name two pods: {} ({}) and {} ({})", so_far.pod_uid,
                 so_far.cgroup_path, next.pod_uid, next.cgroup_path);
  }
  if (so_far.container_id != next.container_id) {
    return Error(StatusCode::kFailedPrecondition, "its cgroups name two containers: {} ({}) and {} ({})",
                 so_far.container_id, so_far.cgroup_path, next.container_id, next.cgroup_path);
  }
  return OkStatus();
}

}  // namespace lanyard
