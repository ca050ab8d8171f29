#include "engine/format/json.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <xxhash.h>

#include "engine/text/utf8.h"

namespace qi {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// True for the bytes that end a plain run inside a string: the quote, a backslash, C0 controls.
constexpr std::array<bool, 256> kStopsString = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0; c < 0x20; ++c) table[c] = true;
  table['"'] = table['\\'] = true;
  return table;
}();

/// The first byte from `at` on that ends a plain run, or the end of the text.
std::size_t run_end(std::string_view text, std::size_t at) {
  // Eight bytes at a time. A lane's top bit is set where x is 0; borrows may set some above it, so
  // the lowest is the one to trust.
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  constexpr std::uint64_t kTops = 0x8080808080808080u;
  const auto zeros = [](std::uint64_t x) { return (x - kOnes) & ~x & kTops; };
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    const std::uint64_t controls = (word - kOnes * 0x20) & ~word & kTops;
    const std::uint64_t stops = controls | zeros(word ^ kOnes * '"') | zeros(word ^ kOnes * '\\');
    if (stops == 0) continue;
    if constexpr (std::endian::native != std::endian::little) break;
    return at + static_cast<std::size_t>(std::countr_zero(stops)) / 8;
  }
  while (at < text.size() && !kStopsString[static_cast<unsigned char>(text[at])]) ++at;
  return at;
}

std::string byte_text(char c) {
  const auto value = static_cast<unsigned char>(c);
  return value > 0x20 && value < 0x7f ? fmt::format("'{}'", c)
                                      : fmt::format("byte 0x{:02x}", value);
}

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    std::uint64_t word = 0;
    while (i + 8 <= text.size()) {
      std::memcpy(&word, text.data() + i, 8);
      if ((word & 0x8080808080808080u) != 0) break;
      i += 8;
    }
    if (i == text.size()) break;
    const CodePoint next = decode_utf8(text, i);
    if (!next.valid) return i;
    i += next.length;
  }
  return std::string_view::npos;
}

std::string_view kind_text(JsonCursor::Kind kind) {
  static constexpr std::array<std::string_view, 6> kWords = {"an object", "an array",  "a string",
                                                             "a number",  "a boolean", "null"};
  return kWords[static_cast<std::size_t>(kind)];
}

JsonCursor::JsonCursor(std::string_view text, std::string file, std::uint64_t base)
    : text_(text), file_(std::move(file)), base_(base), bad_utf8_(find_invalid_utf8(text)) {
  if (text_.starts_with("\xef\xbb\xbf")) {
    fail(ErrorCode::kBadJson, base_, "JSON begins with a byte-order mark", "no byte-order mark");
  }
}

void JsonCursor::fail(ErrorCode code, std::uint64_t position, std::string message,
                      std::string expected) const {
  throw Error(code, std::move(message), std::move(expected), file_, position);
}

void JsonCursor::fail_syntax(std::size_t at, std::string expected) const {
  if (at >= bad_utf8_) {
    fail(ErrorCode::kBadEncoding, base_ + bad_utf8_,
         fmt::format("{} is not UTF-8", byte_text(text_[bad_utf8_])), "UTF-8 text");
  }
  fail(ErrorCode::kBadJson, base_ + at,
       at < text_.size() ? fmt::format("unexpected {} in JSON", byte_text(text_[at]))
                         : std::string("JSON ends too early"),
       std::move(expected));
}

void JsonCursor::skip_space() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
    ++at_;
  }
}

std::uint64_t JsonCursor::position() {
  skip_space();
  return base_ + at_;
}

JsonCursor::Kind JsonCursor::kind() {
  skip_space();
  if (at_ < text_.size()) {
    switch (text_[at_]) {
      case '{':
        return Kind::kObject;
      case '[':
        return Kind::kArray;
      case '"':
        return Kind::kString;
      case 't':
      case 'f':
        return Kind::kBool;
      case 'n':
        return Kind::kNull;
      default:
        if (text_[at_] == '-' || is_digit(text_[at_])) return Kind::kNumber;
    }
  }
  fail_syntax(at_, "a JSON value");
}

void JsonCursor::push(bool object) {
  if (frames_.size() == kMaxJsonDepth) {
    fail(ErrorCode::kLimit, base_ + at_, "JSON nests too deep",
         fmt::format("at most {} levels", kMaxJsonDepth));
  }
  frames_.push_back({next_id_++, object, true});
  ++at_;
}

void JsonCursor::begin_object() {
  if (kind() != Kind::kObject) fail_syntax(at_, "'{'");
  push(true);
}

