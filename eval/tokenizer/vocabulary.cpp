#include "eval/tokenizer/vocabulary.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "engine/io/error.h"

namespace qi {
namespace {

// Real vocabularies have a handful of holes, where tokens were reserved.
constexpr std::uint64_t kHolesEach = 8;
constexpr std::uint64_t kHoles = 4096;
// Bounds what looking up all the parts of a long word may take; real ones have some hundred.
constexpr std::size_t kMaxTokenBytes = 4096;

}  // namespace

Vocabulary::Vocabulary(std::vector<std::pair<std::string, std::uint64_t>> tokens) {
  const std::uint64_t limit = kHolesEach * tokens.size() + kHoles;
  std::uint64_t size = 0;
  for (const auto& [text, id] : tokens) {
    if (id >= limit) {
      throw Error(ErrorCode::kBadValue, fmt::format("token \"{}\" has the number {}", text, id),
                  fmt::format("a number below {} with {} tokens", limit, tokens.size()));
    }
    size = std::max(size, id + 1);
  }
  texts_.resize(static_cast<std::size_t>(size));
  std::vector<bool> taken(texts_.size());
  for (auto& [text, id] : tokens) {
    const auto at = static_cast<std::size_t>(id);
    if (taken[at]) {
      throw Error(
          ErrorCode::kDuplicate,
          fmt::format("tokens \"{}\" and \"{}\" both have the number {}", texts_[at], text, id),
          "a number for each token");
    }
    taken[at] = true;
    texts_[at] = std::move(text);
  }
  index();
}

Vocabulary::Vocabulary(std::vector<std::string> texts) : texts_(std::move(texts)) {
  index();
}

void Vocabulary::index() {
  bytes_.fill(-1);
  ids_.reserve(texts_.size());
  for (std::int32_t id = 0; id < size(); ++id) {
    if (text(id).empty()) continue;
    if (text(id).size() > kMaxTokenBytes) {
      throw Error(ErrorCode::kLimit, fmt::format("token {} has {} bytes", id, text(id).size()),
                  fmt::format("at most {}", kMaxTokenBytes));
    }
    ids_.insert_or_assign(text(id), id);
    if (const auto byte = byte_of_token(text(id))) bytes_[static_cast<unsigned char>(*byte)] = id;
  }
}

bool Vocabulary::append_bytes(std::string_view text, std::vector<std::int32_t>& out) const {
  const auto token_of = [&](char c) { return bytes_[static_cast<unsigned char>(c)]; };
  if (std::any_of(text.begin(), text.end(), [&](char c) { return token_of(c) < 0; })) return false;
  for (const char c : text) out.push_back(token_of(c));
  return true;
}

std::optional<char> byte_of_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, value, 16);
  if (error != std::errc() || end != text.data() + 5) return std::nullopt;
  return static_cast<char>(value);
}

}  // namespace qi
