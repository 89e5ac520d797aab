// The one program, `lanyard`: the node agent and the commands that talk to it.
#include <iostream>
#include <string>
#include <vector>

#include "node_agent/app/cli.h"
#include "node_agent/rpc/grpc_setup.h"

int main(int argc, char** argv) {
  lanyard::PrepareProcessForGrpc();  // before anything touches gRPC, or it has no effect
  return lanyard::RunCommandLine(std::vector<std::string>(argv + 1, argv + argc),
                                 lanyard::Console{std::cout, std::cerr});
}
