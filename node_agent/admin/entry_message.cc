#include "node_agent/admin/entry_message.h"

namespace lanyard {
namespace {

std::string FormatDate(const std::chrono::year_month_day& day) {
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

admin::v1::Owner ToMessage(const Owner& owner) {
  admin::v1::Owner message;
  message.set_business(owner.business);
  for (const auto& [data_class, name] : owner.data) (*message.mutable_data())[data_class] = name;
  message.set_approved_by(owner.approved_by);
  if (owner.review_by) message.set_review_by(FormatDate(*owner.review_by));
  return message;
}

admin::v1::Tool ToMessage(const ToolGrant& tool) {
  admin::v1::Tool message;
  message.set_effect(std::string(ToolEffectName(tool.effect)));
  for (const std::string& action : tool.actions) message.add_actions(action);
  for (const std::string& data_class : tool.data_classes) message.add_data_classes(data_class);
  if (tool.max_calls_per_task) message.set_max_calls_per_task(static_cast<uint64_t>(*tool.max_calls_per_task));
  return message;
}

}  // namespace

admin::v1::Entry ToMessage(const Registry::Item& item) {
  const Entry& entry = *item.entry;
  admin::v1::Entry message;
  message.set_spiffe_id(entry.id.str());
  for (const Selector& selector : entry.selectors) message.add_selectors(selector.str());
  message.set_file(item.position.file);
  message.set_line(static_cast<uint32_t>(item.position.line));
  if (entry.x509_ttl) message.mutable_x509_ttl()->set_seconds(entry.x509_ttl->count());
  if (entry.jwt_ttl) message.mutable_jwt_ttl()->set_seconds(entry.jwt_ttl->count());
  if (entry.key_type) message.set_key_type(std::string(KeyTypeName(*entry.key_type)));
  for (const std::string& name : entry.dns_names) message.add_dns_names(name);
  for (const TrustDomain& domain : entry.federates_with) message.add_federates_with(domain.id());
  message.set_hint(entry.hint);
  if (entry.environment) message.set_environment(std::string(EnvironmentName(*entry.environment)));
  message.set_tier(entry.tier);
  if (entry.owner) *message.mutable_owner() = ToMessage(*entry.owner);
  for (const auto& [name, tool] : entry.tools) (*message.mutable_tools())[name] = ToMessage(tool);
  for (const SpiffeId& id : entry.may_begin) message.add_may_begin(id.str());
  return message;
}

}  // namespace lanyard
