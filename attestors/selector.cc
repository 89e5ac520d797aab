#include "attestors/selector.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "node_agent/base/utf8.h"
#include "pki/hex.h"

namespace lanyard {
namespace {

constexpr size_t kMaxLength = 4096;

Status Malformed(std::string_view wanted) {
  return Error(StatusCode::kInvalidArgument, "must be {}", wanted);
}

Status CheckNumber(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || (text.size() > 1 && text.front() == '0')) return Malformed("a decimal number without leading zeros");
  return OkStatus();
}

Status CheckName(std::string_view text) {
  return FitsInSelector(text) ? OkStatus() : Malformed("a name");
}

// As the kernel writes paths: absolute, nothing to normalize.
Status CheckPath(std::string_view text) {
  const bool plain = !text.empty() && text.front() == '/' && text.find("//") == std::string_view::npos &&
                     (text.size() == 1 || text.back() != '/');
  if (!plain) return Malformed("an absolute path without a double or trailing slash");
  for (size_t start = 1; start < text.size();) {
    const size_t end = std::min(text.find('/', start), text.size());
    const std::string_view segment = text.substr(start, end - start);
    if (segment == "." || segment == "..") return Malformed("an absolute path without . and .. in it");
    start = end + 1;
  }
  return OkStatus();
}

Status CheckSha256(std::string_view text) {
  return IsLowerHex(text, 64) ? OkStatus() : Malformed("64 lower-case hexadecimal digits");
}

Status CheckCgroup(std::string_view text) {
  if (!text.empty() && text.front() == '/') return CheckPath(text);
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) {
    return Malformed("/path for cgroup v2, or controller:/path for v1");
  }
  if (text.substr(0, colon).find_first_of("/,") != std::string_view::npos)
    return Malformed("one controller and its path");
  return CheckPath(text.substr(colon + 1));
}

Status CheckScope(std::string_view text) {
  constexpr std::string_view kSuffix = ".scope";
  const bool scope =
      text.size() > kSuffix.size() && text.ends_with(kSuffix) && text.find('/') == std::string_view::npos;
  return scope ? OkStatus() : Malformed("the name of a systemd scope, ending with .scope");
}

Status CheckBool(std::string_view text) {
  return text == "true" || text == "false" ? OkStatus() : Malformed("true or false");
}

Status CheckNamespace(std::string_view text) {
  constexpr std::array<std::string_view, 7> kKinds = {"mnt", "pid", "net", "user", "uts", "ipc", "cgroup"};
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos ||
      std::find(kKinds.begin(), kKinds.end(), text.substr(0, colon)) == kKinds.end()) {
    return Malformed("one of mnt, pid, net, user, uts, ipc, cgroup, then a colon and an inode number or host");
  }
  const std::string_view which = text.substr(colon + 1);
  return which == "host" ? OkStatus() : CheckNumber(which);
}

// As an engine writes a label: its name has no colon (attestors leave such out), its value may be anything.
Status CheckLabel(std::string_view text) {
  const size_t colon = text.find(':');
  return colon != std::string_view::npos && colon > 0 ? OkStatus() : Malformed("a label's name, a colon and its value");
}

Status CheckVariable(std::string_view text) {
  const size_t equals = text.find('=');
  return equals != std::string_view::npos && equals > 0 ? OkStatus() : Malformed("a variable, as NAME=value");
}

Status CheckDigest(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (text.starts_with(kPrefix) && CheckSha256(text.substr(kPrefix.size())).ok()) return OkStatus();
  return Malformed("sha256: and 64 lower-case hexadecimal digits");
}

