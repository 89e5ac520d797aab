// How a registration entry of the admin API is printed.
//
// Thread: any.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lanyard {

namespace admin::v1 {
class Entry;
}

// Keys as in the registry's files, plus where it is written; what is not set is left out.
nlohmann::json EntryAsJson(const admin::v1::Entry& entry);
// SPIFFE ID, selectors, X.509 lifetime, hint, file and line.
std::vector<std::string> EntryAsRow(const admin::v1::Entry& entry);
// All of it, several lines.
std::string EntryAsText(const admin::v1::Entry& entry);

}  // namespace lanyard
