// What an engine (Docker, podman) says about one container: the answer to GET /containers/ID/json.
//
// The engine is believed, but not whoever started the container: its labels and variables are texts of any kind and
// number. What the answer must say and does not is an error, never "nothing": an identity that depends on it is not
// issued then.
//
// Thread: any. Never puts a label's or a variable's text into an error: variables hold passwords.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/secret_bytes.h"

namespace lanyard {

constexpr size_t kMaxDockerAnswer = 4 << 20;

struct DockerContainer {
  bool running = false;  // a container's first process may be faster than its engine, which then says no
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<SecretBytes> env;      // "NAME=value"; overwritten when released
  std::string image;                 // as it was named when the container was made
  std::string image_digest;          // "sha256:…": of the image's configuration; empty where there is no image
  std::vector<std::string> mounted;  // paths of the host that are mounted into it
};

// InvalidArgument when the answer cannot be read, FailedPrecondition when it is about another container than `id`,
// ResourceExhausted when it names more than kMaxDockerTexts labels, variables or mounts.
Result<DockerContainer> ReadDockerAnswer(std::string_view answer, std::string_view id);

constexpr size_t kMaxDockerTexts = 1024;

}  // namespace lanyard
