#include "node_agent/app/config_checks.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <initializer_list>

#include "node_agent/base/duration.h"
#include "node_agent/base/file.h"
#include "workload_api/client/endpoint.h"

namespace lanyard {
namespace {

// The node at the end of `keys`, or as far as the text goes: what a default value is reported at.
const YamlNode& Locate(const YamlNode& root, std::initializer_list<std::string_view> keys) {
  const YamlNode* node = &root;
  for (const std::string_view key : keys) {
    const YamlNode* next = node->Find(key);
    if (next == nullptr) break;
    node = next;
  }
  return *node;
}

bool IsUnder(const std::string& path, const std::string& directory) {
  if (path == directory) return true;
  return path.starts_with(directory) && (directory.ends_with('/') || path[directory.size()] == '/');
}

bool SameFile(const std::string& a, const struct stat& b) {
  struct stat info {};
  return stat(a.c_str(), &info) == 0 && info.st_dev == b.st_dev && info.st_ino == b.st_ino;
}

// `path` with the symbolic links of the part that exists followed. A link that leads nowhere yet may lead anywhere
// tomorrow.
Result<std::string> FollowLinks(const std::string& path) {
  for (std::string part = path; part != "/" && part != "."; part = ParentDirectory(part)) {
    struct stat info {};
    if (lstat(part.c_str(), &info) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      return ErrnoStatus(errno, fmt::format("look at {}", part));
    }
    if (S_ISLNK(info.st_mode) && stat(part.c_str(), &info) != 0) {
      return ErrnoStatus(errno, fmt::format("follow the symbolic link {}", part));
    }
  }
  std::error_code error;
  const std::filesystem::path followed = std::filesystem::weakly_canonical(path, error);
  if (error) return Error(StatusCode::kUnavailable, "follow the links of {}: {}", path, error.message());
  return followed.string();
}

// Whether `path` is `directory`, lies under it, or will once it is made. Names tell for what does not exist yet; device
// and inode see through bind mounts.
Result<bool> LiesIn(const std::string& path, const std::string& directory) {
  if (IsUnder(path, directory)) return true;
  ASSIGN_OR_RETURN(const std::string real_path, FollowLinks(path));
  ASSIGN_OR_RETURN(const std::string real_directory, FollowLinks(directory));
  if (IsUnder(real_path, real_directory)) return true;
  struct stat info {};
  if (stat(real_directory.c_str(), &info) != 0) return false;
  for (std::string part = real_path; part != "/" && part != "."; part = ParentDirectory(part)) {
    if (SameFile(part, info)) return true;
  }
  return false;
}

class Agreement {
 public:
  Agreement(const Config& config, const YamlNode& root, std::span<const SourcePosition> unread, YamlErrors& errors)
      : config_(config), root_(root), unread_(unread), errors_(errors) {}

  void Check() {
    CheckAdminMode();
    CheckAdminDirectory();
    KeepOutOfWorkloadDirectory(ParentDirectory(config_.admin_socket.path), {"admin_socket", "path"},
                               "the admin socket");
    KeepOutOfWorkloadDirectory(config_.data_dir, {"data_dir"}, "data_dir");
    CheckRegistryPaths();
    CheckAuditPaths();
    CheckGivenIssuer();
    CheckForeignBundles();
    CheckBundleEndpoint();
    CheckLifetimes();
  }

 private:
  using Keys = std::initializer_list<std::string_view>;

  // False when the value at `keys` had an error of its own: the default that stands in for it proves nothing.
  bool Read(Keys keys) const {
    return std::find(unread_.begin(), unread_.end(), Locate(root_, keys).position()) == unread_.end();
  }

  // The workload socket's directory is mounted into containers, and uid 0 there may pass every mode. A read-only mount
  // does not stop connect().
  void KeepOutOfWorkloadDirectory(const std::string& path, Keys keys, std::string_view what) {
    if (Read(keys)) KeepOutOfWorkloadDirectory(path, Locate(root_, keys), what);
  }
  void KeepOutOfWorkloadDirectory(const std::string& path, const YamlNode& at, std::string_view what) {
    if (!Read({"workload_socket", "path"})) return;
    const std::string directory = ParentDirectory(config_.workload_socket.path);
    const Result<bool> inside = LiesIn(path, directory);
    if (!inside.ok()) {
      errors_.Add(at.At(Annotate(inside.status(), "check that {} is outside the workload socket's directory", what)));
    } else if (*inside) {
      errors_.Add(
          at.Fail("{} is in or under {}, the workload socket's directory, which every container may mount; choose a "
                  "place outside it",
                  what, directory));
    }
  }

