// Files of saved logits: of every token of a text that counts, the log-probabilities of the `top`
// likeliest tokens, the probability of all others together (the tail) and a few tokens drawn from
// those. Owns the format: magic, version, a JSON header with the identity of model, text and
// windows, then a record a position, every window with its checksum.
// Refuses (kBadMagic, kBadVersion, kBadHeader, kTruncated, kTrailing, kCorrupt, kBadValue) whatever
// is not such a file. Little-endian. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/atomic_file.h"
#include "eval/evaluation/divergence.h"

namespace qi {

/// What a file says of itself.
struct SavedLogitsFacts {
  std::string model;         // its name
  std::string model_hash;    // 32 hex digits
  std::string token_digest;  // of the text
  std::string cut;           // protocol, context, stride and BOS as Params
  std::uint64_t vocab = 0;
  std::uint64_t top = 0;      // likeliest tokens of a position; at most vocab
  std::uint64_t sampled = 0;  // drawn from the others; none where there are no others
  std::uint64_t windows = 0;
  std::uint64_t positions = 0;  // in all windows
};

/// Of the logits of a model over `text`.
SavedLogitsFacts facts_of(const std::string& model, const std::string& model_hash,
                          const EvalText& text, std::uint64_t vocab, std::uint64_t top);

class LogitsWriter {
 public:
  /// Throws as AtomicFile.
  LogitsWriter(const std::string& path, const OutputOptions& options, SavedLogitsFacts facts);
  /// The next positions, whose right tokens are `targets`.
  void add(const LogitTile& tile, std::span<const std::int32_t> targets);
  void end_window();
  void commit() { file_.commit(); }

 private:
  SavedLogitsFacts facts_;
  AtomicFile file_;
  std::vector<std::byte> window_;
  std::uint64_t position_ = 0;
};

/// Tokens, ascending, and their log-probabilities.
struct KeptTokens {
  std::vector<std::int32_t> tokens;
  std::vector<float> log_p;
};

/// What is kept of one position.
struct SavedPosition {
  double nll = 0;  // of the right token
  double tail = 0;
  KeptTokens top;
  KeptTokens sampled;  // each with a probability of its share of the tail; some more than once
};

class SavedLogits {
 public:
  /// Whether `path` begins as such a file does.
  static bool is_one(const std::string& path);
  /// Reads the header and holds the file's length against it.
  explicit SavedLogits(const std::string& path);

  const SavedLogitsFacts& facts() const { return facts_; }
  /// Throws kInconsistent unless the file is of this text, cut like this.
  void check(const EvalText& text, std::uint64_t vocab) const;
  /// Window `index` of `plan`, for which check() passed. Throws kCorrupt, kBadValue.
  std::vector<SavedPosition> window(const PerplexityPlan& plan, std::uint64_t index) const;

 private:
  [[noreturn]] void fail(ErrorCode code, std::uint64_t offset, std::string message,
                         std::string expected) const;
  KeptTokens tokens(std::span<const std::byte> bytes, std::uint64_t count,
                    std::uint64_t offset) const;
  SavedPosition position(std::span<const std::byte> record, std::uint64_t offset) const;

  std::shared_ptr<const File> file_;
  SavedLogitsFacts facts_;
  std::uint64_t begin_ = 0;  // of the first window
};

/// The model's logits of `states` beside saved ones. What the likeliest tokens and the tail as a
/// whole contribute is exact; what differs within the tail is estimated, without bias, from the
/// sampled tokens. False: cancelled.
bool compare_logits(const Transformer& model, std::span<const float> states,
                    std::span<const std::int32_t> targets, std::span<const SavedPosition> saved,
                    std::span<TokenDivergence> out);

}  // namespace qi
