// The command line: verbs, what they print, and how they end.
//
// Each family of verbs has a file that registers its options; the verb that the line names is chosen first and runs
// afterwards, so that nothing of ours runs inside the parser (which throws). Data goes to `out`, everything else to
// `err`.
//
// Thread: main.
#pragma once

#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"

namespace CLI {
class App;
}

namespace lanyard {

// What a shell sees. Scripts depend on these numbers.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,       // failed, or refused by the agent
  kExitUsage = 2,        // the command line is wrong
  kExitUnreachable = 3,  // there is no agent at the socket
  kExitDenied = 4,       // the agent knows us and says no
};

enum class OutputFormat { kText, kJson };

struct Console {
  std::ostream& out;
  std::ostream& err;
  std::istream& in = std::cin;

  // Prints "lanyard: <text>" on err; returns the code.
  int Fail(ExitCode code, std::string_view text) const;
  int Fail(const Status& status) const { return Fail(kExitFailed, Message(status)); }
};

using Verb = std::function<int(const Console&)>;

void AddAgentVerb(CLI::App& root, Verb& chosen);
void AddConfigVerbs(CLI::App& root, Verb& chosen);
void AddCaVerbs(CLI::App& root, Verb& chosen);
void AddFetchVerbs(CLI::App& root, Verb& chosen);
void AddFetchTokenVerbs(CLI::App& fetch, Verb& chosen);  // below fetch
void AddValidateVerbs(CLI::App& root, Verb& chosen);
void AddWatchVerb(CLI::App& root, Verb& chosen);
void AddExecVerb(CLI::App& root, Verb& chosen, std::vector<std::string> command);
void AddRegistryVerbs(CLI::App& root, Verb& chosen);
void AddAttestVerb(CLI::App& root, Verb& chosen);
void AddAuditVerbs(CLI::App& root, Verb& chosen);
void AddHealthVerb(CLI::App& root, Verb& chosen);
void AddLogLevelVerb(CLI::App& root, Verb& chosen);
void AddVersionVerb(CLI::App& root, Verb& chosen);

// Parses `arguments` (without the program's name), runs the verb, and returns its exit code. A failure to write what
// was asked for (a full disk behind `out`) is kExitFailed.
int RunCommandLine(std::vector<std::string> arguments, const Console& console);

}  // namespace lanyard
