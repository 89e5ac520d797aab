#include "node_agent/app/entry_output.h"

#include <map>

#include "node_agent/admin/proto/admin.pb.h"
#include "node_agent/app/text_output.h"
#include "node_agent/base/duration.h"

namespace lanyard {
namespace {

namespace api = admin::v1;

template <class Repeated>
std::vector<std::string> Strings(const Repeated& repeated) {
  return std::vector<std::string>(repeated.begin(), repeated.end());
}

std::string Ttl(const google::protobuf::Duration& ttl) {
  return FormatDuration(std::chrono::seconds(ttl.seconds()));
}

nlohmann::json ToolAsJson(const api::Tool& tool) {
  nlohmann::json json = {
      {"effect", tool.effect()}, {"actions", Strings(tool.actions())}, {"data_classes", Strings(tool.data_classes())}};
  if (tool.has_max_calls_per_task()) json["max_calls_per_task"] = tool.max_calls_per_task();
  return json;
}

nlohmann::json OwnerAsJson(const api::Owner& owner) {
  nlohmann::json data = nlohmann::json::object();
  for (const auto& [data_class, name] : owner.data()) data[data_class] = name;
  return {{"business", owner.business()},
          {"data", std::move(data)},
          {"approved_by", owner.approved_by()},
          {"review_by", owner.review_by()}};
}

std::string WrittenAt(const api::Entry& entry) {
  return entry.file().empty() ? "-" : fmt::format("{}:{}", entry.file(), entry.line());
}

}  // namespace

nlohmann::json EntryAsJson(const api::Entry& entry) {
  nlohmann::json json = {{"spiffe_id", entry.spiffe_id()},
                         {"selectors", Strings(entry.selectors())},
                         {"file", entry.file()},
                         {"line", entry.line()}};
  if (entry.has_x509_ttl()) json["x509_ttl"] = Ttl(entry.x509_ttl());
  if (entry.has_jwt_ttl()) json["jwt_ttl"] = Ttl(entry.jwt_ttl());
  if (!entry.key_type().empty()) json["key_type"] = entry.key_type();
  if (!entry.dns_names().empty()) json["dns_names"] = Strings(entry.dns_names());
  if (!entry.federates_with().empty()) json["federates_with"] = Strings(entry.federates_with());
  if (!entry.hint().empty()) json["hint"] = entry.hint();
  if (!entry.environment().empty()) json["environment"] = entry.environment();
  if (!entry.tier().empty()) json["tier"] = entry.tier();
  if (entry.has_owner()) json["owner"] = OwnerAsJson(entry.owner());
  for (const auto& [name, tool] : entry.tools()) json["tools"][name] = ToolAsJson(tool);
  if (!entry.may_begin().empty()) json["may_begin"] = Strings(entry.may_begin());
  return json;
}

std::vector<std::string> EntryAsRow(const api::Entry& entry) {
  return {Printable(entry.spiffe_id()), Printable(Join(Strings(entry.selectors()), " ")),
          entry.has_x509_ttl() ? Ttl(entry.x509_ttl()) : "-", entry.hint().empty() ? "-" : Printable(entry.hint()),
          Printable(WrittenAt(entry))};
}

std::string EntryAsText(const api::Entry& entry) {
  std::string text = Printable(entry.spiffe_id()) + "\n";
  const auto line = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<15} {}\n", name, Printable(value));
  };
  line("written at", WrittenAt(entry));
  for (const std::string& selector : entry.selectors()) line("selector", selector);
  line("x509_ttl", entry.has_x509_ttl() ? Ttl(entry.x509_ttl()) : "");
  line("jwt_ttl", entry.has_jwt_ttl() ? Ttl(entry.jwt_ttl()) : "");
  line("key_type", entry.key_type());
  line("dns_names", Join(Strings(entry.dns_names()), " "));
  line("federates_with", Join(Strings(entry.federates_with()), " "));
  line("hint", entry.hint());
  line("environment", entry.environment());
  line("tier", entry.tier());
  line("owner", entry.owner().business());
  for (const auto& [data_class, name] :
       std::map<std::string, std::string>(entry.owner().data().begin(), entry.owner().data().end())) {
    line("data owner", data_class + ": " + name);
  }
  line("approved by", entry.owner().approved_by());
  line("review by", entry.owner().review_by());
  std::map<std::string, std::string> tools;  // in the order of their names
  for (const auto& [name, tool] : entry.tools()) {
    std::string& value = tools[name];
    value = fmt::format("{}: {}", name, tool.effect());
    if (!tool.actions().empty()) value += ", actions " + Join(Strings(tool.actions()), " ");
    if (!tool.data_classes().empty()) value += ", data classes " + Join(Strings(tool.data_classes()), " ");
    if (tool.has_max_calls_per_task()) value += fmt::format(", at most {} calls a task", tool.max_calls_per_task());
  }
  for (const auto& [name, value] : tools) line("tool", value);
  for (const std::string& id : entry.may_begin()) line("may begin", id);
  return text;
}

}  // namespace lanyard
