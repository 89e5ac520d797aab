// A namespace, whatever it says: its labels are texts of the answer, and what is refused is told without a word of it.
#include "attestors/namespace_answer.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

void CheckNamespace(std::string_view answer) {
  const Result<NamespaceLabels> labels = ReadNamespaceAnswer(answer, "shop");
  if (!labels.ok()) {
    RequireTold(labels.status());
    return Require(Message(labels.status()).size() < 300);
  }
  Require(answer.find("metadata") != std::string_view::npos || answer.find('\\') != std::string_view::npos);
  for (const auto& [label, value] : *labels) {
    for (const std::string& text : {label, value})
      Require(answer.find(text) != std::string_view::npos || answer.find('\\') != std::string_view::npos);
  }
  Require(!ReadNamespaceAnswer(answer, "another").ok());
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckNamespace(lanyard::AsText(data, size));
  return 0;
}
