// The text that calibrated quantizers look at: token ids of a text or a file, cut into sequences of
// one length that do not overlap and stand at even distances from its begin to its end, so that the
// same file always gives the same ones. Owns the tokens. Refuses texts that do not fill one
// sequence (kBadValue), lengths beyond the model's (kUsage) and ids beyond its vocabulary
// (kBadValue). Plain data once made, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

struct CalibrationOptions {
  std::uint64_t samples = 128;  // at most: --nsamples, --num_calibration_samples
  std::uint64_t length = 0;     // --max_sequence_length; 0: 2048, the model's limit or all there is
};

struct CalibrationText {
  std::vector<std::int32_t> tokens;  // [samples, length]
  std::uint64_t samples = 0;
  std::uint64_t length = 0;
  std::string digest;   // 16 hex digits of XXH3-128 of tokens and length: `calibration=`
  std::string warning;  // fewer samples than asked for; empty: none

  std::span<const std::int32_t> sample(std::uint64_t index) const {
    return std::span(tokens).subspan(index * length, length);
  }
};

/// Whether a file of that name holds token ids: ".json", one array of them, or an array of such
/// arrays, which are joined. Every other file is a text.
bool is_token_file(std::string_view path);

/// `vocab` and `context` as the architecture has them; 0: not known.
CalibrationText cut_calibration(std::vector<std::int32_t> tokens, const CalibrationOptions& options,
                                std::uint64_t vocab, std::uint64_t context);

/// Reads a file for a model, whose own tokenizer a text is given to, or that at `tokenizer_path`. A
/// BOS stands at the begin of the text where the tokenizer puts one there. Throws as
/// load_tokenizer() and read_architecture(), kBadEncoding for text that is not UTF-8 and kBadSchema
/// for a file of ids that is none; errors name the file.
CalibrationText read_calibration(const std::string& path, const CalibrationOptions& options,
                                 const Model& model, const std::string& tokenizer_path = "");

}  // namespace qi
