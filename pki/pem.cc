#include "pki/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <limits>

#include "pki/base64.h"
#include "pki/openssl_ptr.h"
#include "pki/secret_bytes.h"

namespace lanyard {
namespace {

// Lines that end a block.
std::size_t CountEnds(std::string_view pem) {
  constexpr std::string_view kEnd = "-----END ";
  std::size_t count = pem.starts_with(kEnd) ? 1 : 0;
  for (std::size_t at = pem.find('\n'); at != std::string_view::npos; at = pem.find('\n', at + 1))
    count += pem.substr(at + 1).starts_with(kEnd) ? 1 : 0;
  return count;
}

}  // namespace

Result<std::vector<std::string>> PemBlocks(std::string_view pem, std::string_view label) {
  if (pem.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    return Error(StatusCode::kInvalidArgument, "{} bytes are too many", pem.size());
  }
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));  // borrows
  if (bio == nullptr) return OpenSslError("read PEM");
  std::vector<std::string> blocks;
  std::size_t begun = 0;  // of all kinds
  while (true) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long length = 0;
    ERR_clear_error();
    if (PEM_read_bio(bio.get(), &name, &header, &data, &length) != 1) {
      if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) break;  // the end
      return OpenSslError(fmt::format("PEM block {}", blocks.size() + 1), StatusCode::kInvalidArgument);
    }
    const Owned<char, FreeOpenSslMemory> name_owner(name), header_owner(header);
    const OpenSslBytes data_owner(data);
    ++begun;
    if (name != label) {
      WipeMemory(data, static_cast<std::size_t>(length));  // may be a key
      continue;
    }
    blocks.emplace_back(reinterpret_cast<const char*>(data), static_cast<std::size_t>(length));
  }
  ERR_clear_error();
  // A block whose first line is damaged is text to OpenSSL: a list would be shorter, and nobody would know
  if (const std::size_t ends = CountEnds(pem); ends != begun) {
    return Error(StatusCode::kInvalidArgument, "{} PEM blocks end, but {} begin: the BEGIN line of one is damaged",
                 ends, begun);
  }
  return blocks;
}

std::string PemBlock(std::string_view label, std::string_view der) {
  const std::string text = Base64Encode(der);
  std::string pem = fmt::format("-----BEGIN {}-----\n", label);
  for (std::size_t at = 0; at < text.size(); at += 64) {
    pem.append(text, at, 64);
    pem += '\n';
  }
  return pem + fmt::format("-----END {}-----\n", label);
}

}  // namespace lanyard
