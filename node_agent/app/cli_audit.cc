// lanyard audit verify
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "node_agent/app/cli_options.h"
#include "node_agent/app/config.h"
#include "node_agent/app/text_output.h"
#include "node_agent/audit/audit_verify.h"
#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr char kDefaultAuditPath[] = "/var/lib/lanyard/audit/audit.jsonl";

struct VerifyVerbOptions {
  std::vector<std::string> files;
  std::string key;
  std::string checkpoints;
  std::string config;
  OutputFormat output = OutputFormat::kText;
};

// Where the log of this node is.
Result<std::string> AuditPath(const std::string& config_path) {
  if (config_path.empty()) return std::string(kDefaultAuditPath);
  ASSIGN_OR_RETURN(const Config config, LoadConfig(config_path));
  return config.audit.path;
}

Result<AuditVerifyOptions> WhatToVerify(const VerifyVerbOptions& options) {
  AuditVerifyOptions what{.files = options.files, .key_file = options.key, .checkpoints = std::nullopt};
  if (!options.checkpoints.empty()) what.checkpoints = options.checkpoints;
  if (what.files.empty()) {
    ASSIGN_OR_RETURN(const std::string path, AuditPath(options.config));
    ASSIGN_OR_RETURN(what.files, AuditFiles(path));
  }
  if (what.key_file.empty()) what.key_file = ParentDirectory(what.files.back()) + "/audit.pub";
  return what;
}

std::string VerdictLine(const AuditVerdict& verdict) {
  if (verdict.records == 0) return verdict.ok() ? "intact: no records" : "NOT intact";
  return fmt::format("{}: {} in {}, seq {} to {}, {}; signed up to seq {}", verdict.ok() ? "intact" : "NOT intact",
                     Count(verdict.records, "record", "records"), Count(verdict.files, "file", "files"),
                     verdict.first_seq, verdict.last_seq,
                     Count(verdict.checkpoints, "valid checkpoint", "valid checkpoints"), verdict.last_signed_seq);
}

void Print(const AuditVerdict& verdict, OutputFormat output, const Console& console) {
  if (output == OutputFormat::kJson) {
    PrintJson(console, {{"intact", verdict.ok()},
                        {"records", verdict.records},
                        {"files", verdict.files},
                        {"first_seq", verdict.first_seq},
                        {"last_seq", verdict.last_seq},
                        {"last_hash", verdict.last_hash},
                        {"checkpoints", verdict.checkpoints},
                        {"last_signed_seq", verdict.last_signed_seq},
                        {"notes", verdict.notes},
                        {"problems", verdict.problems}});
    return;
  }
  console.out << VerdictLine(verdict) << '\n';
  for (const std::string& problem : verdict.problems) console.out << "problem: " << Printable(problem) << '\n';
  for (const std::string& note : verdict.notes) console.out << "note: " << Printable(note) << '\n';
}

int RunVerify(const VerifyVerbOptions& options, const Console& console) {
  const Result<AuditVerifyOptions> what = WhatToVerify(options);
  if (!what.ok()) {
    for (const std::string& line : ErrorLines(what.status())) console.err << Printable(line) << '\n';
    return kExitFailed;
  }
  Result<AuditVerdict> verdict = VerifyAudit(*what);
  if (!verdict.ok()) return console.Fail(kExitFailed, Printable(Message(verdict.status())));
  if (options.key.empty()) {
    verdict->notes.push_back(fmt::format(
        "the key is {}, beside the log: who can rewrite the log can replace it, too; --key with a copy kept "
        "elsewhere proves more",
        what->key_file));
  }
  if (options.checkpoints.empty()) {
    verdict->notes.push_back("without --checkpoints nothing shows whether lines were cut off at the end");
  }
  Print(*verdict, options.output, console);
  return verdict->ok() ? kExitOk : kExitFailed;
}

}  // namespace

void AddAuditVerbs(CLI::App& root, Verb& chosen) {
  CLI::App* audit = root.add_subcommand("audit", "The tamper-evident record of what was decided");
  audit->require_subcommand(1);

  auto options = std::make_shared<VerifyVerbOptions>();
  CLI::App* verify = audit->add_subcommand(
      "verify", "Check the chain and the signatures of the audit log; needs no agent. Exit code 1: not intact");
  CLI::Option* files =
      verify->add_option("FILES", options->files, "Files of the log, oldest first; else all files of this node's log");
  verify->add_option("--key", options->key, "The public audit key; else audit.pub beside the log")->type_name("FILE");
  verify->add_option("--checkpoints", options->checkpoints, "Copies of checkpoints: each must be in the log")
      ->type_name("FILE");
  verify->add_option("--config", options->config, "Take the log of this configuration")
      ->type_name("FILE")
      ->excludes(files);
  AddOutputOption(verify, options->output);
  RunWhenNamed(verify, chosen, options, RunVerify);
}

}  // namespace lanyard
