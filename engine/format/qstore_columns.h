// The columns of an index's text. Internal to its writer and its parser; constants alone.
#pragma once

#include <cstddef>

namespace qi {

// What of the same kind stands together compresses better (QSTORE.md, "Index").
enum IndexColumn : std::size_t { kNumbers, kTexts, kTables, kSizes, kDigests, kColumns };
inline constexpr unsigned kVarintBits = 7;

}  // namespace qi
