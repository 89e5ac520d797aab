// lanyard audit verify, lanyard audit tail
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "node_agent/admin/proto/admin.grpc.pb.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/config.h"
#include "node_agent/app/rpc_client.h"
#include "node_agent/app/socket_address.h"
#include "node_agent/app/stop_signal.h"
#include "node_agent/app/text_output.h"
#include "node_agent/audit/audit_verify.h"
#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr char kDefaultAuditPath[] = "/var/lib/lanyard/audit/audit.jsonl";
constexpr char kPublicKey[] = "audit.pub";

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

// The agent keeps its key in the data directory, and the log in a directory of that unless it is told otherwise.
Result<std::string> FindKey(const std::string& log) {
  const std::string directory = ParentDirectory(log);
  const std::string beside = fmt::format("{}/{}", directory, kPublicKey);
  const std::string above = fmt::format("{}/{}", ParentDirectory(directory), kPublicKey);
  for (const std::string& path : {beside, above}) {
    struct stat info {};
    if (stat(path.c_str(), &info) == 0) return path;
  }
  return Error(StatusCode::kNotFound,
               "there is no public audit key at {} or {}; name it with --key (the agent keeps it as {} in data_dir)",
               beside, above, kPublicKey);
}

Result<AuditVerifyOptions> WhatToVerify(const VerifyVerbOptions& options) {
  AuditVerifyOptions what{.files = options.files, .key_file = options.key, .checkpoints = std::nullopt};
  if (!options.checkpoints.empty()) what.checkpoints = options.checkpoints;
  if (what.files.empty()) {
    ASSIGN_OR_RETURN(const std::string path, AuditPath(options.config));
    ASSIGN_OR_RETURN(what.files, AuditFiles(path));
  }
  if (what.key_file.empty()) {
    ASSIGN_OR_RETURN(what.key_file, FindKey(what.files.back()));
  }
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

struct TailOptions {
  std::string admin_socket;
  uint32_t lines = 10;
  bool follow = false;
  OutputFormat output = OutputFormat::kText;
};

// The fields that say the most, in the order of the record.
std::string OneLine(const nlohmann::json& record) {
  const auto text = [](const nlohmann::json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  std::string line =
      fmt::format("{} {} {}", text(record.value("time", nlohmann::json())),
                  record.value("seq", nlohmann::json()).dump(), text(record.value("kind", nlohmann::json())));
  for (const char* key :
       {"decision", "action", "spiffe_id", "resource", "serial", "not_after", "count", "correlation_id"}) {
    if (record.contains(key)) line += fmt::format(" {}={}", key, text(record[key]));
  }
  if (record.contains("caller") && record["caller"].is_object()) {
    for (const char* key : {"pid", "uid"}) {
      if (record["caller"].contains(key)) line += fmt::format(" {}={}", key, text(record["caller"][key]));
    }
  }
  if (record.contains("reason")) line += fmt::format(": {}", text(record["reason"]));
  return line;
}

void PrintRecord(const std::string& line, OutputFormat output, const Console& console) {
  const nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (output == OutputFormat::kJson || !record.is_object()) {
    console.out << Printable(line) << '\n';  // as it is in the file: what comes out can be hashed
  } else {
    console.out << Printable(OneLine(record)) << '\n';
  }
}

int RunTail(const TailOptions& options, const Console& console) {
  const Result<std::string> path = ResolveAdminSocket(options.admin_socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  StopSignal stop;  // first: its thread begins before gRPC's
  admin::v1::Admin::Stub stub(Connect(*path));
  grpc::ClientContext context;
  const StopSignal::Listener cancel(stop, [&context] { context.TryCancel(); });
  admin::v1::TailAuditRequest request;
  request.set_lines(options.lines);
  request.set_follow(options.follow);
  const auto reader = stub.TailAudit(&context, request);
  admin::v1::TailAuditResponse response;
  while (console.out && reader->Read(&response)) {
    for (const std::string& line : response.lines()) PrintRecord(line, options.output, console);
    console.out << std::flush;
  }
  if (!console.out) context.TryCancel();
  const grpc::Status status = reader->Finish();
  if (status.ok() || stop.stopped() || !console.out) return kExitOk;
  const CallFailure failure = ExplainAdminFailure(status, *path);
  return console.Fail(failure.code, failure.text);
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
  verify
      ->add_option("--key", options->key,
                   "The public audit key; else audit.pub beside the log or in the data directory")
      ->type_name("FILE");
  verify->add_option("--checkpoints", options->checkpoints, "Copies of checkpoints: each must be in the log")
      ->type_name("FILE");
  verify->add_option("--config", options->config, "Take the log of this configuration")
      ->type_name("FILE")
      ->excludes(files);
  AddOutputOption(verify, options->output);
  RunWhenNamed(verify, chosen, options, RunVerify);

  auto tail_options = std::make_shared<TailOptions>();
  CLI::App* tail = audit->add_subcommand("tail", "The newest records of the running agent's log");
  tail->add_option("-n,--lines", tail_options->lines, "How many of the last records")
      ->check(CLI::Range(0, 10'000))
      ->default_str("10");
  tail->add_flag("-f,--follow", tail_options->follow, "Go on with each new record until SIGINT or SIGTERM");
  AddAdminSocketOption(tail, tail_options->admin_socket);
  AddOutputOption(tail, tail_options->output);
  RunWhenNamed(tail, chosen, tail_options, RunTail);
}

}  // namespace lanyard
