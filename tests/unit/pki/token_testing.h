// Shortcuts for the tests of tokens.
#pragma once

#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "pki/base64.h"
#include "pki/jwk.h"
#include "pki/jws_signature.h"
#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {

inline std::string HexOf(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

// An ECDSA signature of two numbers one after another as DER, by the openssl program.
inline void WriteDerSignature(const OpensslCli& cli, const std::string& name, std::string_view raw) {
  const std::size_t half = raw.size() / 2;
  cli.Write(name + ".cnf", "asn1=SEQUENCE:pair\n[pair]\nr=INTEGER:0x" + HexOf(raw.substr(0, half)) + "\ns=INTEGER:0x" +
                               HexOf(raw.substr(half)) + "\n");
  cli.Run("asn1parse -genconf " + name + ".cnf -noout -out " + name);
}

// The other way round: the two numbers as the openssl program reads them, each of `bytes` bytes.
inline std::string ReadDerSignature(const OpensslCli& cli, const std::string& name, std::size_t bytes) {
  const std::string text = cli.Run("asn1parse -inform DER -in " + name);
  static const std::regex number("INTEGER +:([0-9A-F]+)");
  std::string raw;
  for (std::sregex_iterator at(text.begin(), text.end(), number), end; at != end; ++at) {
    const std::string hex = std::string(bytes * 2 - (*at)[1].length(), '0') + (*at)[1].str();
    for (std::size_t i = 0; i < hex.size(); i += 2) raw += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return raw;
}

inline PublicKey KeyFromJwk(std::string_view json) {
  return Get(PublicKeyFromJwk(nlohmann::json::parse(json)));
}

// A token's parts, put together as they are: nobody signs this.
inline std::string Unsigned(std::string_view header, std::string_view payload, std::string_view signature = "AAAA") {
  return Base64UrlEncode(header) + '.' + Base64UrlEncode(payload) + '.' + std::string(signature);
}

// A token with any header and any payload, signed by an attacker who has the key, or by a careless issuer.
inline std::string SignedToken(const PrivateKey& key, std::string_view header, std::string_view payload) {
  const std::string input = Base64UrlEncode(header) + '.' + Base64UrlEncode(payload);
  return input + '.' + Base64UrlEncode(Get(Get(JwsSigner::For(key)).Sign(input)));
}

}  // namespace lanyard::testing
