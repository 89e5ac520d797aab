#include "workload_api/jwt_calls.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node_agent/base/utf8.h"
#include "node_agent/identity/bundle_keys.h"
#include "node_agent/identity/token_serial.h"
#include "pki/secret_bytes.h"
#include "workload_api/asked_identity.h"
#include "workload_api/caller.h"
#include "workload_api/claims.h"
#include "workload_api/federated.h"
#include "workload_api/grants.h"
#include "workload_api/proto/workloadapi.pb.h"
#include "workload_api/token_bundle_streams.h"

namespace lanyard {
namespace {

// The record of a token (node_agent/identity/recording_source.cc) names its audiences with blanks between them, and is
// cut where it becomes too long (node_agent/audit/audit_line.cc). Whoever reads it has to see each of them.
constexpr size_t kMostAudienceBytes = 1000;

// Whether a record shows it as one, and as it is, byte for byte.
bool IsRecordedAsItIs(std::string_view audience) {
  while (!audience.empty()) {
    uint32_t character = 0;
    const size_t length = ReadUtf8(audience, character);
    const bool control = character < 0x20 || (character >= 0x7F && character <= 0x9F);
    if (length == 0 || control || character == ' ' || character == '"' || character == '\\') return false;
    audience.remove_prefix(length);
  }
  return true;
}

Result<std::vector<std::string>> AudiencesOf(const JWTSVIDRequest& request) {
  if (request.audience().empty()) return Error(StatusCode::kInvalidArgument, "audience must be specified");
  if (request.audience_size() > kMostAudiences) {
    return Error(StatusCode::kInvalidArgument, "{} audiences are asked for at once; a token is for at most {}",
                 request.audience_size(), kMostAudiences);
  }
  size_t bytes = 0;
  for (int i = 0; i < request.audience_size(); ++i) {
    const std::string& audience = request.audience(i);
    if (audience.empty()) return Error(StatusCode::kInvalidArgument, "audience must be specified: one is empty");
    if (!IsRecordedAsItIs(audience)) {
      return Error(
          StatusCode::kInvalidArgument,
          "audience {} has a blank, a control character, a quotation mark or a backslash in it, and the record "
          "of the token could not show it as it is; ask for an audience without",
          i + 1);
    }
    bytes += (i == 0 ? 0 : 1) + audience.size();
  }
  if (bytes > kMostAudienceBytes) {
    return Error(
        StatusCode::kInvalidArgument,
        "{} bytes of audiences, and the record of a token has room for {}; ask for fewer audiences at once, or "
        "for shorter ones",
        bytes, kMostAudienceBytes);
  }
  return std::vector<std::string>(request.audience().begin(), request.audience().end());
}

class JwtSvidCall : public OneRequestHandler<JWTSVIDRequest> {
 public:
  JwtSvidCall(Call& incoming, WorkloadServices& services)
      : OneRequestHandler(incoming), services_(services), caller_(services.caller, incoming), grants_(caller_) {}

 private:
  void OnRequest(JWTSVIDRequest request) override {
    Result<std::vector<std::string>> audiences = AudiencesOf(request);
    if (!audiences.ok()) return call().Finish(audiences.status());
    Result<AskedIdentity> asked = AskedIdentity::Parse(request.spiffe_id());
    if (!asked.ok()) return call().Finish(asked.status());
    caller_.Identify([this, asked = *asked, audiences = *std::move(audiences)](Result<Entries> earned) {
      if (!earned.ok()) return call().Finish(earned.status());
      Result<Entries> entries = asked.Among(*std::move(earned));
      if (!entries.ok()) {
        caller_.RecordDenial(entries.status());
        return call().Finish(entries.status());
      }
      Sign(*std::move(entries), audiences);
    });
  }

  void Sign(Entries entries, const std::vector<std::string>& audiences) {
    entries_ = std::move(entries);
    svids_.resize(entries_.size());
    missing_ = entries_.size();
    for (size_t i = 0; i < entries_.size(); ++i) {
      services_.jwts.Get(entries_[i], audiences, [alive = std::weak_ptr<JwtSvidCall*>(self_), i](Result<JwtSvid> svid) {
        if (auto self = alive.lock()) (*self)->OnSigned(i, std::move(svid));
      });
    }
  }

  void OnSigned(size_t i, Result<JwtSvid> svid) {
    if (missing_ == 0) return;  // another one has failed
    if (!svid.ok()) {
      missing_ = 0;
      return call().Finish(Annotate(svid.status(), "issue JWT-SVID"));
    }
    svids_[i] = *std::move(svid);
    if (--missing_ > 0 || EndedByRegistry()) return;
    std::vector<Granted> granted;
    for (size_t n = 0; n < entries_.size(); ++n) {
      granted.push_back({entries_[n], TokenSerial(svids_[n]->token_id(), svids_[n]->token()), svids_[n]->expires()});
    }
    grants_.AddForGood(granted, [this](const Status& status) {
      if (!status.ok()) return call().Finish(status);
      if (!EndedByRegistry()) Answer();
    });
  }

