#include "node_agent/base/procfs.h"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <limits>
#include <optional>
#include <utility>

namespace lanyard {
namespace {

// All of `text` as a decimal number: no sign, no spaces, no empty text, no zeros before it.
template <std::unsigned_integral T>
std::optional<T> Number(std::string_view text) {
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<pid_t> Pid(std::string_view text) {
  const auto value = Number<uint32_t>(text);
  if (!value || *value > static_cast<uint32_t>(std::numeric_limits<pid_t>::max())) return std::nullopt;
  return static_cast<pid_t>(*value);
}

// Cuts the next piece up to `separator` off `rest`; the last piece ends at the end of the text.
std::string_view Cut(std::string_view& rest, char separator) {
  const size_t end = rest.find(separator);
  const std::string_view piece = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return piece;
}

std::vector<std::string_view> Words(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> words;
  size_t start = 0;
  while ((start = text.find_first_not_of(separators, start)) != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(separators, start), text.size());
    words.push_back(text.substr(start, end - start));
    start = end;
  }
  return words;
}

std::optional<ProcStatus::Ids> FourIds(std::string_view value) {
  const auto words = Words(value, "\t ");
  if (words.size() != 4) return std::nullopt;
  uint32_t ids[4];
  for (size_t i = 0; i < 4; ++i) {
    const auto id = Number<uint32_t>(words[i]);
    if (!id) return std::nullopt;
    ids[i] = *id;
  }
  return ProcStatus::Ids{ids[0], ids[1], ids[2], ids[3]};
}

std::optional<std::vector<uint32_t>> IdList(std::string_view value) {
  std::vector<uint32_t> ids;
  for (std::string_view word : Words(value, "\t ")) {
    const auto id = Number<uint32_t>(word);
    if (!id) return std::nullopt;
    ids.push_back(*id);
  }
  return ids;
}

std::optional<std::string_view> OneWord(std::string_view value) {
  const auto words = Words(value, "\t ");
  if (words.size() != 1) return std::nullopt;
  return words[0];
}

Status Bad(std::string_view what, std::string_view why) {
  return Error(StatusCode::kInternal, "parse {}: {}", what, why);
}

// "\040" and the like, as the kernel writes space, tab, newline, backslash and # in mountinfo.
std::optional<std::string> DecodeOctal(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      plain += text[i];
      continue;
    }
    unsigned value = 0;
    if (text.size() - i < 4) return std::nullopt;
    for (size_t digit = 1; digit <= 3; ++digit) {
      const char c = text[i + digit];
      if (c < '0' || c > '7') return std::nullopt;
      value = value * 8 + static_cast<unsigned>(c - '0');
    }
    if (value > 255) return std::nullopt;
    plain += static_cast<char>(value);
    i += 3;
  }
  return plain;
}

Result<Mount> ParseMountLine(std::string_view line) {
  // proc(5): id, parent, major:minor, root, mount point, options, optional fields, "-", type, source, super options
  const size_t separator = line.find(" - ");
  if (separator == std::string_view::npos) return Bad("mountinfo", "a line without separator");
  const auto before = Words(line.substr(0, separator), " ");
  std::string_view rest = line.substr(separator + 3);
  const std::string_view fs_type = Cut(rest, ' ');
  Cut(rest, ' ');  // the source may be empty, which leaves two spaces
  if (before.size() < 6 || fs_type.empty()) return Bad("mountinfo", "a line with too few fields");
  const auto id = Number<uint64_t>(before[0]);
  const auto root = DecodeOctal(before[3]);
  const auto mount_point = DecodeOctal(before[4]);
  const auto type = DecodeOctal(fs_type);
  if (!id || !root || !mount_point || !type) return Bad("mountinfo", "a line with a malformed field");
  return Mount{*id, *root, *mount_point, *type, std::string(rest)};
}

}  // namespace

Result<ProcStatus> ParseProcStatus(std::string_view text) {
  ProcStatus status;
  enum Field { kUid, kGid, kGroups, kParent, kTracer, kNoNewPrivs, kFields };
  constexpr std::string_view kNames[kFields] = {"Uid", "Gid", "Groups", "PPid", "TracerPid", "NoNewPrivs"};
  bool seen[kFields] = {};
  while (!text.empty()) {
    std::string_view value = Cut(text, '\n');
    if (value.find(':') == std::string_view::npos) continue;
    const std::string_view name = Cut(value, ':');
    const auto* found = std::find(std::begin(kNames), std::end(kNames), name);
    if (found == std::end(kNames)) continue;
    const auto field = static_cast<Field>(found - std::begin(kNames));
    // The command name is on the first line with \n escaped, so that no process can add a line: two of one name are a
    // lie.
    if (std::exchange(seen[field], true)) return Bad("process status", fmt::format("{} is there twice", name));
    bool good = false;
    if (field == kUid || field == kGid) {
      const auto ids = FourIds(value);
      good = ids.has_value();
      if (good) (field == kUid ? status.uid : status.gid) = *ids;
    } else if (field == kGroups) {
      auto groups = IdList(value);
      good = groups.has_value();
      if (good) status.groups = *std::move(groups);
    } else if (const auto word = OneWord(value)) {
      if (field == kNoNewPrivs) {
        good = *word == "0" || *word == "1";
        status.no_new_privs = *word == "1";
      } else if (const auto pid = Pid(*word)) {
        good = true;
        (field == kParent ? status.parent : status.tracer) = *pid;
      }
    }
    if (!good) return Bad("process status", fmt::format("{} is malformed", name));
  }
  for (int field = 0; field < kFields; ++field) {
    if (!seen[field]) return Bad("process status", fmt::format("{} is missing", kNames[field]));
  }
  return status;
}

