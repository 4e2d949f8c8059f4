#include "hsm/token_ceremony.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/log.h"
#include "hsm/crypto_module_state.h"
#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/shared_key.h"

namespace skms::hsm {
namespace {

constexpr std::string_view kJoinRole = "join";

struct JoinPair {
  CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE private_key = CK_INVALID_HANDLE;

  bool complete() const { return public_key != CK_INVALID_HANDLE && private_key != CK_INVALID_HANDLE; }
};

Result<JoinPair> FindJoinPair(SessionLease& lease) {
  JoinPair pair;
  SKMS_TRY(const std::vector<CK_OBJECT_HANDLE> objects, AllTokenObjects(lease));
  for (const CK_OBJECT_HANDLE handle : objects) {
    const auto label = ReadOctets(lease, handle, CKA_LABEL);
    const auto object_class = ReadNumber(lease, handle, CKA_CLASS);
    if (label.has_error() || object_class.has_error()) continue;
    if (AsText(label.value()) != TokenKeyLabel(kJoinRole, 1)) continue;
    CK_OBJECT_HANDLE& half = object_class.value() == CKO_PUBLIC_KEY ? pair.public_key : pair.private_key;
    if (half != CK_INVALID_HANDLE) {
      return Error{ErrorCode::kTokenAmbiguous,
                   "two objects of one kind are named skms-join-1 on the token; remove both pairs with the "
                   "token's tool, and prepare again"};
    }
    half = handle;
  }
  return pair;
}

/// SubjectPublicKeyInfo DER of the pair.
Result<Bytes> JoinSpki(SessionLease& lease, const JoinPair& pair) {
  // What is shown is what the private key's own numbers say: anybody may write a public object.
  SKMS_TRY(const Bytes modulus, ReadOctets(lease, pair.private_key, CKA_MODULUS));
  SKMS_TRY(const Bytes public_modulus, ReadOctets(lease, pair.public_key, CKA_MODULUS));
  if (modulus != public_modulus)
    return IntegrityError(
        "the two halves of skms-join-1 do not belong together; remove both and prepare again");
  return ReadSpki(lease, pair.public_key, false);
}

struct SeenJoinKey {
  JoinKey shown;
  Bytes spki;
};

Result<SeenJoinKey> JoinKeyOf(Token& token) {
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const JoinPair pair, FindJoinPair(lease));
  if (!pair.complete())
    return NotFound("the token '" + token.info().label + "' has no join key; first: skmsctl token prepare " +
                    token.info().label);
  SKMS_TRY(Bytes spki, JoinSpki(lease, pair));
  std::string fingerprint = ToHex(Sha256(spki));
  return SeenJoinKey{{token.info(), std::move(fingerprint)}, std::move(spki)};
}

std::uint32_t Highest(const HeldGenerations& held) {
  std::uint32_t highest = 0;
  for (const auto* generations : {&held.kek, &held.mac, &held.sign, &held.transfer})
    if (!generations->empty()) highest = std::max(highest, *generations->rbegin());
  return highest;
}

Error Away(const TokenKeeper& keeper) {
  return Error{ErrorCode::kTokenUnavailable,
               "the token '" + keeper.label() + "' is away (" + keeper.health().trouble +
                   "): every token must take part; bring it back, or take it out of the configuration"};
}

const auto kAny = [](const KnownToken&) { return true; };

/// The tokens that serve. Errors: kTokenUnavailable: one that does, or may, is away (blank ones do not);
/// kConflict: one lacks keys that are in use.
Result<std::vector<TokenKeeper*>> AllThere(TokenSet& tokens, const TokenKeyGenerations& use,
                                           const TokenKeeper* joining) {
  const auto holds = [&](const KnownToken& known) { return known.held.Hold(use); };
  std::vector<TokenKeeper*> there;
  for (const auto& keeper : tokens.keepers()) {
    if (keeper.get() == joining || keeper->status().blank) continue;
    if (!keeper->Serving(kAny)) return Away(*keeper);
    if (!keeper->Serving(holds)) {
      return Conflict("the token '" + keeper->label() +
                      "' lacks keys that are in use: take it out of the configuration, remove its skms-… "
                      "objects with its maker's tool, and let it join again");
    }
    there.push_back(keeper.get());
  }
  return there;
}

std::uint32_t NextNumber(const std::vector<TokenKeeper*>& tokens, std::uint32_t above) {
  for (const TokenKeeper* keeper : tokens) {
    if (const std::optional<KnownToken> known = keeper->known())
      above = std::max(above, Highest(known->held));
  }
  return above + 1;
}

/// One token alone: born where they stay.
Status MakeInPlace(const OpenToken& open, std::uint32_t generation) {
  SKMS_TRY(SessionLease lease, open.token->Lease());
  for (const SharedRole role : {SharedRole::kKek, SharedRole::kMac})
    SKMS_TRYV(MakeTokenSecret(lease, role, generation));
  return Ok();
}

/// Gives every key to a token that serves, by way of the KEK in use.
Status GiveUnderKek(const OpenToken& open, std::uint32_t kek_in_use, const std::vector<SharedKey>& keys) {
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  SKMS_TRY(const CK_OBJECT_HANDLE kek, open.keys.kek(kek_in_use));
  SKMS_TRY(SessionLease lease, open.token->Lease());
  for (const SharedKey& key : keys)
    SKMS_TRYV(KeepSharedKey(lease, open.capabilities, &kwp, kek, key.under_kek, key));
  return Ok();
}

/// Gives every key to a token that joins, by way of its join key.
Status GiveToJoining(Token& token, const Capabilities& capabilities, OaepHash hash,
                     const std::vector<SharedKey>& keys) {
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(capabilities));
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const JoinPair pair, FindJoinPair(lease));
  if (!pair.complete()) return NotFound("the join key is gone");
  for (const SharedKey& key : keys) {
    OaepMechanism oaep(hash);
    SKMS_TRY(const SessionObject once,
             Unwrap(lease, oaep.get(), pair.private_key, key.to_join_key.encrypted_key,
                    SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.unwrap = true}),
                    ProtectionOn(capabilities, false)));
    SKMS_TRYV(KeepSharedKey(lease, capabilities, &kwp, once.handle(), key.to_join_key.wrapped_key, key));
  }
  return Ok();
}