// systemd.unit(5). Other types of units have no processes, and a template is not a unit.
Status CheckUnit(std::string_view text) {
  constexpr std::array<std::string_view, 6> kTypes = {".service", ".scope", ".slice", ".socket", ".mount", ".swap"};
  const auto* type = std::find_if(kTypes.begin(), kTypes.end(), [&](auto suffix) { return text.ends_with(suffix); });
  const std::string_view name = type == kTypes.end() ? "" : text.substr(0, text.size() - type->size());
  const bool plain = text.size() <= 255 && std::all_of(name.begin(), name.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                              std::string_view(":-_.\\@").find(c) != std::string_view::npos;
                     });
  if (name.empty() || !plain)
    return Malformed(
        "the name of a unit that has processes, ending with .service, .scope, .slice, .socket, .mount or .swap");
  if (name.front() == '@' || name.back() == '@') return Malformed("a unit, not a template: agent@1.service");
  return OkStatus();
}

Status CheckSlice(std::string_view text) {
  return text.ends_with(".slice") && CheckUnit(text).ok() ? OkStatus()
                                                          : Malformed("the name of a slice, ending with .slice");
}

Status CheckInvocation(std::string_view text) {
  return IsLowerHex(text, 32) ? OkStatus() : Malformed("32 lower-case hexadecimal digits");
}

Status CheckTwoNames(std::string_view text) {
  const size_t colon = text.find(':');
  return colon != std::string_view::npos && colon > 0 && colon + 1 < text.size()
             ? OkStatus()
             : Malformed("two names, a colon between");
}

constexpr auto kId = SelectorStrength::kIdentifies;
constexpr auto kNarrow = SelectorStrength::kNarrowsOnly;
constexpr SelectorKind kKinds[] = {
    {"unix", "uid", "<number>", kId, CheckNumber},
    {"unix", "user", "<name>", kId, CheckName},
    {"unix", "gid", "<number>", kId, CheckNumber},
    {"unix", "group", "<name>", kId, CheckName},
    {"unix", "supplementary_gid", "<number>", kId, CheckNumber},
    {"unix", "supplementary_group", "<name>", kId, CheckName},
    {"unix", "path", "<absolute path>", kId, CheckPath},
    {"unix", "sha256", "<64 hex digits>", kId, CheckSha256},
    {"process", "cgroup", "<path> or <controller>:<path>", kId, CheckCgroup},
    {"process", "scope", "<unit>.scope", kId, CheckScope},
    {"process", "ancestor", "<absolute path>", kId, CheckPath},
    {"process", "ancestor_sha256", "<64 hex digits>", kId, CheckSha256},
    {"process", "loginuid", "<number>", kNarrow, CheckNumber},
    {"process", "tty", "<device> or none", kNarrow, CheckName},
    {"process", "ns", "<kind>:<inode> or <kind>:host", kNarrow, CheckNamespace},
    {"process", "traced", "true or false", kNarrow, CheckBool},
    {"process", "no_new_privs", "true or false", kNarrow, CheckBool},
    {"systemd", "id", "<unit>", kId, CheckUnit},
    {"systemd", "fragment_path", "<absolute path>", kId, CheckPath},
    {"systemd", "slice", "<unit>.slice", kId, CheckSlice},
    {"systemd", "invocation_id", "<32 hex digits>", kId, CheckInvocation},
    {"docker", "label", "<name>:<value>", kId, CheckLabel},
    {"docker", "env", "<NAME>=<value>", kId, CheckVariable},
    {"docker", "image_id", "<name>", kId, CheckName},
    {"docker", "image_config_digest", "sha256:<64 hex digits>", kId, CheckDigest},
    {"containerd", "label", "<name>:<value>", kId, CheckLabel},
    {"containerd", "env", "<NAME>=<value>", kId, CheckVariable},
    {"containerd", "image_id", "<name>", kId, CheckName},
    {"containerd", "image_config_digest", "sha256:<64 hex digits>", kId, CheckDigest},
    {"k8s", "ns", "<name>", kId, CheckName},
    {"k8s", "ns-label", "<name>:<value>", kId, CheckLabel},
    {"k8s", "sa", "<name>", kId, CheckName},
    {"k8s", "pod-label", "<name>:<value>", kId, CheckLabel},
    {"k8s", "pod-owner", "<kind>:<name>", kId, CheckTwoNames},
    {"k8s", "pod-owner-uid", "<kind>:<uid>", kId, CheckTwoNames},
    {"k8s", "pod-uid", "<uid>", kId, CheckName},
    {"k8s", "pod-name", "<name>", kId, CheckName},
    {"k8s", "pod-image", "<image>", kId, CheckName},
    {"k8s", "pod-image-count", "<number>", kNarrow, CheckNumber},
    {"k8s", "pod-init-image", "<image>", kId, CheckName},
    {"k8s", "pod-init-image-count", "<number>", kNarrow, CheckNumber},
    {"k8s", "container-name", "<name>", kId, CheckName},
    {"k8s", "container-image", "<image>", kId, CheckName},
    {"k8s", "node-name", "<name>", kNarrow, CheckName},
};

