#include "node_agent/base/tls_files.h"

#include "node_agent/base/file_trust.h"

namespace lanyard {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

template <class Bytes>
Status Keep(const char* setting, Result<Bytes> read, Bytes& into) {
  if (!read.ok()) return Annotate(read.status(), "{}", setting);
  into = *std::move(read);
  return OkStatus();
}

}  // namespace

Result<TlsFiles> ReadTlsFiles(const TlsSettings& settings) {
  TlsFiles files;
  if (!settings.skip_verification)
    RETURN_IF_ERROR(
        Keep("ca_file", ReadTrustedFile(settings.ca_file, kMaxFileBytes, FileSecrecy::kPublic), files.authorities));
  if (settings.certificate_file.empty()) return files;
  RETURN_IF_ERROR(Keep("certificate_file",
                       ReadTrustedFile(settings.certificate_file, kMaxFileBytes, FileSecrecy::kPublic),
                       files.certificate));
  RETURN_IF_ERROR(Keep("key_file", ReadTrustedSecret(settings.key_file, kMaxFileBytes), files.key));
  return files;
}

}  // namespace lanyard
