#include "keystore/backup_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/digest.h"
#include "base/encoding.h"

namespace skms::keystore {
namespace {

constexpr std::uint32_t kLastPart = 0x80000000;
constexpr std::uint64_t kPartsSynced = 128;  // 32 MiB
using Word = std::array<std::uint8_t, 4>;

Word WordOf(std::size_t value) {
  return {static_cast<std::uint8_t>(value >> 24U), static_cast<std::uint8_t>(value >> 16U),
          static_cast<std::uint8_t>(value >> 8U), static_cast<std::uint8_t>(value)};
}

/// Reads and hashes.
class Source {
 public:
  Source(std::istream& file, const std::string& name) : file_(file), name_(name) {}

  Result<Bytes> Take(std::size_t count) {
    SKMS_TRY(Bytes octets, TakeUnhashed(count));
    hash_.Add(octets);
    bytes_ += static_cast<std::int64_t>(count);
    return octets;
  }
  Result<Bytes> TakeUnhashed(std::size_t count) {
    Bytes octets(count);
    file_.read(reinterpret_cast<char*>(octets.data()), static_cast<std::streamsize>(count));
    if (file_.bad()) return IoError(name_, EIO);
    if (static_cast<std::size_t>(file_.gcount()) != count)
      return Wrong("it ends too early: it was cut, or not fetched whole");
    return octets;
  }
  static std::uint32_t ValueOf(const Bytes& word) {
    std::uint32_t value = 0;
    for (const std::uint8_t octet : word) value = (value << 8U) | octet;
    return value;
  }
  bool AtEnd() { return file_.peek() == std::istream::traits_type::eof(); }
  Error Wrong(const std::string& what) const { return IntegrityError(name_ + ": " + what); }
  Sha256Digest Hash() { return hash_.Finish(); }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::istream& file_;
  const std::string& name_;
  RunningSha256 hash_;
  std::int64_t bytes_ = 0;
};

Status ReadParts(Source& source, const BackupVisitor& visitor, BackupContents& out) {
  for (bool last = false; !last; ++out.parts) {
    SKMS_TRY(const Bytes word, source.Take(sizeof(Word)));
    const std::uint32_t value = Source::ValueOf(word);
    last = (value & kLastPart) != 0;
    const std::size_t size = value & ~kLastPart;
    const bool fits = last ? size > ChunkCipher::kTagBytes && size <= kBackupPart + ChunkCipher::kTagBytes
                           : size == kBackupPart + ChunkCipher::kTagBytes;
    if (!fits) return source.Wrong("part " + std::to_string(out.parts) + " has a length that none has");
    SKMS_TRY(const Bytes sealed, source.Take(size));
    SKMS_TRYV(visitor.part(out.parts, last, sealed));
    out.part_bytes += static_cast<std::int64_t>(size - ChunkCipher::kTagBytes);
  }
  return Ok();
}

Status ReadStatement(Source& source, BackupContents& out) {
  SKMS_TRY(const Bytes word, source.TakeUnhashed(sizeof(Word)));
  const std::size_t size = Source::ValueOf(word);
  if (size > kMostStatement) return source.Wrong("what the token signed of it is longer than it can be");
  SKMS_TRY(const Bytes text, source.TakeUnhashed(size));
  if (!source.AtEnd()) return source.Wrong("something was added behind its end");
  out.statement_text = AsText(text);
  auto jws = ReadJws(out.statement_text);
  if (jws.has_error() || jws.value().header.typ != kBackupType)
    return source.Wrong("what the token signed of it cannot be read");
  out.jws = std::move(jws).value();
  SKMS_TRY(out.statement, ReadBackupStatement(out.jws.payload));
  return Ok();
}

}  // namespace

Result<ChunkCipher> PartCipher(const SecretBytes& data_key, std::string_view header_text) {
  if (data_key.size() != ChunkCipher::kKeyBytes)
    return IntegrityError("the backup's data key has another length");
  Bytes message;
  AppendField(message, "skms backup parts v1");
  AppendField(message, Sha256(AsBytes(header_text)));
  Sha256Digest derived = HmacSha256(data_key.ExposeSecret(), message);
  SecretBytes key = SecretBytes::CopyOf(derived);
  Wipe(derived);
  return ChunkCipher::Of(std::move(key));
}

Status BackupWriter::Put(ByteView octets) {
  hash_.Add(octets);
  bytes_ += static_cast<std::int64_t>(octets.size());
  return file_.Write(octets);
}

Status BackupWriter::WriteHeader(std::string_view header_text) {
  if (header_text.size() > kMostHeader) return InternalError("the backup's header is too long");
  SKMS_TRYV(Put(AsBytes(kBackupMagic)));
  SKMS_TRYV(Put(WordOf(header_text.size())));
  return Put(AsBytes(header_text));
}

Status BackupWriter::WritePart(ByteView plain, bool last) {
  if (plain.empty() || plain.size() > kBackupPart || (!last && plain.size() != kBackupPart))
    return InternalError("a part of a backup has another length");
  SKMS_TRY(const Bytes sealed, cipher_.Seal(parts_, last, plain));
  ++parts_;
  // A stop waits for no more than this.
  if (parts_ % kPartsSynced == 0) SKMS_TRYV(file_.Sync());
  SKMS_TRYV(Put(WordOf(sealed.size() | (last ? kLastPart : 0U))));
  return Put(sealed);
}

BackupStatement BackupWriter::Statement(std::int64_t time_ms) {
  return {ToHex(hash_.Finish()), bytes_, time_ms};
}

Status BackupWriter::WriteStatement(std::string_view jws) {
  SKMS_TRYV(file_.Write(WordOf(jws.size())));
  return file_.Write(AsBytes(jws));
}

Result<BackupContents> ReadBackup(std::istream& file, const std::string& name, const BackupVisitor& visitor) {
  Source source(file, name);
  const auto magic = source.Take(kBackupMagic.size());
  if (magic.has_error() || AsText(magic.value()) != kBackupMagic)
    return source.Wrong("it is no backup of skms, or one of another version");
  SKMS_TRY(const Bytes word, source.Take(sizeof(Word)));
  const std::size_t size = Source::ValueOf(word);
  if (size > kMostHeader) return source.Wrong("its header is longer than it can be");
  SKMS_TRY(const Bytes header, source.Take(size));
  BackupContents out;
  out.header_text = AsText(header);
  auto read = ReadBackupHeader(out.header_text);
  if (read.has_error()) return source.Wrong(read.error().detail);
  out.header = std::move(read).value();
  SKMS_TRYV(visitor.header(out.header, out.header_text));
  SKMS_TRYV(ReadParts(source, visitor, out));
  const std::string hash = ToHex(source.Hash());
  SKMS_TRYV(ReadStatement(source, out));
  if (out.statement.hash != hash || out.statement.bytes != source.bytes() ||
      out.statement.time_ms != out.header.time_ms)
    return source.Wrong("it was changed: it is not what the token signed");
  return out;
}

Status VerifyBackupSignature(const BackupContents& contents, const std::vector<Bytes>& keys) {
  const bool known = std::any_of(
      keys.begin(), keys.end(), [&](const Bytes& spki) { return VerifyJws(contents.jws, spki).has_value(); });
  if (known) return Ok();
  return IntegrityError("the backup is signed by '" + contents.jws.header.kid + "' of " +
                        contents.header.server + ", and by none of the keys that were given");
}

}  // namespace skms::keystore
