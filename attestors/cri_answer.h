// What an attestor takes from a runtime's answers: pure functions over CRI messages.
//
// The environment is only in the verbose answer: `info` holds a JSON text under "info", of containerd and of CRI-O
// alike an object whose runtimeSpec is the container's OCI specification. Everything else in it is passed over.
//
// Thread: any. An error never quotes the JSON text: environment variables may be secrets. Those are wiped in the answer
// and when they are released.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attestors/proto/cri.pb.h"
#include "node_agent/base/status.h"
#include "pki/secret_bytes.h"

namespace lanyard {

struct CriContainer {
  std::vector<std::pair<std::string, std::string>> labels;
  std::string image;      // as the runtime names it: "docker.io/library/busybox:latest"
  std::string image_ref;  // what the runtime is asked by for the image
  std::vector<std::string> mounted_host_paths;
  // "NAME=value"; an error when it was not in the answer, or the answer was not asked to be verbose.
  Result<std::vector<SecretBytes>> environment = Error(StatusCode::kUnavailable, "the environment was not asked for");
};

enum class CriDetail { kPlain, kVerbose };

// The container `id`, running. No value when it is created and was not started yet, as far as the runtime knows: that
// it runs is written down a moment after its first process has begun. Errors: Unavailable when the answer is about
// another container, or about one that does not run.
Result<std::optional<CriContainer>> ReadCriContainer(::runtime::v1::ContainerStatusResponse answer, std::string_view id,
                                                     CriDetail detail);

// The environment in the JSON text of a verbose answer. InvalidArgument when it is not as described above.
Result<std::vector<SecretBytes>> ReadCriEnvironment(std::string_view info);

// "sha256:…" of the image's configuration. NotFound when the runtime has no such image; InvalidArgument when its answer
// is not a digest.
Result<std::string> ReadCriImageDigest(const ::runtime::v1::ImageStatusResponse& answer);

}  // namespace lanyard
