// Importance matrices of llama-imatrix: for each weight the mean square of what its columns are
// multiplied with, as weights of the squared error. Reads both forms, the records of old ".dat"
// files and GGUF. Refuses what is neither, no entries, and numbers that no mean square can be.
// Plain data once read, any thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/error.h"

namespace qi {

class ImportanceMatrix {
 public:
  /// Throws kTruncated, kBadValue, kDuplicate, kTrailing, kBadSchema (GGUF), kMissing, and as
  /// open_gguf().
  static ImportanceMatrix read(const std::string& path);

  /// Of the weight called so, under its GGUF or Hugging Face name: [cols] for one matrix, for a
  /// stack [matrices × cols]. Empty where there is none, or of another size.
  std::span<const float> find(std::string_view weight_name, std::uint64_t cols,
                              std::uint64_t matrices = 1) const;

  std::size_t size() const { return entries_.size(); }
  /// 16 hex digits, of XXH3-128 of the file.
  const std::string& digest() const { return digest_; }
  const std::vector<Warning>& warnings() const { return warnings_; }
  const std::map<std::string, std::vector<float>, std::less<>>& entries() const { return entries_; }

 private:
  std::map<std::string, std::vector<float>, std::less<>> entries_;
  std::string digest_;
  std::vector<Warning> warnings_;
};

}  // namespace qi
