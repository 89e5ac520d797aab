#include "node_agent/registry/loader.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <unordered_map>

#include "node_agent/base/file_trust.h"
#include "node_agent/base/yaml.h"
#include "pki/digest.h"

namespace lanyard {
namespace {

// The registry files in a directory, sorted by name.
Result<std::vector<std::string>> ListFiles(const std::string& path, std::vector<std::string>& warnings) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenTrustedDirectory(path));
  std::unique_ptr<DIR, int (*)(DIR*)> directory(fdopendir(fd.get()), closedir);
  if (!directory) return ErrnoStatus(errno, fmt::format("list {}", path));
  static_cast<void>(fd.release());  // closedir closes it
  std::vector<std::string> files;
  errno = 0;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name.starts_with('.')) continue;
    if (name.ends_with(".yaml")) files.push_back(fmt::format("{}/{}", path, name));
    if (name.ends_with(".yml"))
      warnings.push_back(fmt::format("{}/{}: not read: the name of a registry file ends in .yaml", path, name));
    errno = 0;
  }
  if (errno != 0) return ErrnoStatus(errno, fmt::format("list {}", path));
  std::sort(files.begin(), files.end());
  return files;
}

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Result<FileContent> ReadRegistryFile(const std::string& file, const TrustDomain& trust_domain) {
  Result<std::string> text = ReadTrustedFile(file, kMaxYamlBytes, FileSecrecy::kPublic);
  if (!text.ok()) return Annotate(text.status(), "registry file {}", file);
  ASSIGN_OR_RETURN(FileContent content, ReadEntries(*text, file, trust_domain));
  Sha256 digest;
  digest.Update(*text);
  ASSIGN_OR_RETURN(content.digest, digest.FinishHex());
  return content;
}

// Gives entries the pointers that entries of the same content had before.
class PointerKeeper {
 public:
  explicit PointerKeeper(const Registry* previous) {
    if (previous == nullptr) return;
    for (const Registry::Item& item : previous->items()) known_.emplace(item.entry->id, item.entry);
  }

  void Keep(EntryPtr& entry) {
    const auto [begin, end] = known_.equal_range(entry->id);
    for (auto candidate = begin; candidate != end; ++candidate) {
      if (*candidate->second != *entry) continue;
      entry = candidate->second;
      known_.erase(candidate);  // two equal entries stay two
      return;
    }
  }

 private:
  std::unordered_multimap<SpiffeId, EntryPtr> known_;
};

// Warnings that only show when all files are seen together; of each kind no more than people would read.
class CrossFileWarnings {
 public:
  CrossFileWarnings(const Registry& registry, std::vector<std::string>& warnings)
      : registry_(registry), warnings_(warnings) {}

  void Give() {
    std::unordered_multimap<SpiffeId, EntryPtr> seen;
    std::unordered_map<std::string_view, int> holders;
    for (const Registry::Item& item : registry_.items()) {
      const auto [begin, end] = seen.equal_range(item.entry->id);
      const auto equal = std::find_if(begin, end, [&](const auto& other) { return *other.second == *item.entry; });
      if (equal != end)
        Warn(equal->second, item.entry, fmt::format("the entry of {} is in the registry twice", item.entry->id.str()));
      seen.emplace(item.entry->id, item.entry);
      ++holders[item.entry->hint];
    }
    for (const Registry::Item& item : registry_.items()) {
      if (!item.entry->hint.empty() && holders[item.entry->hint] > 1) GiveHintConflicts(item.entry);
    }
    if (given_ > kMaxWarnings)
      warnings_.push_back(fmt::format("registry: {} more warnings of this kind", given_ - kMaxWarnings));
  }

 private:
  static constexpr size_t kMaxWarnings = 50;

  // A caller with exactly the selectors of `entry` earns it and each other entry whose selectors are among them.
  void GiveHintConflicts(const EntryPtr& entry) {
    for (const auto& [served, left_out] : registry_.Match(entry->selectors, {}).hint_conflicts) {
      if (entry != served && entry != left_out) continue;                         // told at one of those two
      if (entry == served && served->selectors == left_out->selectors) continue;  // told at the other
      Warn(served, left_out,
           fmt::format("{} has the hint '{}' of {}: a caller that earns both gets only the latter", left_out->id.str(),
                       left_out->hint, served->id.str()));
    }
  }

  void Warn(const EntryPtr& first, const EntryPtr& second, std::string_view what) {
    if (++given_ > kMaxWarnings) return;
    warnings_.push_back(fmt::format("{}: {} (the other is at {})", registry_.PositionOf(second).str(), what,
                                    registry_.PositionOf(first).str()));
  }

  const Registry& registry_;
  std::vector<std::string>& warnings_;
  size_t given_ = 0;
};

