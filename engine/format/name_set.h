// Finds a name given twice among many, in one pass and little memory: 100,000 tensors take a few
// milliseconds. Names come from files, so the hash has a secret seed: crafted ones share no bucket.
// Header only, one thread; the caller keeps the names where they are.
#pragma once

#include <bit>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include <xxhash.h>

namespace qi {

class NameSet {
 public:
  /// Room for `expected` names; more are accepted as well.
  explicit NameSet(std::uint64_t expected) {
    names_.reserve(expected);
    slots_.resize(std::bit_ceil(2 * expected + 2));
  }

  /// False when the name is in the set already. The view must stay valid.
  bool insert(std::string_view name) {
    if (2 * names_.size() + 2 > slots_.size()) grow();
    const std::uint64_t hash = XXH3_64bits_withSeed(name.data(), name.size(), seed_);
    std::uint32_t& slot = find(name, hash);
    if (slot != 0) return false;
    names_.push_back({name, hash});
    slot = static_cast<std::uint32_t>(names_.size());
    return true;
  }

 private:
  struct Name {
    std::string_view text;
    std::uint64_t hash;
  };

  // The slot of the name, or the empty one where it belongs. Slots hold index + 1.
  std::uint32_t& find(std::string_view name, std::uint64_t hash) {
    const std::uint64_t mask = slots_.size() - 1;
    std::uint64_t at = hash & mask;
    for (; slots_[at] != 0; at = (at + 1) & mask) {
      const Name& other = names_[slots_[at] - 1];
      if (other.hash == hash && other.text == name) break;
    }
    return slots_[at];
  }

  void grow() {
    slots_.assign(2 * slots_.size(), 0);
    for (std::uint32_t i = 0; i < names_.size(); ++i) find(names_[i].text, names_[i].hash) = i + 1;
  }

  std::uint64_t seed_ = std::random_device{}();
  std::vector<Name> names_;
  std::vector<std::uint32_t> slots_;
};

}  // namespace qi