void DropJoinPair(Token& token) {
  const auto drop = [&]() -> Status {
    SKMS_TRY(SessionLease lease, token.Lease());
    SKMS_TRY(const JoinPair pair, FindJoinPair(lease));
    for (const CK_OBJECT_HANDLE half : {pair.private_key, pair.public_key})
      SKMS_TRYV(lease.Check("C_DestroyObject", lease.p11()->C_DestroyObject(lease.handle(), half)));
    return Ok();
  };
  if (const Status dropped = drop(); dropped.has_error())
    LogWarning("the join key stays in the token '" + token.info().label + "': " + dropped.error().detail);
}

Status RefreshAll(const std::vector<TokenKeeper*>& tokens) {
  for (TokenKeeper* keeper : tokens) SKMS_TRYV(keeper->Refresh());
  return Ok();
}

Result<TokenKeeper*> FindKeeper(TokenSet& tokens, const std::string& label) {
  for (const auto& keeper : tokens.keepers()) {
    if (keeper->label() == label) return keeper.get();
  }
  return NotFound("there is no token '" + label + "' in the configuration");
}

/// Nothing of ours lies there, so that no number there means another key.
Status CheckEmpty(Token& token) {
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const HeldGenerations held, TokenKeys::HeldBy(lease));
  if (Highest(held) == 0) return Ok();
  return Conflict("the token '" + token.info().label +
                  "' holds keys of its own: it was initialised for itself, or an earlier join was cut off; "
                  "remove its skms-… objects but skms-join-1 with its maker's tool, and join again");
}

Status CheckJoins(const TokenKeeper& keeper) {
  const TokenStatus status = keeper.status();
  if (status.health.available)
    return Conflict("the token '" + keeper.label() + "' holds the keys already: it has joined");
  return Ok();
}

Status CheckFingerprint(const JoinKey& seen, const std::string& confirmed) {
  if (ConstantTimeEqual(AsBytes(seen.fingerprint), AsBytes(confirmed))) return Ok();
  return Error{ErrorCode::kPreconditionFailed,
               "the join key of '" + seen.token.label + "' has the fingerprint " + seen.fingerprint +
                   ", not the one that was given: it may be another token; do not go on before you know"};
}

/// Makes generation `generation` of every key in the first of `tokens`, and gives it to all of them and to
/// the one that joins, whose join key is `spki`.
Status HandOver(const std::vector<TokenKeeper*>& tokens, std::uint32_t kek_in_use, std::uint32_t generation,
                Token& joining, const Capabilities& can, const Bytes& spki) {
  SKMS_TRY(const OpenTokenPtr source, tokens.front()->Current());
  if (!source->capabilities.oaep_hash || !can.oaep_hash)
    return Error{ErrorCode::kUnsupported, "one of the two tokens has no RSA-OAEP"};
  const OaepHash hash = std::min(*source->capabilities.oaep_hash, *can.oaep_hash);
  SKMS_TRY(
      const std::vector<SharedKey> keys,
      MakeSharedKeys(*source, {SharedRole::kKek, SharedRole::kMac, SharedRole::kSign, SharedRole::kTransfer},
                     generation, kek_in_use, {{spki, hash}}));
  // It first: whoever has them only in part takes no part.
  SKMS_TRYV(GiveToJoining(joining, can, hash, keys));
  for (std::size_t i = tokens.size(); i-- > 0;) {
    SKMS_TRY(const OpenTokenPtr open, tokens[i]->Current());
    SKMS_TRYV(GiveUnderKek(*open, kek_in_use, keys));
  }
  DropJoinPair(joining);
  return Ok();
}

}  // namespace

