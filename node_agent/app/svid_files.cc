#include "node_agent/app/svid_files.h"

#include <limits.h>

#include <algorithm>

#include "node_agent/app/crl_output.h"

namespace lanyard {

Result<SvidFiles> SvidFiles::Make(const FetchedSvid& svid, const FetchedSvids& fetched) {
  SvidFiles files;
  ASSIGN_OR_RETURN(files.key_, svid.svid.key().ToPem());
  files.chain_ = svid.svid.ChainPem();
  const std::string_view key = files.key_.expose();
  files.key_and_chain_ = SecretBytes(key.size() + files.chain_.size());
  std::copy(key.begin(), key.end(), files.key_and_chain_.mutable_data());
  std::copy(files.chain_.begin(), files.chain_.end(), files.key_and_chain_.mutable_data() + key.size());
  files.bundle_ = svid.bundle.X509Pem();
  files.crls_ = CrlsPem(fetched.crls);
  files.AddBundle(svid.bundle);
  for (const auto& [trust_domain, bundle] : fetched.federated.all()) {
    if (trust_domain != svid.bundle.trust_domain()) files.AddBundle(bundle);
  }
  return files;
}

void SvidFiles::AddBundle(const Bundle& bundle) {
  if (bundle.x509_authorities().empty()) return;
  std::string name = bundle.trust_domain().name() + ".spiffe-trust-bundle.pem";
  if (name.size() > NAME_MAX) {
    left_out_.push_back(bundle.trust_domain().name());
  } else {
    trust_bundles_.emplace_back(std::move(name), bundle.X509Pem());
  }
}

std::vector<FileOfSet> SvidFiles::files() const {
  std::vector<FileOfSet> files = {{"svid.pem", chain_, 0644},
                                  {"svid.key", key_.expose(), 0600},
                                  {"bundle.pem", bundle_, 0644},
                                  {"crl.pem", crls_, 0644},
                                  {"credential-bundle.private-key.pem", key_and_chain_.expose(), 0600}};
  for (const auto& [name, pem] : trust_bundles_) files.push_back({name, pem, 0644});
  return files;
}

}  // namespace lanyard
