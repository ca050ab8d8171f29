#include "engine/quant/name_order.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "engine/tensor/roles.h"

namespace qi {
namespace {

// A name is text, number, text, number …; layers and experts differ in numbers, so a model has few
// different texts. Each text gets its rank among all texts, and three (rank, number) pairs order
// nearly every name; compare_names() decides the rest.
constexpr std::size_t kPairs = 3;
constexpr std::size_t kDigits = 9;  // of a number that fits its half of a pair

struct Key {
  std::array<std::uint64_t, kPairs> pairs{};  // text in the upper half, number in the lower
  std::uint32_t index = 0;
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Texts in the order they were first met: one list for those before a number, one for the last.
class Texts {
 public:
  /// Of the text in the name's `pair`-th pair.
  std::uint32_t id(std::size_t pair, std::string_view text, bool before_number) {
    Met& met = met_[pair];
    if (met.id == kNone || met.before_number != before_number || met.text != text) {
      met = {text, before_number, find_or_add(text, before_number)};
    }
    return met.id;
  }
  /// ranks[id] = place in byte order, from 1. A text before a number ends in a digit, for that is
  /// what compares with whatever another name has there.
  std::vector<std::uint32_t> ranks() const {
    std::vector<std::uint32_t> order(all_.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return all_[a] < all_[b]; });
    std::vector<std::uint32_t> ranks(all_.size());
    for (std::uint32_t r = 0; r < order.size(); ++r) ranks[order[r]] = r + 1;
    return ranks;
  }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  /// What the name before had there: neighbours mostly differ in numbers alone.
  struct Met {
    std::string_view text;
    bool before_number = false;
    std::uint32_t id = kNone;
  };

  std::uint32_t find_or_add(std::string_view text, bool before_number) {
    auto& ids = before_number ? before_ : last_;
    const auto [it, added] = ids.try_emplace(text, static_cast<std::uint32_t>(all_.size()));
    if (added) all_.push_back(before_number ? std::string(text) + '0' : std::string(text));
    return it->second;
  }

  std::array<Met, kPairs> met_;
  std::unordered_map<std::string_view, std::uint32_t> before_;
  std::unordered_map<std::string_view, std::uint32_t> last_;
  std::vector<std::string> all_;
};

/// Fills the pairs with text ids; false when a number is too long for them.
bool split(std::string_view name, Texts& texts, Key& key) {
  std::size_t at = 0;
  for (std::size_t pair = 0; pair < kPairs && at < name.size(); ++pair) {
    std::size_t digit = at;
    while (digit < name.size() && !is_digit(name[digit])) ++digit;
    std::size_t end = digit;
    std::uint64_t number = 0;
    while (end < name.size() && is_digit(name[end])) {
      number = number * 10 + static_cast<std::uint64_t>(name[end++] - '0');
      if (end - digit > kDigits) return false;
    }
    const std::uint64_t id = texts.id(pair, name.substr(at, digit - at), digit < name.size());
    key.pairs[pair] = (id + 1) << 32 | number;  // 0: the name has ended
    at = end;
  }
  return true;
}

/// Puts weights[keys[i].index] in place i for all i: round each ring of places that exchange their
/// weights, with one weight in hand, because a second array of them costs more than the moves.
void arrange(std::vector<Weight>& weights, std::vector<Key>& keys) {
  for (std::uint32_t start = 0; start < keys.size(); ++start) {
    if (keys[start].index == start) continue;
    Weight held = std::move(weights[start]);
    std::uint32_t to = start;
    for (;;) {
      const std::uint32_t from = std::exchange(keys[to].index, to);
      if (from == start) break;
      weights[to] = std::move(weights[from]);
      to = from;
    }
    weights[to] = std::move(held);
  }
}

}  // namespace

void sort_weights(std::vector<Weight>& weights) {
  Texts texts;
  std::vector<Key> keys(weights.size());
  bool short_numbers = true;
  for (std::uint32_t i = 0; i < keys.size(); ++i) {
    keys[i].index = i;
    short_numbers = short_numbers && split(weights[i].name, texts, keys[i]);
  }
  const auto by_name = [&](const Key& a, const Key& b) {
    return compare_names(weights[a.index].name, weights[b.index].name) < 0;
  };
  if (short_numbers) {
    const std::vector<std::uint32_t> ranks = texts.ranks();
    for (Key& key : keys) {
      for (std::uint64_t& pair : key.pairs) {
        if (pair == 0) break;
        const std::uint64_t rank = ranks[(pair >> 32) - 1];
        pair = rank << 32 | (pair & 0xFFFFFFFFu);
      }
    }
    std::sort(keys.begin(), keys.end(), [&](const Key& a, const Key& b) {
      for (std::size_t pair = 0; pair < kPairs; ++pair) {
        if (a.pairs[pair] != b.pairs[pair]) return a.pairs[pair] < b.pairs[pair];
      }
      return by_name(a, b);
    });
  } else {
    std::sort(keys.begin(), keys.end(), by_name);
  }
  arrange(weights, keys);
}

}  // namespace qi
