// Configurations as text, and their errors, for the tests of what reads them.
#pragma once

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "node_agent/app/config.h"

namespace lanyard {

inline Result<Config> Parse(const std::string& text) {
  return ParseConfig(text, "lanyard.yaml", nullptr);
}

inline std::vector<std::string> Errors(const std::string& text) {
  return ErrorLines(Parse(text).status());
}

// `text` after a line that sets the trust domain.
inline Result<Config> ParseRest(const std::string& text) {
  return Parse("trust_domain: example.org\n" + text);
}
inline std::vector<std::string> ErrorsOfRest(const std::string& text) {
  return ErrorLines(ParseRest(text).status());
}

inline auto At(const std::string& position, const std::string& words) {
  return testing::AllOf(testing::StartsWith("lanyard.yaml:" + position + ": "), testing::HasSubstr(words));
}

}  // namespace lanyard
