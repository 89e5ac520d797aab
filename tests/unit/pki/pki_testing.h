// Shortcuts for the tests of this room.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "pki/bundle.h"
#include "pki/certificate.h"
#include "pki/issuer.h"
#include "pki/root.h"
#include "pki/spiffe_id.h"
#include "pki/x509_svid.h"
#include "tests/support/openssl_cli.h"

namespace lanyard::testing {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using TimePoint = std::chrono::system_clock::time_point;

// Certificates by the openssl program are valid from the moment they are made, so these tests' time is today's.
inline TimePoint Now() {
  return std::chrono::floor<seconds>(std::chrono::system_clock::now());
}

// A value that must be there: the test stops with the error's text if it is not.
template <class T>
T Get(Result<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.status();
    std::abort();
  }
  return *std::move(result);
}

inline TrustDomain Td(std::string_view name = "example.org") {
  return Get(TrustDomain::Parse(name));
}
inline SpiffeId Id(std::string_view text) {
  return Get(SpiffeId::Parse(text));
}

template <class T>
Status StatusOf(const Result<T>& result) {
  return result.status();
}
inline Status StatusOf(const Status& status) {
  return status;
}

MATCHER_P2(FailsWith, code, text, "") {
  const Status status = StatusOf(arg);
  *result_listener << status;
  return status.code() == code && std::string(Message(status)).find(text) != std::string::npos;
}
MATCHER_P(Refused, text, "") {
  const Status status = StatusOf(arg);
  *result_listener << status;
  return status.code() == StatusCode::kInvalidArgument && std::string(Message(status)).find(text) != std::string::npos;
}

inline Certificate ReadCertificate(const OpensslCli& cli, const std::string& name) {
  return Get(Certificate::FromPem(cli.Read(name + ".crt")));
}
inline PrivateKey ReadKey(const OpensslCli& cli, const std::string& name) {
  return Get(PrivateKey::FromPem(cli.Read(name + ".key")));
}

// Extension lines for the openssl program.
inline const std::string kCaExtensions =
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
inline const std::string kLeafExtensions =
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
    "authorityKeyIdentifier=keyid\n";
inline std::string Uri(const std::string& id) {
  return "subjectAltName=URI:" + id + "\n";
}

// A root of our own with an issuer and a bundle.
struct Authority {
  explicit Authority(std::string_view name = "example.org", KeyType type = KeyType::kEcP256)
      : trust_domain(Td(name)),
        root(Get(MakeRootCa(trust_domain, type, Now() - hours(1), Now() + hours(24)))),
        issuer(Get(Issuer::Create({root.certificate}, root.key))),
        bundle(Get(Bundle::Create(trust_domain, {root.certificate}))) {}

  X509Svid Issue(std::string_view path, TimePoint not_before = Now() - minutes(1),
                 TimePoint not_after = Now() + hours(1), KeyType type = KeyType::kEcP256) const {
    return Get(
        issuer.IssueLeaf({Get(SpiffeId::FromTrustDomainAndPath(trust_domain, path)), type, {}, not_before, not_after}));
  }

  TrustDomain trust_domain;
  SelfSignedCa root;
  Issuer issuer;
  Bundle bundle;
};

}  // namespace lanyard::testing