  void CheckAuditPaths() {
    const YamlNode* audit = root_.Find("audit");
    const YamlNode* path = audit == nullptr ? nullptr : audit->Find("path");  // else it lies in data_dir
    if (path != nullptr && Read({"audit", "path"}))
      KeepOutOfWorkloadDirectory(config_.audit.path, *path, "the audit log");
    const std::string& copy = config_.audit.checkpoints_to;
    if (!Read({"audit", "checkpoints_to"}) || !copy.starts_with('/')) return;
    KeepOutOfWorkloadDirectory(copy, {"audit", "checkpoints_to"}, "the copy of the checkpoints");
    if (copy == config_.audit.path) {
      errors_.Add(
          Locate(root_, {"audit", "checkpoints_to"}).Fail("the copy of the checkpoints is the audit log itself"));
    }
  }

  void CheckAdminMode() {
    if (!Read({"admin_socket", "mode"}) || !Read({"admin_socket", "group"})) return;
    const AdminSocketConfig& admin = config_.admin_socket;
    const YamlNode& at = Locate(root_, {"admin_socket", "mode"});
    const mode_t wanted = admin.group.empty() ? 0600 : 0660;
    if (admin.mode == wanted) return;
    if (admin.group.empty()) {
      errors_.Add(at.Fail(
          "the admin socket's mode is \"0600\", not \"{:04o}\"; to let operators in who are not root, set group",
          admin.mode));
    } else {
      errors_.Add(
          at.Fail("with a group the admin socket's mode is \"0660\", not \"{:04o}\"; leave mode out", admin.mode));
    }
  }

  void CheckAdminDirectory() {
    if (!Read({"admin_socket", "path"}) || !Read({"admin_socket", "group"})) return;
    const AdminSocketConfig& admin = config_.admin_socket;
    const YamlNode& at = Locate(root_, {"admin_socket", "path"});
    const std::string directory = ParentDirectory(admin.path);
    struct stat info {};
    if (stat(directory.c_str(), &info) != 0) {
      if (errno == ENOENT) return;  // the agent will make it
      errors_.Add(at.At(ErrnoStatus(errno, fmt::format("look at the admin socket's directory {}", directory))));
      return;
    }
    if (!S_ISDIR(info.st_mode)) {
      errors_.Add(at.Fail("the admin socket's directory {} is not a directory", directory));
    } else if ((info.st_mode & 0777 & ~admin.directory_mode()) != 0) {
      errors_.Add(
          at.Fail("the admin socket's directory {} has mode {:04o}, which lets others in; give the socket a directory "
                  "of its own with mode "
                  "{:04o}",
                  directory, info.st_mode & 07777, admin.directory_mode()));
    }
  }

  void CheckRegistryPaths() {
    if (!Read({"registry", "paths"})) return;
    const YamlNode& list = Locate(root_, {"registry", "paths"});
    const Result<std::span<const YamlNode>> nodes = list.AsList();
    std::vector<std::string> seen;
    for (size_t i = 0; i < config_.registry_paths.size(); ++i) {
      const std::string& path = config_.registry_paths[i];
      const YamlNode& at = nodes.ok() && i < nodes->size() ? (*nodes)[i] : list;
      KeepOutOfWorkloadDirectory(path, at, "a registry path");
      const std::string real =
          FollowLinks(path).value_or(path);  // a link that leads nowhere was reported the line above
      if (std::find(seen.begin(), seen.end(), real) != seen.end())
        errors_.Add(at.Fail("the registry path {} is named twice", path));
      seen.push_back(real);
    }
  }

