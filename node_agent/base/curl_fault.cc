#include "node_agent/base/curl_fault.h"

#include <algorithm>
#include <array>

#include "node_agent/base/printable.h"

namespace lanyard {
namespace {

// What a chain of certificates lacks: X509_V_ERR_… of OpenSSL, which are numbers of its ABI.
enum Verdict : long {
  kNone = 1,  // as libcurl has it before there is one; OpenSSL's for what has no number
  kNoIssuer = 2,
  kSignatureFails = 7,
  kNotYetValid = 9,
  kExpired = 10,
  kSelfSigned = 18,
  kSelfSignedInChain = 19,
  kNoLocalIssuer = 20,
  kNoIssuerOfLeaf = 21,
};

// The words of OpenSSL's for the alerts of RFC 8446 §6.2 and RFC 5246 §7.2.2 by which a server refuses our certificate.
constexpr std::array<std::string_view, 8> kRefusals = {"alert bad certificate",     "alert unsupported certificate",
                                                       "alert certificate revoked", "alert certificate expired",
                                                       "alert certificate unknown", "alert unknown ca",
                                                       "alert access denied",       "alert certificate required"};
// What OpenSSL says of records that are none.
constexpr std::array<std::string_view, 3> kNoTls = {"wrong version number", "packet length too long", "http request"};

template <size_t n>
std::string_view FirstIn(std::string_view text, const std::array<std::string_view, n>& words) {
  const auto* found = std::find_if(words.begin(), words.end(), [&](auto word) { return text.find(word) != text.npos; });
  return found == words.end() ? std::string_view() : *found;
}

// "error:0A00010B:SSL routines::wrong version number" → "wrong version number".
std::string_view Reason(std::string_view text) {
  const size_t end = text.rfind("::");
  return end == text.npos ? text : text.substr(end + 2);
}

// The names in the server's certificate, as OpenSSL prints them: "DNS:node2, IP Address:10.0.0.7".
std::string NamesOf(const CurlLibrary& curl, CURL* easy) {
  constexpr std::string_view kNames = "X509v3 Subject Alternative Name:";
  curl_certinfo* chain = nullptr;
  if (curl.easy_getinfo(easy, CURLINFO_CERTINFO, &chain) != CURLE_OK || chain == nullptr || chain->num_of_certs == 0)
    return "names that cannot be read";
  for (const curl_slist* line = chain->certinfo[0]; line != nullptr; line = line->next) {
    const std::string_view text = line->data;
    if (text.starts_with(kNames)) return Printable(text.substr(kNames.size(), 300));
  }
  return "no name at all";
}

Status Distrust(const CurlLibrary& curl, CURL* easy, std::string_view text, const TlsSettings& tls) {
  long verdict = 0;
  curl.easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
  // libcurl's words for a chain; what else there is to verify is the name
  if (verdict <= kNone && !text.starts_with("SSL certificate problem"))
    return Error(StatusCode::kPermissionDenied,
                 "its certificate is not for {} but for {}; another server answers there, or server_name is wrong",
                 tls.server_name, NamesOf(curl, easy));
  switch (verdict) {
    case kNoIssuer:
    case kSignatureFails:
    case kSelfSigned:
    case kSelfSignedInChain:
    case kNoLocalIssuer:
    case kNoIssuerOfLeaf:
      return Error(StatusCode::kPermissionDenied,
                   "its certificate is not signed by an authority of {}; another server answers there, or ca_file must "
                   "hold the authority that signs for this one",
                   tls.ca_file);
    case kExpired:
      return Error(StatusCode::kPermissionDenied,
                   "its certificate, or an authority's, has expired; renew it, or set this machine's clock");
    case kNotYetValid:
      return Error(StatusCode::kPermissionDenied,
                   "its certificate, or an authority's, is not valid yet; set the clock of this machine or of theirs");
    default:
      return Error(StatusCode::kPermissionDenied, "its certificate is not accepted: {}", Printable(text));
  }
}

// A TLS connection that did not come to be, or ended with an alert.
Status DescribeTls(const CurlLibrary& curl, CURL* easy, CURLcode code, std::string_view text, const TlsSettings& tls) {
  if (!FirstIn(text, kNoTls).empty()) return Error(StatusCode::kUnavailable, "what answers there does not speak TLS");
  const std::string_view refusal = FirstIn(text, kRefusals);
  if (refusal.empty()) {
    long status = 0;
    curl.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    // In TLS 1.3 a client hears that its certificate is refused after its own handshake is complete (RFC 8446 §2), and
    // where the connection is reset then, may not hear why. In TLS 1.2 who has none is told of a failure (RFC 5246
    // §7.4.6).
    const bool hung_up = status == 0 && (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR);
    const bool ours = hung_up || text.find("alert handshake failure") != text.npos;
    return Error(StatusCode::kUnavailable, "TLS: {}{}", hung_up ? "it hung up" : Printable(Reason(text)),
                 !ours ? std::string()
                 : tls.certificate_file.empty()
                     ? "; does it want a certificate of ours?"
                     : fmt::format("; does it accept our certificate {}?", tls.certificate_file));
  }
  if (tls.certificate_file.empty())
    return Error(StatusCode::kPermissionDenied,
                 "it wants a certificate of ours, and there is none ({}): set certificate_file and key_file", refusal);
  return Error(StatusCode::kPermissionDenied, "it does not accept our certificate {} ({})", tls.certificate_file,
               refusal);
}

Status DescribeConnect(const CurlLibrary& curl, CURL* easy, std::string_view text, const HttpPeer& peer) {
  long error = 0;
  curl.easy_getinfo(easy, CURLINFO_OS_ERRNO, &error);
  // A Unix socket's connect() does not go on by itself after EAGAIN; libcurl waits, finds no connection and no error.
  if (std::holds_alternative<UnixServer>(peer) && (error == 0 || error == EAGAIN))
    return Error(StatusCode::kUnavailable, "connect: too many connections wait to be accepted");
  if (error == 0) return Error(StatusCode::kUnavailable, "connect: {}", Printable(text));
  return ErrnoStatus(static_cast<int>(error), "connect");
}

}  // namespace

Status ExplainFault(const CurlLibrary& curl, CURL* easy, CURLcode code, std::string_view text, const HttpPeer& peer) {
  const TlsSettings* tls = TlsOf(peer);
  if (text.empty()) text = curl.easy_strerror(code);
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      return Error(StatusCode::kUnavailable, "what came is not HTTP");
    case CURLE_COULDNT_RESOLVE_HOST:
      return Error(StatusCode::kUnavailable, "its address cannot be resolved; see DNS and /etc/hosts");
    case CURLE_COULDNT_CONNECT:
      return DescribeConnect(curl, easy, text, peer);
    default:
      break;
  }
  if (tls == nullptr) return Error(StatusCode::kUnavailable, "{}", curl.easy_strerror(code));
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
      return Distrust(curl, easy, text, *tls);
    case CURLE_SSL_CACERT_BADFILE:
      return Error(StatusCode::kFailedPrecondition, "ca_file {} does not hold certificates in PEM", tls->ca_file);
    case CURLE_SSL_CERTPROBLEM:
      return Error(StatusCode::kFailedPrecondition,
                   "certificate_file {} and key_file {} are not a certificate and its unencrypted key in PEM: {}",
                   tls->certificate_file, tls->key_file, Printable(text));
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      return DescribeTls(curl, easy, code, text, *tls);
    default:
      return Error(StatusCode::kUnavailable, "{}", curl.easy_strerror(code));
  }
}

}  // namespace lanyard