Result<ProcStat> ParseProcStat(std::string_view text) {
  // proc(5): "pid (comm) state ppid …"; comm is whatever the process likes, so count from the last ')'.
  const size_t end_of_name = text.rfind(')');
  if (end_of_name == std::string_view::npos) return Bad("process stat", "no command name");
  std::string_view rest = text.substr(end_of_name + 1);
  if (rest.ends_with('\n')) rest.remove_suffix(1);  // one inside would be a field of another line
  const auto fields = Words(rest, " ");             // fields[0] is field 3
  if (fields.size() < 20) return Bad("process stat", fmt::format("only {} fields", fields.size() + 2));
  const auto parent = Pid(fields[1]);
  const auto flags = Number<uint32_t>(fields[6]);
  const auto start_time = Number<uint64_t>(fields[19]);
  int32_t tty = 0;  // the kernel writes it with a sign
  const auto [end, error] = std::from_chars(fields[4].data(), fields[4].data() + fields[4].size(), tty);
  if (!parent || !flags || !start_time || error != std::errc() || end != fields[4].data() + fields[4].size()) {
    return Bad("process stat", "a field is not a number");
  }
  constexpr uint32_t kPfKthread = 0x00200000;  // include/linux/sched.h
  return ProcStat{*parent, static_cast<uint32_t>(tty), (*flags & kPfKthread) != 0, *start_time};
}

std::string TtyName(uint32_t device) {
  if (device == 0) return "none";
  // include/linux/kdev_t.h, new_encode_dev: minor in bits 0-7 and 20-31, major in bits 8-19
  const uint32_t major = (device >> 8) & 0xfff;
  const uint32_t minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  // Documentation/admin-guide/devices.txt
  if (major >= 136 && major <= 143) return fmt::format("pts/{}", (major - 136) * 256 + minor);
  if (major == 4) return minor < 64 ? fmt::format("tty{}", minor) : fmt::format("ttyS{}", minor - 64);
  if (major == 5 && minor == 1) return "console";
  return fmt::format("{}:{}", major, minor);
}

Result<std::vector<CgroupMembership>> ParseCgroups(std::string_view text) {
  std::vector<CgroupMembership> memberships;
  while (!text.empty()) {
    std::string_view path = Cut(text, '\n');
    const auto hierarchy = Number<uint32_t>(Cut(path, ':'));
    const std::string_view controllers = Cut(path, ':');
    if (!hierarchy || path.empty() || path.front() != '/') return Bad("cgroup list", "a malformed line");
    // cgroups(7): hierarchy 0 with no controllers is v2; every v1 hierarchy has a controller or a name.
    if ((*hierarchy == 0) != controllers.empty())
      return Bad("cgroup list", "hierarchy number and controllers disagree");
    // A list of nothing but commas would pass for the v2 hierarchy.
    if (controllers.starts_with(',') || controllers.ends_with(',') || controllers.find(",,") != std::string_view::npos)
      return Bad("cgroup list", "a controller without a name");
    CgroupMembership membership{{}, std::string(path)};
    for (std::string_view controller : Words(controllers, ",")) {
      const auto has = [controller](const CgroupMembership& other) {
        return std::count(other.controllers.begin(), other.controllers.end(), controller) != 0;
      };
      if (has(membership) || std::any_of(memberships.begin(), memberships.end(), has))
        return Bad("cgroup list", fmt::format("controller {} is there twice", controller));
      membership.controllers.emplace_back(controller);
    }
    if (membership.v2() && std::any_of(memberships.begin(), memberships.end(), [](const auto& m) { return m.v2(); })) {
      return Bad("cgroup list", "the v2 hierarchy is there twice");
    }
    memberships.push_back(std::move(membership));
  }
  return memberships;
}

Result<std::vector<Mount>> ParseMountInfo(std::string_view text) {
  std::vector<Mount> mounts;
  while (!text.empty()) {
    ASSIGN_OR_RETURN(Mount mount, ParseMountLine(Cut(text, '\n')));
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

bool HasMountOption(std::string_view options, std::string_view option) {
  const auto words = Words(options, ",");
  return std::find(words.begin(), words.end(), option) != words.end();
}

Result<uint64_t> ParseNamespaceLink(std::string_view kind, std::string_view link) {
  const std::string prefix = fmt::format("{}:[", kind);
  if (link.starts_with(prefix) && link.ends_with("]")) {
    if (const auto inode = Number<uint64_t>(link.substr(prefix.size(), link.size() - prefix.size() - 1))) return *inode;
  }
  return Bad("namespace link", fmt::format("not of the form {}<number>]", prefix));
}

Result<uint32_t> ParseLoginUid(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  const auto uid = Number<uint32_t>(text);
  if (!uid) return Bad("loginuid", "not a number");
  return *uid;
}

}  // namespace lanyard