void JsonCursor::begin_array() {
  if (kind() != Kind::kArray) fail_syntax(at_, "'['");
  push(false);
}

bool JsonCursor::next_item(char close) {
  skip_space();
  Frame& frame = frames_.back();
  if (at_ < text_.size() && text_[at_] == close) {
    ++at_;
    frames_.pop_back();
    return false;
  }
  if (frame.first) {
    frame.first = false;
    return true;
  }
  if (at_ >= text_.size() || text_[at_] != ',') fail_syntax(at_, fmt::format("',' or '{}'", close));
  ++at_;
  skip_space();
  return true;
}

bool JsonCursor::next_key() {
  if (!next_item('}')) return false;
  if (at_ >= text_.size() || text_[at_] != '"') fail_syntax(at_, "a string as name");
  key_begin_ = at_;
  key_ = scan_string();
  if (key_.data() == scratch_.data()) {  // unescaped: values may need the scratch text too
    key_scratch_.swap(scratch_);
    key_ = key_scratch_;
  }
  skip_space();
  if (at_ >= text_.size() || text_[at_] != ':') fail_syntax(at_, "':'");
  ++at_;
  return true;
}

bool JsonCursor::next_element() {
  return next_item(']');
}

void JsonCursor::expect_keys(std::size_t count) {
  count = std::max(count, seen_count_);
  std::vector<std::uint64_t> old(std::bit_ceil(std::max<std::size_t>(64, count + count / 3 + 2)));
  old.swap(seen_);
  for (const std::uint64_t hash : old) {
    if (hash != 0) *find_key(hash) = hash;
  }
}

/// The slot of the hash, or the free one where it belongs.
std::uint64_t* JsonCursor::find_key(std::uint64_t hash) {
  std::size_t slot = hash & (seen_.size() - 1);
  while (seen_[slot] != 0 && seen_[slot] != hash) slot = (slot + 1) & (seen_.size() - 1);
  return &seen_[slot];
}

bool JsonCursor::insert_key(std::uint64_t hash) {
  hash += hash == 0 ? 1 : 0;
  if (4 * (seen_count_ + 1) > 3 * seen_.size()) expect_keys(2 * seen_count_ + 1);
  std::uint64_t* const slot = find_key(hash);
  if (*slot == hash) return false;
  *slot = hash;
  ++seen_count_;
  return true;
}

void JsonCursor::require_unique() {
  // Two unlike keys share a 64-bit hash once in about 10^19 pairs; a file made to do so is refused.
  const std::uint64_t hash = XXH3_64bits_withSeed(key_.data(), key_.size(), frames_.back().id);
  if (!insert_key(hash)) {
    fail(ErrorCode::kDuplicate, key_position(),
         fmt::format("\"{}\" is given twice", key_.substr(0, 200)), "each name once");
  }
}

std::uint32_t JsonCursor::hex4(std::size_t at) const {
  std::uint32_t code = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const char c = i < text_.size() ? text_[i] : '\0';
    std::uint32_t digit = 0;
    if (is_digit(c)) {
      digit = static_cast<std::uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<std::uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<std::uint32_t>(c - 'A' + 10);
    } else {
      fail_syntax(i, "four hexadecimal digits");
    }
    code = code << 4 | digit;
  }
  return code;
}

/// Appends what the escape at `at` (a backslash) means; returns the position after it.
std::size_t JsonCursor::unescape(std::size_t at) {
  static constexpr std::string_view kFrom = "\"\\/bfnrt";
  static constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
  const char c = at + 1 < text_.size() ? text_[at + 1] : '\0';
  if (c != 'u') {
    const std::size_t which = c == '\0' ? std::string_view::npos : kFrom.find(c);
    if (which == std::string_view::npos) fail_syntax(at + 1, "an escape of JSON");
    scratch_ += kTo[which];
    return at + 2;
  }
  std::uint32_t code = hex4(at + 2);
  if (code < 0xd800 || code > 0xdfff) {
    append_utf8(scratch_, code);
    return at + 6;
  }
  const bool pair = code < 0xdc00 && text_.substr(at + 6, 2) == "\\u";
  const std::uint32_t low = pair ? hex4(at + 8) : 0;
  if (low < 0xdc00 || low > 0xdfff) {
    fail(ErrorCode::kBadEncoding, base_ + at, "surrogate without its other half",
         "an escaped character");
  }
  code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  append_utf8(scratch_, code);
  return at + 12;
}

