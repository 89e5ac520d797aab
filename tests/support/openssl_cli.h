// The openssl program as the other side of a test: makes keys and certificates that our code did not make, and judges
// those that it did. Each object has a temporary directory of its own, in which all commands run.
//
// Needs `openssl` in the PATH. Header only.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace lanyard::testing {

class OpensslCli {
 public:
  struct Outcome {
    int exit_code = -1;
    std::string output;  // both streams
  };

  OpensslCli() {
    std::string name = (std::filesystem::temp_directory_path() / "lanyard-openssl-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    directory_ = name;
  }
  ~OpensslCli() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  OpensslCli(const OpensslCli&) = delete;
  OpensslCli& operator=(const OpensslCli&) = delete;

  // Runs "openssl <arguments>" through the shell, without input.
  Outcome Try(const std::string& arguments) const {
    const std::string command = "cd '" + directory_.string() + "' && openssl " + arguments + " 2>&1 < /dev/null";
    Outcome outcome;
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return outcome;
    std::array<char, 4096> buffer;
    while (const std::size_t size = fread(buffer.data(), 1, buffer.size(), pipe))
      outcome.output.append(buffer.data(), size);
    const int status = pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
  }

  // The same, and the test fails if the command does.
  std::string Run(const std::string& arguments) const {
    const Outcome outcome = Try(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << "openssl " << arguments << "\n" << outcome.output;
    return outcome.output;
  }

  std::string Path(const std::string& name) const { return (directory_ / name).string(); }
  std::string Read(const std::string& name) const {
    std::ifstream in(Path(name), std::ios::binary);
    EXPECT_TRUE(in.good()) << name;
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Write(const std::string& name, std::string_view bytes) const {
    std::ofstream out(Path(name), std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    EXPECT_TRUE(out.good()) << name;
  }

  // Makes NAME.key (P-256 unless `algorithm` says otherwise).
  void MakeKey(const std::string& name, const std::string& algorithm = "EC -pkeyopt ec_paramgen_curve:P-256") const {
    Run("genpkey -algorithm " + algorithm + " -out " + name + ".key");
  }

  // Makes NAME.crt with these extensions (lines of an openssl extension file), signed by ISSUER.key, or by itself if
  // `issuer` is empty. Makes NAME.key if there is none yet.
  void MakeCertificate(const std::string& name, const std::string& issuer, const std::string& extensions,
                       const std::string& subject = "/O=Other", const std::string& days = "30") const {
    if (!std::filesystem::exists(Path(name + ".key"))) MakeKey(name);
    Write(name + ".ext", extensions);
    Run("req -new -key " + name + ".key -subj '" + subject + "' -out " + name + ".csr");
    const std::string signer =
        issuer.empty() ? "-signkey " + name + ".key" : "-CA " + issuer + ".crt -CAkey " + issuer + ".key";
    Run("x509 -req -in " + name + ".csr " + signer + " -set_serial 0x" + NextSerial() + " -days " + days +
        " -extfile " + name + ".ext -out " + name + ".crt");
  }

 private:
  std::string NextSerial() const { return std::to_string(10000000 + ++serial_); }

  std::filesystem::path directory_;
  mutable int serial_ = 0;
};

}  // namespace lanyard::testing