  void CheckGivenIssuer() {
    if (!config_.embedded_ca.given) return;
    const auto check = [this](const std::string& path, std::string_view key) {
      if (!path.empty()) KeepOutOfWorkloadDirectory(path, {"identity_source", "embedded_ca", key}, key);
    };
    check(config_.embedded_ca.given->issuer_cert, "issuer_cert");
    check(config_.embedded_ca.given->issuer_key, "issuer_key");
    check(config_.embedded_ca.given->upstream_roots, "upstream_roots");
    check(config_.embedded_ca.given->jwt_authority_key, "jwt_authority_key");
    check(config_.embedded_ca.given->issuer_root_crl, "issuer_root_crl");
  }

  void CheckForeignBundles() {
    for (const ForeignBundleFile& file : config_.federation.trust_domains) {
      KeepOutOfWorkloadDirectory(file.path, {"federation", "trust_domains", file.trust_domain.name(), "bundle_path"},
                                 "bundle_path");
    }
  }

  void CheckBundleEndpoint() {
    const BundleEndpointConfig& bundle = config_.endpoints.bundle;
    if (!bundle.cert.empty()) KeepOutOfWorkloadDirectory(bundle.cert, {"endpoints", "bundle", "cert"}, "cert");
    if (!bundle.key.empty()) KeepOutOfWorkloadDirectory(bundle.key, {"endpoints", "bundle", "key"}, "key");
  }

  // The next root signs from five sixths of a root's life on, so an SVID of at most a sixth never outlives its root.
  void CheckLifetimes() {
    if (config_.embedded_ca.given || !Read({"svid", "x509_ttl"}) || !Read({"identity_source", "embedded_ca", "ca_ttl"}))
      return;
    const auto longest = config_.embedded_ca.ca_ttl / 6;
    const YamlNode* svid = root_.Find("svid");
    // The default is cut short where it does not fit; a value that somebody wrote is meant
    const YamlNode* jwt_ttl = svid != nullptr && Read({"svid", "jwt_ttl"}) ? svid->Find("jwt_ttl") : nullptr;
    if (jwt_ttl != nullptr && config_.svid.jwt_ttl > longest) {
      errors_.Add(jwt_ttl->Fail("svid.jwt_ttl {} is longer than a sixth of ca_ttl {}",
                                FormatDuration(config_.svid.jwt_ttl), FormatDuration(config_.embedded_ca.ca_ttl)));
    }
    if (config_.svid.x509_ttl <= longest) return;
    const YamlNode* ttl = svid != nullptr ? svid->Find("x509_ttl") : nullptr;
    const YamlNode& at = ttl != nullptr ? *ttl : Locate(root_, {"identity_source", "embedded_ca", "ca_ttl"});
    errors_.Add(
        at.Fail("svid.x509_ttl {} is longer than a sixth of ca_ttl {}; shorten it to {} or lengthen ca_ttl to {}",
                FormatDuration(config_.svid.x509_ttl), FormatDuration(config_.embedded_ca.ca_ttl),
                FormatDuration(longest), FormatDuration(config_.svid.x509_ttl * 6)));
  }

  const Config& config_;
  const YamlNode& root_;
  std::span<const SourcePosition> unread_;
  YamlErrors& errors_;
};

}  // namespace

Result<std::string> CheckAbsolutePath(const YamlNode& node) {
  ASSIGN_OR_RETURN(std::string path, node.AsString());
  if (!path.starts_with('/')) return node.Fail("\"{}\" must be an absolute path", path);
  for (const auto& part : std::filesystem::path(path)) {
    if (part == "..") return node.Fail("\"{}\" must not go up by \"..\"", path);
  }
  path = std::filesystem::path(path).lexically_normal().string();
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

Result<std::string> CheckSocketPath(const YamlNode& node) {
  ASSIGN_OR_RETURN(std::string path, CheckAbsolutePath(node));
  if (path == "/") return node.Fail("\"/\" is a directory, not a place for a socket");
  if (path.size() > kMaxSocketPath) {
    return node.Fail("the path has {} bytes, a Unix socket has at most {}", path.size(), kMaxSocketPath);
  }
  return path;
}

void CheckAgreement(const Config& config, const YamlNode& root, std::span<const SourcePosition> unread,
                    YamlErrors& errors) {
  Agreement(config, root, unread, errors).Check();
}

}  // namespace lanyard
