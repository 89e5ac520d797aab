// A directory of a test's own, removed with everything in it.
//
// Its mode is 0700; files are written with exactly the mode that is asked for, whatever the umask.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace lanyard {

class TempDir {
 public:
  TempDir() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/lanyard-test-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) std::abort();
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string Path(std::string_view name) const { return path_ + "/" + std::string(name); }

  // Writes in place, as a careless editor does. Returns the file's path.
  std::string Write(std::string_view name, std::string_view text, mode_t mode = 0644) const {
    const std::string path = Path(name);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    if (chmod(path.c_str(), mode) != 0) std::abort();
    return path;
  }

  std::string MakeDir(std::string_view name, mode_t mode = 0755) const {
    const std::string path = Path(name);
    std::filesystem::create_directories(path);
    if (chmod(path.c_str(), mode) != 0) std::abort();
    return path;
  }

  std::string Link(std::string_view target, std::string_view name) const {
    const std::string path = Path(name);
    std::filesystem::create_symlink(std::string(target), path);
    return path;
  }

 private:
  std::string path_;
};

}  // namespace lanyard
