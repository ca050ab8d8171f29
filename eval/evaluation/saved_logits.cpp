#include "eval/evaluation/saved_logits.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/json_document.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"
#include "engine/io/xxh3.h"

namespace qi {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they are");

constexpr std::string_view kMagic = "qilogits";
constexpr std::uint32_t kLogitsVersion = 1;
constexpr std::uint32_t kMaxHeaderBytes = 1 << 16;
constexpr std::size_t kPrefixBytes = 16;  // magic, version, length of the header
constexpr std::size_t kChecksumBytes = 8;
constexpr std::uint64_t kMaxVocab = 1 << 28;

constexpr std::uint64_t kSampled = 16;

/// nll f64, tail f32, then tokens u32 and log-probabilities f32: of the top, of the sampled.
std::uint64_t record_bytes(const SavedLogitsFacts& facts) {
  return 12 + 8 * (facts.top + facts.sampled);
}

template <typename T>
void append(std::vector<std::byte>& out, const T& value) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

template <typename T>
T number_at(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::uint64_t checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string header_text(const SavedLogitsFacts& facts) {
  const nlohmann::json header = {
      {"model", facts.model}, {"model_hash", facts.model_hash}, {"text", facts.token_digest},
      {"cut", facts.cut},     {"sampled", facts.sampled},       {"vocab", facts.vocab},
      {"top", facts.top},     {"windows", facts.windows},       {"positions", facts.positions}};
  return header.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

/// The likeliest tokens of a row, ascending; of equal ones the first.
std::vector<std::int32_t> likeliest(std::span<const float> row, std::size_t top) {
  // A heap of the chosen with the least likely in front; of equals the last one leaves first.
  const auto before = [&](std::int32_t a, std::int32_t b) {
    const float x = row[static_cast<std::size_t>(a)];
    const float y = row[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::vector<std::int32_t> chosen;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const auto token = static_cast<std::int32_t>(i);
    if (chosen.size() == top) {
      if (!before(token, chosen.front())) continue;
      std::pop_heap(chosen.begin(), chosen.end(), before);
      chosen.pop_back();
    }
    chosen.push_back(token);
    std::push_heap(chosen.begin(), chosen.end(), before);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

/// `count` tokens that are not among `kept` (ascending), each drawn with a probability in
/// proportion to its own: systematic sampling, the places equally far from each other and all
/// shifted by `shift` of [0, 1) of that.
std::vector<std::int32_t> drawn(std::span<const float> row, float log_sum,
                                const std::vector<std::int32_t>& kept, std::size_t count,
                                double shift) {
  std::vector<float> p(row.size());
  simd::exp_shifted(row.data(), row.size(), 1, log_sum, p.data());
  for (const std::int32_t token : kept) p[static_cast<std::size_t>(token)] = 0;
  double all = 0;
  for (const float each : p) all += static_cast<double>(each);
  std::vector<std::int32_t> out;
  const double step = all / static_cast<double>(count);
  double reached = 0;
  std::size_t last = 0;  // that may be drawn
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] <= 0) continue;
    last = i;
    reached += static_cast<double>(p[i]);
    while (out.size() < count && (static_cast<double>(out.size()) + shift) * step < reached) {
      out.push_back(static_cast<std::int32_t>(i));
    }
  }
  out.resize(count, static_cast<std::int32_t>(last));  // rounding left the end out
  return out;
}

/// How `plan` cuts a text, for SavedLogitsFacts::cut.
std::string cut_of(const PerplexityPlan& plan) {
  const PerplexityOptions& options = plan.options();
  return fmt::format("bos={};context={};protocol={};stride={}",
                     options.bos ? fmt::to_string(*options.bos) : "none", options.context,
                     protocol_name(options.protocol), options.stride);
}

}  // namespace

SavedLogitsFacts facts_of(const std::string& model, const std::string& model_hash,
                          const EvalText& text, std::uint64_t vocab, std::uint64_t top) {
  return {model,
          model_hash,
          text.token_digest,
          cut_of(text.plan),
          vocab,
          std::min(top, vocab),
          top < vocab ? kSampled : 0,
          text.plan.windows(),
          text.plan.scored()};
}

LogitsWriter::LogitsWriter(const std::string& path, const OutputOptions& options,
                           SavedLogitsFacts facts)
    : facts_(std::move(facts)), file_(path, options) {
  const std::string text = header_text(facts_);
  std::vector<std::byte> bytes;
  for (const char c : kMagic) append(bytes, c);
  append(bytes, kLogitsVersion);
  append(bytes, static_cast<std::uint32_t>(text.size()));
  for (const char c : text) append(bytes, c);
  append(bytes, checksum(bytes));
  file_.reserve(bytes.size() + facts_.positions * record_bytes(facts_) +
                facts_.windows * kChecksumBytes);
  file_.write(bytes);
}

void LogitsWriter::add(const LogitTile& tile, std::span<const std::int32_t> targets) {
  const auto put = [&](std::size_t i, const std::vector<std::int32_t>& tokens) {
    for (const std::int32_t token : tokens) append(window_, token);
    for (const std::int32_t token : tokens) {
      append(window_, static_cast<float>(-tile.nll(i, token)));
    }
  };
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const std::vector<std::int32_t> top = likeliest(tile.row(i), facts_.top);
    double kept = 0;
    for (const std::int32_t token : top) kept += std::exp(-tile.nll(i, token));
    append(window_, tile.nll(i, targets[i]));
    append(window_, static_cast<float>(facts_.sampled == 0 ? 0 : std::clamp(1 - kept, 0.0, 1.0)));
    put(i, top);
    if (facts_.sampled == 0) continue;
    // Any shift does that has nothing to do with the logits; the same in every run.
    const std::uint64_t number = position_++;
    const double shift = static_cast<double>(XXH3_64bits(&number, sizeof number) >> 11) * 0x1p-53;
    put(i, drawn(tile.row(i), static_cast<float>(tile.log_sum(i)), top, facts_.sampled, shift));
  }
}

void LogitsWriter::end_window() {
  append(window_, checksum(window_));
  file_.write(window_);
  window_.clear();
}

bool SavedLogits::is_one(const std::string& path) {
  std::shared_ptr<const File> file;
  try {
    file = File::open(path);
  } catch (const Error&) {
    return false;  // a folder, or absent: whoever opens it says so
  }
  if (file->size() < kMagic.size()) return false;
  std::vector<std::byte> begin(kMagic.size());
  file->read_at(0, begin);
  return std::memcmp(begin.data(), kMagic.data(), kMagic.size()) == 0;
}

void SavedLogits::fail(ErrorCode code, std::uint64_t offset, std::string message,
                       std::string expected) const {
  throw Error(code, std::move(message), std::move(expected), file_->path(), offset);
}

SavedLogits::SavedLogits(const std::string& path) : file_(File::open(path)) {
  std::vector<std::byte> bytes(kPrefixBytes);
  file_->read_at(0, bytes);
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    fail(ErrorCode::kBadMagic, 0, "not a file of saved logits", std::string(kMagic));
  }
  const auto version = number_at<std::uint32_t>(bytes, 8);
  if (version != kLogitsVersion) {
    fail(ErrorCode::kBadVersion, 8, fmt::format("version {}", version),
         fmt::to_string(kLogitsVersion));
  }
  const auto length = number_at<std::uint32_t>(bytes, 12);
  if (length > kMaxHeaderBytes) {
    fail(ErrorCode::kLimit, 12, fmt::format("a header of {} bytes", length),
         fmt::format("at most {}", kMaxHeaderBytes));
  }
  bytes.resize(kPrefixBytes + length + kChecksumBytes);
  file_->read_at(0, bytes);
  begin_ = bytes.size();
  const std::span<const std::byte> header = std::span(bytes).first(kPrefixBytes + length);
  if (number_at<std::uint64_t>(bytes, header.size()) != checksum(header)) {
    fail(ErrorCode::kCorrupt, 0, "the header's checksum does not match", {});
  }
  std::vector<std::string> odd;
  const std::string text(reinterpret_cast<const char*>(header.data()) + kPrefixBytes, length);
  try {
    const nlohmann::json json = parse_json(text, path, odd);
    facts_.model = json.at("model").get<std::string>();
    facts_.model_hash = json.at("model_hash").get<std::string>();
    facts_.token_digest = json.at("text").get<std::string>();
    facts_.cut = json.at("cut").get<std::string>();
    const auto count = [&](const char* key) {
      if (!json.at(key).is_number_unsigned()) {
        fail(ErrorCode::kBadHeader, kPrefixBytes, fmt::format("{} is no count", key), {});
      }
      return json.at(key).get<std::uint64_t>();
    };
    facts_.vocab = count("vocab");
    facts_.top = count("top");
    facts_.sampled = count("sampled");
    facts_.windows = count("windows");
    facts_.positions = count("positions");
  } catch (const nlohmann::json::exception&) {
    fail(ErrorCode::kBadHeader, kPrefixBytes, "the header lacks a field",
         "model, model_hash, text, cut, vocab, top, sampled, windows, positions");
  }
  if (facts_.top == 0 || facts_.top > facts_.vocab || facts_.vocab > kMaxVocab ||
      facts_.sampled > kMaxVocab || (facts_.sampled == 0) != (facts_.top == facts_.vocab)) {
    fail(ErrorCode::kBadHeader, kPrefixBytes,
         fmt::format("{} of {} tokens are kept and {} drawn", facts_.top, facts_.vocab,
                     facts_.sampled),
         "1 to all of them, and some drawn unless it is all");
  }
  const auto records = checked_mul(facts_.positions, record_bytes(facts_));
  const auto checksums = checked_mul<std::uint64_t>(facts_.windows, kChecksumBytes);
  const auto end = records && checksums ? checked_add(*records, *checksums) : std::nullopt;
  const std::uint64_t rest = file_->size() - begin_;
  if (!end || *end > rest) {
    fail(ErrorCode::kTruncated, file_->size(), fmt::format("{} bytes follow the header", rest),
         end ? fmt::format("{} for {} positions", *end, facts_.positions)
             : fmt::format("{} positions", facts_.positions));
  }
  if (*end < rest) {
    fail(ErrorCode::kTrailing, begin_ + *end, fmt::format("{} bytes too many", rest - *end), {});
  }
}

