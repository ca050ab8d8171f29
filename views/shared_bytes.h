// Which weights are the same bytes of the same file under several names, as tied embeddings may be,
// and what is to be said where the tie is only a rule: a head that is not stored at all. Found once
// on opening, in time linear in the weights; reads no payload. Immutable, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "engine/tensor/model.h"

namespace qi {

class SharedBytes {
 public:
  explicit SharedBytes(const Model& model);

  /// The next weight whose numbers or codes are the same range of the same file, round and round.
  std::optional<std::uint32_t> next(std::uint32_t weight) const;
  /// How many weights share their bytes with another one.
  std::size_t size() const { return next_.size(); }
  /// "lm_head is not stored: …"; empty where there is a head, or no sign of a tie. Printable.
  const std::string& tied_head() const { return tied_head_; }

 private:
  std::unordered_map<std::uint32_t, std::uint32_t> next_;
  std::string tied_head_;
};

}  // namespace qi
