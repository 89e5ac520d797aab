// Names in paths. Of containers in cgroup paths: an id and a pod UID are what stands in the path and has the form of
// one, the name ends where a directory ends, what a container makes below itself changes nothing, and hierarchies agree
// in either order or in none. Of units in the paths of systemd's objects: every name comes out as it was written in.
#include <algorithm>
#include <cctype>
#include <vector>

#include "attestors/container_locator.h"
#include "node_agent/base/bus_connection.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

bool AllHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

void CheckName(std::string_view path) {
  const ContainerName name = LocateContainer(path);
  if (!name.found()) {
    Require(name.pod_uid.empty() && name.cgroup_path.empty() && name.name_end == 0);
    return;
  }
  Require(name.container_id.size() == 64 && AllHex(name.container_id) && name.cgroup_path == path);
  Require(name.name_end <= path.size() && (name.name_end == path.size() || path[name.name_end] == '/'));
  const std::string_view named = path.substr(0, name.name_end);
  Require(named.substr(named.rfind('/') + 1).find(name.container_id) != std::string_view::npos);
  std::string dashes(named);
  std::replace(dashes.begin(), dashes.end(), '_', '-');
  std::string uid = name.pod_uid;
  Require(uid.empty() || dashes.find("pod" + uid) != std::string::npos);
  std::erase(uid, '-');
  Require(uid.empty() || (uid.size() == 32 && AllHex(uid)));
  const ContainerName below = LocateContainer(std::string(named) + "/payload");
  Require(below.container_id == name.container_id && below.pod_uid == name.pod_uid && below.name_end == name.name_end);
}

void CheckMerging(std::string_view one, std::string_view other) {
  ContainerName forth, back;
  const bool ok =
      MergeContainerName(forth, LocateContainer(one)).ok() && MergeContainerName(forth, LocateContainer(other)).ok();
  const bool ok_back =
      MergeContainerName(back, LocateContainer(other)).ok() && MergeContainerName(back, LocateContainer(one)).ok();
  Require(ok == ok_back);
  if (ok) Require(forth.container_id == back.container_id && forth.pod_uid == back.pod_uid);
}

// As systemd writes a name into a path: sd_bus_path_encode(3).
std::string Escaped(std::string_view name) {
  std::string escaped;
  for (const char c : name) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool plain = letter || (digit && !escaped.empty());
    escaped += plain ? std::string(1, c) : fmt::format("_{:02x}", static_cast<unsigned char>(c));
  }
  return escaped.empty() ? "_" : escaped;
}

void CheckUnit(std::string_view text) {
  const std::string units = "/org/freedesktop/systemd1/unit", name(text.substr(0, text.find('\0')));
  Require(Present(BusPathLabel(units + "/" + Escaped(name), units)) == name);
  Require(!BusPathLabel(units + "s/" + Escaped(name), units));
  const auto raw = BusPathLabel(units + "/" + name, units);
  Require(!raw || (raw->size() <= name.size() && name.find('/') == std::string::npos));
  const auto whole = BusPathLabel(name, units);
  Require(!whole || (name.starts_with(units) && whole->size() < name.size()));
  Require(!BusPathLabel(units, units));
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  std::string_view rest = AsText(data, size);
  std::string_view before;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view path = rest.substr(0, end);
    CheckName(path);
    CheckMerging(before, path);
    CheckUnit(path);
    before = path;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return 0;
}