  // A signature and a record take as long as pool and disk take; what was earned before may have been taken away since.
  bool EndedByRegistry() {
    if (!caller_.HasLost(entries_)) return false;
    const Status why = Error(StatusCode::kUnavailable, "the registry has changed while a token was made; ask again");
    caller_.RecordDenial(why);
    call().Finish(why);
    return true;
  }

  void Answer() {
    JWTSVIDResponse response;
    for (size_t i = 0; i < entries_.size(); ++i) {
      ::JWTSVID& svid = *response.add_svids();
      svid.set_spiffe_id(entries_[i]->id.str());
      svid.set_svid(svids_[i]->token());
      svid.set_hint(entries_[i]->hint);
    }
    call().Reply(SerializeShared(response));
    for (::JWTSVID& svid : *response.mutable_svids()) WipeMemory(svid.mutable_svid()->data(), svid.svid().size());
  }

  WorkloadServices& services_;
  Caller caller_;
  Grants grants_;
  Entries entries_;
  std::vector<std::optional<JwtSvid>> svids_;  // of entries_
  size_t missing_ = 0;
  std::shared_ptr<JwtSvidCall*> self_ = std::make_shared<JwtSvidCall*>(this);
};

bool ClaimsToBeOf(const TrustDomain& trust_domain, std::string_view token) {
  const Result<JwtSvid> claimed = JwtSvid::ParseUnverified(token);
  return claimed.ok() && claimed->id().trust_domain() == trust_domain;
}

struct Validated {
  JwtSvid svid;
  google::protobuf::Struct claims;
};

class JwtValidation : public OneRequestHandler<ValidateJWTSVIDRequest> {
 public:
  JwtValidation(Call& incoming, WorkloadServices& services)
      : OneRequestHandler(incoming), services_(services), caller_(services.caller, incoming) {}

 private:
  void OnRequest(ValidateJWTSVIDRequest request) override {
    if (request.audience().empty())
      return call().Finish(Error(StatusCode::kInvalidArgument, "audience must be specified"));
    if (request.svid().empty()) return call().Finish(Error(StatusCode::kInvalidArgument, "svid must be specified"));
    caller_.Identify([this, request = std::move(request)](Result<Entries> entries) mutable {
      if (!entries.ok()) return call().Finish(entries.status());
      Validate(std::move(request), *entries);
    });
  }

  // In the pool: a large RSA key of a foreign trust domain takes its time.
  void Validate(ValidateJWTSVIDRequest request, const Entries& entries) {
    const std::shared_ptr<const Bundle> own = services_.source.bundle();
    if (own == nullptr) return call().Finish(NoTokenKeys(services_.source, SvidKind::kJwt));
    BundleSet bundles({*own});
    for (const Bundle& bundle : FederatedOf(entries, services_.foreign, SvidKind::kJwt).bundles) bundles.Put(bundle);
    services_.loop.ComputeInPool(
        [request = std::move(request), bundles = std::move(bundles), own_name = own->trust_domain(),
         now = services_.caller.clock.WallNow()]() mutable {
          Result<Validated> validated = ValidateNow(request, bundles, own_name, now);
          WipeMemory(request.mutable_svid()->data(), request.svid().size());
          return validated;
        },
        [alive = std::weak_ptr<JwtValidation*>(self_)](Result<Validated> validated) {
          if (auto self = alive.lock()) (*self)->Answer(std::move(validated));
        });
  }

  static Result<Validated> ValidateNow(const ValidateJWTSVIDRequest& request, const BundleSet& bundles,
                                       const TrustDomain& own, WallTime now) {
    Result<JwtSvid> svid = ValidateJwtSvid(request.svid(), request.audience(), bundles, now);
    if (!svid.ok()) {
      // What cannot be found out is no answer about the token.
      const bool unknown = !HasKeys(*bundles.Find(own), SvidKind::kJwt) && ClaimsToBeOf(own, request.svid());
      return Error(unknown ? StatusCode::kUnavailable : StatusCode::kInvalidArgument, "{}", Message(svid.status()));
    }
    ASSIGN_OR_RETURN(auto claims, ClaimsOf(*svid, svid->id().trust_domain() == own ? Told::kAll : Told::kOfStandard));
    return Validated{*std::move(svid), std::move(claims)};
  }

  void Answer(Result<Validated> validated) {
    if (validated.status().code() == StatusCode::kUnavailable)
      return call().Finish(NoTokenKeys(services_.source, SvidKind::kJwt));
    if (!validated.ok()) {
      ++services_.validations.refused;
      return call().Finish(validated.status());
    }
    ++services_.validations.valid;
    ValidateJWTSVIDResponse response;
    response.set_spiffe_id(validated->svid.id().str());
    *response.mutable_claims() = std::move(validated->claims);
    call().Reply(SerializeShared(response));
  }

  WorkloadServices& services_;
  Caller caller_;
  std::shared_ptr<JwtValidation*> self_ = std::make_shared<JwtValidation*>(this);
};

}  // namespace

std::unique_ptr<CallHandler> MakeJwtSvidCall(Call& call, WorkloadServices& services) {
  return std::make_unique<JwtSvidCall>(call, services);
}

std::unique_ptr<CallHandler> MakeJwtValidation(Call& call, WorkloadServices& services) {
  return std::make_unique<JwtValidation>(call, services);
}

}  // namespace lanyard