Result<JoinKey> TokenCeremony::Prepare(const TokenOptions& options, const SecretBytes& pin) {
  SKMS_TRY(const std::unique_ptr<Token> token, Token::Open(options, pin));
  if (TokenKeys::CheckPresent(*token).has_value()) {
    return Conflict(
        "the token '" + options.label +
        "' holds keys of ours already: it has joined, or was initialised for itself; only a token "
        "without them can join");
  }
  {
    SKMS_TRY(SessionLease lease, token->Lease());
    SKMS_TRY(const JoinPair pair, FindJoinPair(lease));
    if (!pair.complete()) {
      SKMS_TRYV(GenerateRsaPair(lease, kTransferBits, Lifetime::kToken, {.wrap = true}, {.unwrap = true},
                                TokenKeyLabel(kJoinRole, 1)));
    }
  }
  SKMS_TRY(SeenJoinKey seen, JoinKeyOf(*token));
  return std::move(seen.shown);
}

Result<TokenKeyGenerations> TokenCeremony::MakeNext(std::uint32_t above) {
  CryptoModule::State& state = module_.state();
  const std::lock_guard alone(state.ceremony);
  SKMS_TRY(const std::vector<TokenKeeper*> tokens, AllThere(state.tokens(), state.use(), nullptr));
  const std::uint32_t generation = NextNumber(tokens, above);
  TokenKeyGenerations next = state.use();
  const std::uint32_t kek_in_use = next.kek;
  next.kek = generation;
  next.mac = generation;
  SKMS_TRY(const OpenTokenPtr source, tokens.front()->Current());
  if (tokens.size() == 1) {
    SKMS_TRYV(MakeInPlace(*source, generation));
  } else {
    std::vector<SharedKey> keys;
    SKMS_TRY(keys, MakeSharedKeys(*source, {SharedRole::kKek, SharedRole::kMac}, generation, kek_in_use, {}));
    for (std::size_t i = tokens.size(); i-- > 0;) {
      SKMS_TRY(const OpenTokenPtr open, tokens[i]->Current());
      SKMS_TRYV(GiveUnderKek(*open, kek_in_use, keys));
    }
  }
  SKMS_TRYV(RefreshAll(tokens));
  return next;
}

Result<JoinKey> TokenCeremony::ShowJoinKey(const std::string& label) {
  CryptoModule::State& state = module_.state();
  const std::lock_guard alone(state.ceremony);
  SKMS_TRY(TokenKeeper * keeper, FindKeeper(state.tokens(), label));
  SKMS_TRYV(CheckJoins(*keeper));
  JoinKey shown;
  SKMS_TRYV(keeper->WithBareToken([&](Token& token, const Capabilities&) -> Status {
    SKMS_TRY(SeenJoinKey seen, JoinKeyOf(token));
    shown = std::move(seen.shown);
    return Ok();
  }));
  return shown;
}

Result<TokenKeyGenerations> TokenCeremony::Join(const std::string& label, const std::string& fingerprint,
                                                std::uint32_t above) {
  CryptoModule::State& state = module_.state();
  const std::lock_guard alone(state.ceremony);
  SKMS_TRY(TokenKeeper * joining, FindKeeper(state.tokens(), label));
  // A join that was cut off after every token had the keys: they are proven to be the same, and nothing is
  // left but to use them.
  const TokenKeyGenerations common = state.tokens().common();
  const TokenKeyGenerations use = state.use();
  if (joining->status().health.available && !joining->status().held.Hold(use) && common.kek > use.kek &&
      common.mac > use.mac && common.sign > use.sign && common.transfer > use.transfer)
    return common;
  SKMS_TRYV(CheckJoins(*joining));
  SKMS_TRY(const std::vector<TokenKeeper*> tokens, AllThere(state.tokens(), use, joining));
  if (tokens.empty()) return Error{ErrorCode::kTokenUnavailable, "no token is there that holds the keys"};
  const std::uint32_t generation = NextNumber(tokens, above);
  SKMS_TRYV(joining->WithBareToken([&](Token& token, const Capabilities& capabilities) -> Status {
    SKMS_TRYV(CheckEmpty(token));
    SKMS_TRY(const SeenJoinKey seen, JoinKeyOf(token));
    SKMS_TRYV(CheckFingerprint(seen.shown, fingerprint));
    return HandOver(tokens, use.kek, generation, token, capabilities, seen.spki);
  }));
  SKMS_TRYV(RefreshAll(tokens));
  SKMS_TRYV(joining->OpenNow());
  return TokenKeyGenerations{generation, generation, generation, generation};
}

Result<HeldGenerations> TokenCeremony::DestroyBefore(const TokenKeyGenerations& keep) {
  CryptoModule::State& state = module_.state();
  const std::lock_guard alone(state.ceremony);
  SKMS_TRY(const std::vector<TokenKeeper*> tokens, AllThere(state.tokens(), state.use(), nullptr));
  HeldGenerations destroyed;
  for (TokenKeeper* keeper : tokens) {
    SKMS_TRY(const OpenTokenPtr open, keeper->Current());
    SKMS_TRYV(open->keys.DestroyBefore(*open->token, keep, destroyed));
    SKMS_TRYV(keeper->Refresh());
  }
  state.tokens().group().Forget(destroyed);
  return destroyed;
}

}  // namespace skms::hsm