void SavedLogits::check(const EvalText& text, std::uint64_t vocab) const {
  const auto differ = [&](std::string message, std::string expected) {
    throw Error(ErrorCode::kInconsistent, std::move(message), std::move(expected), file_->path());
  };
  if (facts_.vocab != vocab) {
    differ(fmt::format("logits of a vocabulary of {}", facts_.vocab),
           fmt::format("{}, the model's", vocab));
  }
  if (facts_.cut != cut_of(text.plan)) {
    differ("saved with " + facts_.cut, cut_of(text.plan) + " as now");
  }
  if (facts_.token_digest != text.token_digest) {
    differ("logits of another text or of another tokenizer's tokens", "those of this text");
  }
  const PerplexityPlan& plan = text.plan;
  if (facts_.windows < plan.windows()) {
    differ(fmt::format("logits of {} windows", facts_.windows),
           fmt::format("at least {}, or a smaller --limit", plan.windows()));
  }
  const std::uint64_t first = plan.window(0).targets().size();
  const std::uint64_t others =
      plan.windows() > 1 ? (plan.scored() - first) / (plan.windows() - 1) : 0;
  if (plan.windows() > 1 ? facts_.positions != first + (facts_.windows - 1) * others
                         : facts_.positions < first) {
    differ(fmt::format("{} positions in {} windows", facts_.positions, facts_.windows),
           "as many as the windows have");
  }
}

