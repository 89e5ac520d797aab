#include "pki/strict_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace lanyard {
namespace {

using Json = nlohmann::json;

// Builds the value from the parser's events; the parser stops where one of them returns false.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(std::size_t depth) : depth_(depth) {}

  bool null() override { return Put(nullptr) != nullptr; }
  bool boolean(bool value) override { return Put(value) != nullptr; }
  bool number_integer(std::int64_t value) override { return Put(value) != nullptr; }
  bool number_unsigned(std::uint64_t value) override { return Put(value) != nullptr; }
  bool number_float(double value, const std::string& /*text*/) override { return Put(value) != nullptr; }
  bool string(std::string& value) override { return Put(std::move(value)) != nullptr; }
  bool binary(Json::binary_t& /*value*/) override { return Refuse("not JSON"); }  // of other formats than JSON

  bool start_object(std::size_t /*size*/) override { return Open(Json::object()); }
  bool start_array(std::size_t /*size*/) override {
    return open_.empty() ? Refuse("not an object") : Open(Json::array());
  }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& name) override {
    const auto [member, is_new] = open_.back()->get_ref<Json::object_t&>().emplace(std::move(name), Json());
    if (!is_new) return Refuse("a name stands twice in one object");
    member_ = &member->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/, const Json::exception& /*why*/) override {
    return Refuse(fmt::format("not JSON from byte {} on", position));
  }

  const std::string& why() const { return why_; }
  Json Take() { return std::move(root_); }

 private:
  bool Refuse(std::string why) {
    if (why_.empty()) why_ = std::move(why);
    return false;
  }

  // Where the value has come to lie; null when it may not be there.
  Json* Put(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      if (root_.is_object()) return &root_;
      Refuse("not an object");
      return nullptr;
    }
    if (open_.back()->is_array()) return &open_.back()->get_ref<Json::array_t&>().emplace_back(std::move(value));
    *member_ = std::move(value);
    return member_;
  }

  bool Open(Json container) {
    if (open_.size() >= depth_) return Refuse(fmt::format("nested more than {} deep", depth_));
    Json* placed = Put(std::move(container));
    if (placed == nullptr) return false;
    open_.push_back(placed);  // stays where it is: whatever contains it grows only after it is closed
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const std::size_t depth_;
  Json root_;
  std::vector<Json*> open_;
  Json* member_ = nullptr;  // whose value comes next
  std::string why_;
};

}  // namespace

Result<nlohmann::json> ParseJsonObject(std::string_view text, JsonLimits limits) {
  if (text.size() > limits.bytes) {
    return Error(StatusCode::kInvalidArgument, "{} bytes of JSON, at most {} are read", text.size(), limits.bytes);
  }
  // The library takes a zero byte for the end, whatever follows, and passes over a byte order mark.
  if (text.find('\0') != std::string_view::npos) return Error(StatusCode::kInvalidArgument, "not JSON: a zero byte");
  if (text.starts_with("\xef\xbb\xbf")) return Error(StatusCode::kInvalidArgument, "not JSON: a byte order mark");
  Builder builder(limits.depth);
  const bool whole = Json::sax_parse(text.begin(), text.end(), &builder);
  if (!whole) return Error(StatusCode::kInvalidArgument, "{}", builder.why());
  return builder.Take();
}

const std::string* StringMember(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() ? found->get_ptr<const std::string*>() : nullptr;
}

bool IsUtf8(std::string_view text) {
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), is_ascii)) return true;
  const Json value(text);  // the library leaves out what is not, and knows what is
  return Json::parse(value.dump(-1, ' ', false, Json::error_handler_t::ignore)) == value;
}

}  // namespace lanyard