class Load {
 public:
  Load(const RegistryOptions& options, const LoadedRegistry* previous) : options_(options), previous_(previous) {}

  LoadedRegistry Run() && {
    for (const std::string& path : options_.paths) {
      if (!result_.last_good.contains(path)) LoadPath(path);  // else it is named twice
    }
    std::vector<std::string> paths = options_.paths;
    if (!result_.never_good.empty()) KeepFormerPaths(paths);
    PointerKeeper pointers(previous_ == nullptr ? nullptr : previous_->registry.get());
    std::vector<Registry::Item> items;
    Sha256 revision;
    std::set<std::string_view> seen;
    for (const std::string& path : paths) {
      if (!seen.insert(path).second) continue;
      for (auto& [file, content] : result_.last_good[path]) {
        revision.Update(fmt::format("{} {}\n", content.digest, file));
        for (Registry::Item& item : content.items) {
          pointers.Keep(item.entry);
          items.push_back(item);
        }
        result_.warnings.insert(result_.warnings.end(), content.warnings.begin(), content.warnings.end());
      }
    }
    // "not known" is what a record says should OpenSSL have no SHA-256; no reason to refuse a registry.
    result_.registry = Registry::Build(std::move(items), revision.FinishHex().value_or("not known"));
    CrossFileWarnings(*result_.registry, result_.warnings).Give();
    return std::move(result_);
  }

 private:
  void LoadPath(const std::string& path) {
    const size_t errors_before = result_.errors.size();
    ReadPath(path);
    const bool was_good =
        previous_ != nullptr && previous_->last_good.contains(path) && !previous_->never_good.contains(path);
    if (!was_good && result_.errors.size() > errors_before) result_.never_good.insert(path);
  }

  // What is not configured any more stays until all that has taken its place was read once.
  void KeepFormerPaths(std::vector<std::string>& paths) {
    if (previous_ == nullptr) return;
    for (const auto& [path, files] : previous_->last_good) {
      if (files.empty() || !result_.last_good.emplace(path, files).second) continue;
      paths.push_back(path);
      result_.errors.push_back(
          fmt::format("registry path {}: not configured any more, but in force until {} can be read", path,
                      fmt::join(result_.never_good, ", ")));
    }
  }

  void ReadPath(const std::string& path) {
    std::vector<std::string> files = {path};
    const auto* kept = PreviousOf(path);
    if (IsDirectory(path)) {
      if (kept != nullptr && kept->contains(path)) {
        return KeepPath(
            path, Error(StatusCode::kFailedPrecondition,
                        "registry file {} is a directory now: restore it, or restart to read the directory", path));
      }
      Result<std::vector<std::string>> listed = ListFiles(path, result_.warnings);
      if (!listed.ok()) return KeepPath(path, Annotate(listed.status(), "registry directory {}", path));
      files = *std::move(listed);
    } else if (kept != nullptr && !kept->empty() && !kept->contains(path)) {
      // It was a directory with files; now it is gone, or something else is in its place.
      return KeepPath(path,
                      Error(StatusCode::kNotFound, "registry directory {} is not there any more: restore it", path));
    }
    auto& good = result_.last_good[path];
    for (const std::string& file : files) {
      Result<FileContent> content = ReadRegistryFile(file, options_.trust_domain);
      if (content.ok()) {
        good.emplace(file, *std::move(content));
        continue;
      }
      YamlErrors lines;
      lines.Add(content.status());
      for (std::string& line : lines.Sorted()) result_.errors.push_back(std::move(line));
      result_.broken.push_back(file);
      if (kept != nullptr && kept->contains(file)) good.emplace(file, kept->at(file));
    }
  }

  // The whole of a configured path stays as it was.
  void KeepPath(const std::string& path, const Status& why) {
    result_.errors.push_back(std::string(Message(why)));
    result_.broken.push_back(path);
    const auto* kept = PreviousOf(path);
    result_.last_good[path] = kept == nullptr ? std::map<std::string, FileContent>() : *kept;
  }

  const std::map<std::string, FileContent>* PreviousOf(const std::string& path) const {
    if (previous_ == nullptr) return nullptr;
    const auto found = previous_->last_good.find(path);
    return found == previous_->last_good.end() ? nullptr : &found->second;
  }

  const RegistryOptions& options_;
  const LoadedRegistry* previous_;
  LoadedRegistry result_;
};

}  // namespace

Status LoadedRegistry::status() const {
  if (errors.empty()) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "{}", fmt::join(errors, "\n"));
}

LoadedRegistry LoadRegistry(const RegistryOptions& options, const LoadedRegistry* previous) {
  return Load(options, previous).Run();
}

}  // namespace lanyard