// at_ is at the opening quote. The result points into the text, or into scratch_ with escapes.
std::string_view JsonCursor::scan_string() {
  const std::size_t begin = at_ + 1;
  std::size_t i = begin;
  bool escaped = false;
  for (;;) {
    const std::size_t run = i;
    i = run_end(text_, i);
    if (i > bad_utf8_) fail_syntax(i, {});
    if (escaped) scratch_.append(text_, run, i - run);
    if (i == text_.size()) fail_syntax(i, "'\"' at the end of a string");
    if (text_[i] == '"') break;
    if (text_[i] != '\\') fail_syntax(i, "control characters escaped");
    if (!escaped) {
      scratch_.assign(text_, begin, i - begin);
      escaped = true;
    }
    i = unescape(i);
  }
  at_ = i + 1;
  return escaped ? std::string_view(scratch_) : text_.substr(begin, i - begin);
}

std::string_view JsonCursor::string() {
  if (kind() != Kind::kString) fail_syntax(at_, "a string");
  return scan_string();
}

std::string_view JsonCursor::number() {
  if (kind() != Kind::kNumber) fail_syntax(at_, "a number");
  const std::size_t begin = at_;
  std::size_t i = at_;
  const auto at = [&](std::size_t k) { return k < text_.size() ? text_[k] : '\0'; };
  const auto digits = [&] {
    if (!is_digit(at(i))) fail_syntax(i, "a digit");
    while (is_digit(at(i))) ++i;
  };
  if (at(i) == '-') ++i;
  if (at(i) == '0') {
    ++i;
    if (is_digit(at(i))) fail_syntax(i, "no leading zero");
  } else {
    digits();
  }
  if (at(i) == '.') {
    ++i;
    digits();
  }
  if (at(i) == 'e' || at(i) == 'E') {
    ++i;
    if (at(i) == '+' || at(i) == '-') ++i;
    digits();
  }
  at_ = i;
  return text_.substr(begin, i - begin);
}

std::uint64_t JsonCursor::unsigned_number(std::string_view what, ErrorCode otherwise) {
  const Kind found = kind();
  const std::uint64_t where = base_ + at_;
  if (found != Kind::kNumber) {
    fail(otherwise, where, fmt::format("{} is {}", what, kind_text(found)), "an unsigned integer");
  }
  std::uint64_t value = 0;
  // Nearly all are a few plain digits, read as they are checked.
  std::size_t i = at_;
  for (; i < text_.size() && i - at_ < 19 && is_digit(text_[i]); ++i) {
    value = value * 10 + static_cast<std::uint64_t>(text_[i] - '0');
  }
  const char next = i < text_.size() ? text_[i] : '\0';
  if ((next == ',' || next == ']') && i > at_ && (text_[at_] != '0' || i == at_ + 1)) {
    at_ = i;
    return value;
  }
  const std::string_view digits = number();
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end != digits.data() + digits.size()) {  // a sign, a fraction or an exponent
    fail(otherwise, where, fmt::format("{} is {}", what, digits.substr(0, 40)),
         "an unsigned integer in plain digits");
  }
  if (error == std::errc::result_out_of_range) {
    fail(ErrorCode::kOverflow, where,
         digits.size() <= 40 ? fmt::format("{} is {}", what, digits)
                             : fmt::format("{} has {} digits", what, digits.size()),
         "at most 18446744073709551615");
  }
  return value;
}

void JsonCursor::literal(std::string_view word) {
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (at_ + i >= text_.size() || text_[at_ + i] != word[i]) {
      fail_syntax(at_ + i, fmt::format("{}", word));
    }
  }
  at_ += word.size();
}

bool JsonCursor::boolean() {
  if (kind() != Kind::kBool) fail_syntax(at_, "true or false");
  const bool value = text_[at_] == 't';
  literal(value ? "true" : "false");
  return value;
}

void JsonCursor::null() {
  if (kind() != Kind::kNull) fail_syntax(at_, "null");
  literal("null");
}

void JsonCursor::skip() {
  const std::size_t floor = frames_.size();
  for (;;) {
    switch (kind()) {
      case Kind::kObject:
        begin_object();
        break;
      case Kind::kArray:
        begin_array();
        break;
      case Kind::kString:
        scan_string();
        break;
      case Kind::kNumber:
        number();
        break;
      case Kind::kBool:
        boolean();
        break;
      case Kind::kNull:
        null();
        break;
    }
    // To where the next value starts, leaving all that ends here.
    while (frames_.size() > floor) {
      if (!frames_.back().object) {
        if (next_element()) break;
      } else if (next_key()) {
        require_unique();
        break;
      }
    }
    if (frames_.size() == floor) return;
  }
}

void JsonCursor::end() {
  skip_space();
  if (at_ < text_.size()) fail_syntax(at_, "nothing after the JSON value");
}

}  // namespace qi
