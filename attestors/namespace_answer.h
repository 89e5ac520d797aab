// What the API server says about one namespace: the answer to GET /api/v1/namespaces/NAME, a v1 Namespace.
//
// Thread: any. No error quotes the answer.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node_agent/base/status.h"

namespace lanyard {

constexpr size_t kMaxNamespaceAnswer = size_t{2} << 20;  // an object in etcd has at most 1.5 MiB

using NamespaceLabels = std::vector<std::pair<std::string, std::string>>;

// The labels of the namespace. InvalidArgument when the answer is no namespace or cannot be read, FailedPrecondition
// when it is about another one than `name`.
Result<NamespaceLabels> ReadNamespaceAnswer(std::string_view answer, std::string_view name);

}  // namespace lanyard
