// A hash table from names to numbers that keeps no copy of the names: the caller says what name a
// number has. Four to eight bytes an entry, so that a million tensors are no burden.
// Header only, one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <xxhash.h>

namespace qi {

template <typename NameOf>  // std::string_view operator()(std::uint32_t number) const
class NameTable {
 public:
  /// Room for `expected` names at once; more are fine.
  NameTable(std::size_t expected, NameOf name_of) : name_of_(name_of) {
    std::size_t slots = 16;
    while (slots < 2 * expected) slots *= 2;
    slots_.resize(slots);
  }

  /// Remembers that `number` has the name name_of(number). When another number has the same name,
  /// changes nothing and returns that number.
  std::optional<std::uint32_t> insert(std::uint32_t number) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    std::uint32_t& slot = slots_[place(name_of_(number))];
    if (slot != 0) return slot - 1;
    slot = number + 1;
    ++count_;
    return std::nullopt;
  }

  std::optional<std::uint32_t> find(std::string_view name) const {
    const std::uint32_t slot = slots_[place(name)];
    return slot == 0 ? std::nullopt : std::optional(slot - 1);
  }

 private:
  /// The slot of `name`, or the free one where it would go.
  std::size_t place(std::string_view name) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = XXH3_64bits(name.data(), name.size()) & mask;
    while (slots_[i] != 0 && name_of_(slots_[i] - 1) != name) i = (i + 1) & mask;
    return i;
  }

  void grow() {
    std::vector<std::uint32_t> old(2 * slots_.size());
    old.swap(slots_);
    for (const std::uint32_t value : old) {
      if (value != 0) slots_[place(name_of_(value - 1))] = value;
    }
  }

  NameOf name_of_;
  std::vector<std::uint32_t> slots_;  // number + 1; 0: free
  std::size_t count_ = 0;
};

}  // namespace qi
