// One measurement: what was done to which weight with which parameters, and what came out; a row of
// --sweep and --results and of the Sweep, Results and Compare screens. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/methods/method.h"
#include "engine/tensor/tensor.h"
#include "engine/tensor/weight.h"

namespace qi {

struct ResultRow {
  std::int64_t run = 0;
  std::string model;   // as the run named it
  std::string file;    // of the weight, as listed
  std::string tensor;  // "*": the sums and weighted means of one configuration in one run
  MethodConfig config;
  std::string dtype_in;  // "BF16"; of a total: "" when mixed
  Shape shape;           // empty for a total
  Role role = Role::kOther;
  std::int32_t layer = -1;
  std::uint64_t weights = 0;  // numbers in it
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::optional<std::uint64_t> model_bytes;  // of a total: bytes_out and all other weights
  std::optional<double> mse, rmse, max_abs_error, relative_error, snr_db, psnr_db, cosine;
  std::optional<double> output_error;
  std::optional<double> encode_s, decode_s;
  // Of a total, where the whole model was evaluated with it (join_evaluations()): perplexity, mean
  // KL divergence from the base, and what it costs in nats a token: that divergence, else the
  // logarithm of the perplexity over that of the model as stored.
  std::optional<double> perplexity, divergence, damage;
  std::optional<double> outlier_share;  // of a total of SpQR (spqr_share.h)
  bool ok = true;
  std::string error;  // why not; of one that is ok: what there is to say of it

  bool is_total() const { return tensor == "*"; }
  double bits_per_weight() const {
    return weights == 0 ? 0.0 : 8.0 * static_cast<double>(bytes_out) / static_cast<double>(weights);
  }
  std::optional<double> ratio() const {
    if (bytes_out == 0) return std::nullopt;
    return static_cast<double>(bytes_in) / static_cast<double>(bytes_out);
  }
};

}  // namespace qi
