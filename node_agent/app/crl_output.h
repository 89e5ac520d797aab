// How the command line shows revocation lists.
//
// Thread: any.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pki/crl.h"

namespace lanyard {

// The lists one after another; empty without any.
std::string CrlsPem(const std::vector<Crl>& crls);
// [{"number": "69567b80", "this_update": …, "next_update": …, "revoked": ["0a0b", …]}, …]
nlohmann::json CrlsAsJson(const std::vector<Crl>& crls);
// "2 revocation lists, 1 certificate revoked, the first until 2026-01-08T00:00:00Z"
std::string SummarizeCrls(const std::vector<Crl>& crls);

// Tells whether an update has other lists than the one before.
class CrlChange {
 public:
  bool Note(const std::vector<Crl>& crls);

 private:
  bool first_ = true;
  std::vector<Crl> before_;
};

}  // namespace lanyard
