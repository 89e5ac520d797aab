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
#include <vector>

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

  // Makes NAME.crl (PEM): what ISSUER.crt has revoked, namely these serial numbers (hex). `options` go to `openssl ca`.
  void MakeCrl(const std::string& name, const std::string& issuer, const std::vector<std::string>& serials = {},
               const std::string& extensions = "authorityKeyIdentifier=keyid\n",
               const std::string& options = "-crldays 30") const {
    std::string index;
    for (const std::string& serial : serials) {
      const std::string even = serial.size() % 2 == 0 ? serial : "0" + serial;
      index += "R\t491231235959Z\t260101000000Z,keyCompromise\t" + even + "\tunknown\t/CN=revoked\n";
    }
    Write(name + ".index", index);
    Write(name + ".number", "1000\n");
    Write(name + ".conf",
          "[ca]\ndefault_ca=c\n[c]\ndefault_md=sha256\nunique_subject=no\ndatabase=" + name + ".index\n" +
              (extensions.empty() ? "" : "crlnumber=" + name + ".number\ncrl_extensions=e\n") + "[e]\n" + extensions);
    Run("ca -gencrl -config " + name + ".conf -cert " + issuer + ".crt -keyfile " + issuer + ".key " + options +
        " -out " + name + ".crl");
  }

 private:
  std::string NextSerial() const { return std::to_string(10000000 + ++serial_); }

  std::filesystem::path directory_;
  mutable int serial_ = 0;
};

}  // namespace lanyard::testing
