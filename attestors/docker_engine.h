// One container engine on this machine, asked about containers over its Docker API: Docker's, or podman's system
// socket.
//
// What it has said is kept for a few seconds (answer_cache.h), also that it has no such container: labels,
// variables, image and mounts are fixed when a container is made (podman 5 may change variables, for its next start).
// Variables, which hold passwords, are kept only where they are wanted.
//
// A long answer is read in the pool, and so are the paths of the host followed that it names, on file systems that may
// hang.
//
// Whoever can reach an engine can make containers of any name, label and image. So a container that has an engine's
// socket mounted, or a directory that leads to it, is an error: what it is said to be is worth nothing. That is no
// complete defence: a container that is privileged, shares the host's pid namespace, or has the host's disks by other
// ways can reach the engine just as well, and one that had the socket may have made others that do not.
//
// Lifetime: `tools` and `clock` outlive it. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attestors/answer_cache.h"
#include "attestors/docker_answer.h"
#include "attestors/host_tools.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/http_client.h"
#include "node_agent/base/status.h"

namespace lanyard {

class DockerEngine {
 public:
  struct Options {
    std::string name;                            // for messages: "Docker"
    std::string socket;                          // where it is asked
    std::chrono::milliseconds timeout;           // of one lookup
    std::vector<std::string> dangerous_sockets;  // no container may have one of these
  };
  // No value: the engine has no such container.
  using Facts = std::optional<DockerContainer>;
  using Cache = AnswerCache<Facts>;
  enum class Env { kWanted, kNotWanted };

  DockerEngine(Options options, HostTools& tools, Clock& clock);

  // `id` is 64 hexadecimal digits. As for the cache; errors say what was asked of whom, and what to do.
  Cache::FactsPtr Cached(const std::string& id, Env env) const;
  [[nodiscard]] std::unique_ptr<Cache::Ticket> Find(const std::string& id, Env env, Cache::Done done);
  // What to say when its answer is not waited for any longer.
  Status Late(const std::string& id) const;

 private:
  class Inspection;

  Cache::LookUp Inspect(Env env);

  const Options options_;
  HostTools& tools_;
  Clock& clock_;
  HttpClient http_;
  Cache with_env_;
  Cache without_env_;
};

}  // namespace lanyard
