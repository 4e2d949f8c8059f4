// SectionReader: takes one YAML mapping apart, key by key, and remembers the first thing that is wrong with
// it.
//
// Internal to appliance/config. Not thread-safe. The node is borrowed for the reader's life.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace YAML {
class Node;
struct Mark;
}  // namespace YAML

namespace skms::appliance {

/// "file:line:column: message" with line and column from 1.
Error ConfigurationErrorAt(const std::string& file, const YAML::Mark& mark, const std::string& message);

class SectionReader {
 public:
  /// `section` may be undefined (the section is absent: every default stands).
  SectionReader(std::string file, std::string name, const YAML::Node& section);

  /// The section stands in the file.
  bool present() const;
  void Text(const char* key, std::string& out, bool required = false);
  /// A path; relative ones are taken from the configuration file's directory.
  void Path(const char* key, std::string& out, bool required = false);
  /// An IPv4 or IPv6 address.
  void Address(const char* key, std::string& out);
  void OneOf(const char* key, std::string& out, const std::vector<std::string>& allowed);
  void Number(const char* key, std::uint32_t& out, std::uint32_t smallest, std::uint32_t largest);
  void Real(const char* key, double& out, double smallest, double largest);
  void Flag(const char* key, bool& out);
  /// A list of at most `most` apiRoots; a wrong one is refused where it stands.
  void ApiRoots(const char* key, std::vector<std::string>& out, std::size_t most);

  /// A list of at most `most` texts, none of them empty.
  void Texts(const char* key, std::vector<std::string>& out, std::size_t most);

  /// Notes what is wrong with the value of `key`.
  void Fail(const char* key, const std::string& message);
  /// kConfiguration for the first wrong value, else for the first key that nobody asked for or that stands
  /// twice.
  Status Finish();

 private:
  /// The scalar under `key`, marking the key as known; false when absent or not a scalar (then noted as an
  /// error).
  bool Scalar(const char* key, bool required, std::string& value);

  std::string file_;
  std::string name_;
  const YAML::Node& section_;
  std::vector<std::string> known_;
  std::vector<Error> errors_;
};

}  // namespace skms::appliance