std::string_view KindOf(std::string_view value) {
  return value.substr(0, value.find(':'));
}

}  // namespace

bool FitsInSelector(std::string_view text) {
  if (text.empty() || text.size() > kMaxLength) return false;
  while (!text.empty()) {
    uint32_t character = 0;
    const size_t length = ReadUtf8(text, character);
    if (length == 0 || character < 0x20 || character == 0x7f) return false;
    text.remove_prefix(length);
  }
  return true;
}

Result<Selector> Selector::Parse(std::string_view text) {
  if (text.size() > kMaxLength)
    return Error(StatusCode::kInvalidArgument, "selector is {} bytes long, at most {} are allowed", text.size(),
                 kMaxLength);
  if (!FitsInSelector(text))
    return Error(StatusCode::kInvalidArgument, "selector is empty, or holds a control character or what is not UTF-8");
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size()) {
    return Error(StatusCode::kInvalidArgument, "selector \"{}\" is not of the form type:value, like unix:uid:1000",
                 text);
  }
  const std::string_view type = text.substr(0, colon);
  const bool plain = std::all_of(type.begin(), type.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  if (!plain)
    return Error(StatusCode::kInvalidArgument, "selector \"{}\": the type \"{}\" may only have a-z, 0-9, _ and -", text,
                 type);
  return Selector{std::string(type), std::string(text.substr(colon + 1))};
}

std::string Shown(const Selector& selector) {
  const size_t equals = selector.value.find('=');
  if (KindOf(selector.value) != "env" || equals == std::string::npos) return selector.str();
  return fmt::format("{}:{}=(not shown)", selector.type, std::string_view(selector.value).substr(0, equals));
}

std::span<const SelectorKind> SelectorKinds() {
  return kKinds;
}

const SelectorKind* FindSelectorKind(const Selector& selector) {
  for (const SelectorKind& row : kKinds) {
    if (row.type == selector.type && row.kind == KindOf(selector.value)) return &row;
  }
  return nullptr;
}

Result<SelectorStrength> CheckSelector(const Selector& selector) {
  const std::string_view kind = KindOf(selector.value);
  if (const SelectorKind* row = FindSelectorKind(selector)) {
    const Status value = kind.size() == selector.value.size() ? Malformed(row->form)
                         : !FitsInSelector(selector.value)
                             ? Malformed("UTF-8, free of control characters and not too long")
                             : row->check(std::string_view(selector.value).substr(kind.size() + 1));
    if (!value.ok()) return Annotate(value, "selector \"{}\": {}", selector.str(), row->kind);
    return row->strength;
  }
  std::string valid;
  for (const SelectorKind& row : kKinds) {
    if (row.type == selector.type) valid += fmt::format("{}{}", valid.empty() ? "" : ", ", row.kind);
  }
  if (valid.empty())
    return Error(StatusCode::kNotFound, "selector \"{}\": no built-in attestor has the type \"{}\"", selector.str(),
                 selector.type);
  return Error(StatusCode::kInvalidArgument, "selector \"{}\": type {} has no kind \"{}\", only {}", selector.str(),
               selector.type, kind, valid);
}

}  // namespace lanyard