std::vector<SavedPosition> SavedLogits::window(const PerplexityPlan& plan,
                                               std::uint64_t index) const {
  const std::uint64_t first = plan.window(0).targets().size();
  const std::uint64_t count = plan.window(index).targets().size();
  const std::uint64_t before = index == 0 ? 0 : first + (index - 1) * count;
  const std::uint64_t record = record_bytes(facts_);
  const std::uint64_t offset = begin_ + before * record + index * kChecksumBytes;
  std::vector<std::byte> bytes(count * record + kChecksumBytes);
  file_->read_at(offset, bytes);
  const std::span<const std::byte> records = std::span(bytes).first(count * record);
  if (number_at<std::uint64_t>(bytes, records.size()) != checksum(records)) {
    fail(ErrorCode::kCorrupt, offset,
         fmt::format("the checksum of window {} does not match", index), {});
  }
  std::vector<SavedPosition> out;
  for (std::uint64_t i = 0; i < count; ++i) {
    out.push_back(position(records.subspan(i * record, record), offset + i * record));
  }
  return out;
}

KeptTokens SavedLogits::tokens(std::span<const std::byte> bytes, std::uint64_t count,
                               std::uint64_t offset) const {
  KeptTokens out;
  out.tokens.resize(count);
  out.log_p.resize(count);
  if (count == 0) return out;
  std::memcpy(out.tokens.data(), bytes.data(), count * 4);
  std::memcpy(out.log_p.data(), bytes.data() + count * 4, count * 4);
  const auto is_log = [](float value) { return std::isfinite(value) && value <= 1e-3F; };
  if (!std::is_sorted(out.tokens.begin(), out.tokens.end()) || out.tokens.front() < 0 ||
      static_cast<std::uint64_t>(out.tokens.back()) >= facts_.vocab ||
      !std::all_of(out.log_p.begin(), out.log_p.end(), is_log)) {
    fail(ErrorCode::kBadValue, offset, "tokens of a position that cannot be",
         "ascending ones and logs of probabilities");
  }
  return out;
}

SavedPosition SavedLogits::position(std::span<const std::byte> record, std::uint64_t offset) const {
  SavedPosition out;
  out.nll = number_at<double>(record, 0);
  out.tail = static_cast<double>(number_at<float>(record, 8));
  if (!(out.nll >= -1e-3) || !std::isfinite(out.nll) || !(out.tail >= 0 && out.tail <= 1)) {
    fail(ErrorCode::kBadValue, offset, "a position whose numbers cannot be",
         "a log-likelihood and a probability");
  }
  out.top = tokens(record.subspan(12), facts_.top, offset);
  const auto& top = out.top.tokens;
  if (std::adjacent_find(top.begin(), top.end()) != top.end()) {
    fail(ErrorCode::kBadValue, offset, "a position that has a token twice", "each once");
  }
  out.sampled = tokens(record.subspan(12 + 8 * facts_.top), facts_.sampled, offset);
  return out;
}

}  // namespace qi
