#include "node_agent/app/crl_output.h"

#include <algorithm>
#include <utility>

#include "node_agent/app/text_output.h"

namespace lanyard {

std::string CrlsPem(const std::vector<Crl>& crls) {
  std::string pem;
  for (const Crl& crl : crls) pem += crl.ToPem();
  return pem;
}

nlohmann::json CrlsAsJson(const std::vector<Crl>& crls) {
  nlohmann::json list = nlohmann::json::array();
  for (const Crl& crl : crls) {
    nlohmann::json revoked = nlohmann::json::array();
    for (const CrlFields::Entry& entry : crl.fields().entries) revoked.push_back(entry.serial_hex);
    list.push_back({{"number", crl.fields().number_hex.value_or("")},
                    {"this_update", Utc(crl.this_update())},
                    {"next_update", Utc(crl.next_update())},
                    {"revoked", std::move(revoked)}});
  }
  return list;
}

std::string SummarizeCrls(const std::vector<Crl>& crls) {
  if (crls.empty()) return "no revocation lists";
  std::size_t revoked = 0;
  auto end = crls.front().next_update();
  for (const Crl& crl : crls) {
    revoked += crl.fields().entries.size();
    end = std::min(end, crl.next_update());
  }
  return fmt::format("{}, {} revoked, {} {}", Count(crls.size(), "revocation list", "revocation lists"),
                     Count(revoked, "certificate", "certificates"), crls.size() == 1 ? "until" : "the first until",
                     Utc(end));
}

bool CrlChange::Note(const std::vector<Crl>& crls) {
  const bool changed = !std::exchange(first_, false) && crls != before_;
  before_ = crls;
  return changed;
}

}  // namespace lanyard
