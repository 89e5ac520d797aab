#include "attestors/selector.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

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
    {"unix", "uid", "<number>", kId, CheckNumber, "effective user id; only who may become that user"},
    {"unix", "user", "<name>", kId, CheckName,
     "name of the uid in the node's user database; who may become that user, or edit the database"},
    {"unix", "gid", "<number>", kId, CheckNumber, "effective group id; only who may become that group"},
    {"unix", "group", "<name>", kId, CheckName,
     "name of the gid in the node's group database; who may become that group, or edit the database"},
    {"unix", "supplementary_gid", "<number>", kId, CheckNumber,
     "one of the supplementary groups; only who is given that group"},
    {"unix", "supplementary_group", "<name>", kId, CheckName,
     "name of a supplementary group; who is given that group, or edits the database"},
    {"unix", "path", "<absolute path>", kId, CheckPath,
     "the executable, in the node agent's own mount namespace; who may write that file, or run it and steer it (same "
     "uid)"},
    {"unix", "sha256", "<64 hex digits>", kId, CheckSha256,
     "SHA-256 of the executable; who may run a copy of it and steer it (same uid)"},
    {"process", "cgroup", "<path> or <controller>:<path>", kId, CheckCgroup,
     "the cgroup, if the caller may not write it; only who may move processes there (root, its delegate)"},
    {"process", "scope", "<unit>.scope", kId, CheckScope,
     "the systemd scope, if the caller may not write its cgroup; only who may move processes there"},
    {"process", "ancestor", "<absolute path>", kId, CheckPath,
     "executable of a living ancestor in the node agent's own mount namespace; who may run it and make it start the "
     "caller"},
    {"process", "ancestor_sha256", "<64 hex digits>", kId, CheckSha256,
     "SHA-256 of a living ancestor's executable; who may run a copy that starts the caller"},
    {"process", "loginuid", "<number>", kNarrow, CheckNumber,
     "audit login uid; a process that has none yet may set any"},
    {"process", "tty", "<device> or none", kNarrow, CheckName,
     "controlling terminal; a process may open one or give it up"},
    {"process", "ns", "<kind>:<inode> or <kind>:host", kNarrow, CheckNamespace,
     "a namespace, host being the node agent's own; a process may enter new ones"},
    {"process", "traced", "true or false", kNarrow, CheckBool,
     "whether a debugger is attached; any process of the same uid may attach"},
    {"process", "no_new_privs", "true or false", kNarrow, CheckBool,
     "whether exec can raise privileges; any process may set it on itself"},
    {"systemd", "id", "<unit>", kId, CheckUnit,
     "primary name of the unit that systemd finds the process in; who may start processes in it or move them there "
     "(root; with cgroup v1 and Delegate=, its user)"},
    {"systemd", "fragment_path", "<absolute path>", kId, CheckPath,
     "that unit's file; who may start processes in the unit, or write unit files (root)"},
    {"systemd", "slice", "<unit>.slice", kId, CheckSlice,
     "the slice that this unit lies in; who may start units in it (root)"},
    {"systemd", "invocation_id", "<32 hex digits>", kId, CheckInvocation,
     "the unit's present run, another one after each start; as for id"},
    {"docker", "label", "<name>:<value>", kId, CheckLabel,
     "label of the caller's container; who may start containers, and who made its image where `run` sets none of that "
     "name"},
    {"docker", "env", "<NAME>=<value>", kId, CheckVariable,
     "variable that the caller's container was made with; who may start containers, and who made its image where `run` "
     "sets none of that name"},
    {"docker", "image_id", "<name>", kId, CheckName,
     "image of the caller's container, as it was named to start it; who may start containers, or give an image on this "
     "machine that name"},
    {"docker", "image_config_digest", "sha256:<64 hex digits>", kId, CheckDigest,
     "digest of the image's configuration; who may start containers from that image and steer them (mounts, command)"},
    {"containerd", "label", "<name>:<value>", kId, CheckLabel,
     "label that the caller's container was made with over the CRI; who may create pods on this node, or reach the "
     "runtime's socket"},
    {"containerd", "env", "<NAME>=<value>", kId, CheckVariable,
     "variable that the caller's container was made with; who may create pods on this node, and who made its image "
     "where the pod sets none of that name"},
    {"containerd", "image_id", "<name>", kId, CheckName,
     "image of the caller's container, as the runtime names it; who may create pods on this node, or give an image on "
     "it that name"},
    {"containerd", "image_config_digest", "sha256:<64 hex digits>", kId, CheckDigest,
     "digest of the image's configuration; who may create pods from that image and steer them (mounts, command)"},
    {"k8s", "ns", "<name>", kId, CheckName,
     "namespace of the caller's pod; who may create pods in that namespace, or static pods on this node"},
    {"k8s", "ns-label", "<name>:<value>", kId, CheckLabel,
     "label of that namespace; who may change namespaces, or create pods in one that has it"},
    {"k8s", "sa", "<name>", kId, CheckName,
     "service account of the caller's pod; who may create pods in its namespace: always with k8s:ns, since every "
     "namespace has accounts of the same names"},
    {"k8s", "pod-label", "<name>:<value>", kId, CheckLabel,
     "label of the caller's pod; who may create or change pods in its namespace"},
    {"k8s", "pod-owner", "<kind>:<name>", kId, CheckTwoNames,
     "what owns the caller's pod (ReplicaSet, StatefulSet, Job); who may create or change pods in its namespace"},
    {"k8s", "pod-owner-uid", "<kind>:<uid>", kId, CheckTwoNames,
     "the same by uid, which no other will ever have; who may create or change pods in its namespace"},
    {"k8s", "pod-uid", "<uid>", kId, CheckName, "the caller's pod itself; nobody: no other will ever have it"},
    {"k8s", "pod-name", "<name>", kId, CheckName,
     "name of the caller's pod; who may create pods of that name in any namespace: with k8s:ns"},
    {"k8s", "pod-image", "<image>", kId, CheckName,
     "image of one of the pod's containers, by its name or with its digest; who may create pods that have such a "
     "container beside others"},
    {"k8s", "pod-image-count", "<number>", kNarrow, CheckNumber, "how many containers the pod has, init ones apart"},
    {"k8s", "pod-init-image", "<image>", kId, CheckName, "image of one of the pod's init containers; as for pod-image"},
    {"k8s", "pod-init-image-count", "<number>", kNarrow, CheckNumber, "how many init containers the pod has"},
    {"k8s", "container-name", "<name>", kId, CheckName,
     "name of the caller's container within its pod; who may create pods in any namespace: with k8s:ns and k8s:sa"},
    {"k8s", "container-image", "<image>", kId, CheckName,
     "image of the caller's container, by its name or with its digest; who may create pods from that image and steer "
     "them (mounts, command)"},
    {"k8s", "node-name", "<name>", kNarrow, CheckName, "the node that the pod runs on: the same for all its pods"},
};

std::string_view KindOf(std::string_view value) {
  return value.substr(0, value.find(':'));
}

}  // namespace

bool FitsInSelector(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLength &&
         std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

Result<Selector> Selector::Parse(std::string_view text) {
  if (text.size() > kMaxLength)
    return Error(StatusCode::kInvalidArgument, "selector is {} bytes long, at most {} are allowed", text.size(),
                 kMaxLength);
  if (!FitsInSelector(text))
    return Error(StatusCode::kInvalidArgument, "selector is empty or holds a control character");
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
                             ? Malformed("free of control characters and not too long")
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
