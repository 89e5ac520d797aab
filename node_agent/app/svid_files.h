// An X.509-SVID as files, for programs that only read files.
//
//   svid.pem, svid.key, bundle.pem            chain, key (0600), authorities of its own trust domain
//   crl.pem                                   the revocation lists of these; empty where the agent sends none
//   credential-bundle.private-key.pem         key and chain in one (0600): SPIFFE_Filesystem_Delivery §2.1
//   TRUST-DOMAIN.spiffe-trust-bundle.pem      of its own and of each federated trust domain: §2.2
//
// Authorities of different trust domains never share a file: a reader could not tell which of them may vouch for whom.
// A trust domain without authorities has none.
//
// Thread: any; a value. The keys are wiped when it goes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "node_agent/app/write_set.h"
#include "pki/secret_bytes.h"
#include "workload_api/client/fetched.h"

namespace lanyard {

class SvidFiles {
 public:
  // `svid` is one of those in `fetched`.
  static Result<SvidFiles> Make(const FetchedSvid& svid, const FetchedSvids& fetched);

  // For WriteSet; borrowed from this.
  std::vector<FileOfSet> files() const;
  // Trust domains whose name is too long for a file's.
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  SvidFiles() = default;
  void AddBundle(const Bundle& bundle);

  std::string chain_;
  SecretBytes key_;
  SecretBytes key_and_chain_;
  std::string bundle_;
  std::string crls_;                                                // empty without any
  std::vector<std::pair<std::string, std::string>> trust_bundles_;  // name, PEM
  std::vector<std::string> left_out_;
};

}  // namespace lanyard
