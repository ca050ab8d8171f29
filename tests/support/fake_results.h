// Rows of measurements made in memory for screens: three families on a small model, deterministic.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "eval/results/result_row.h"

namespace qi::test {

inline ResultRow result_row(std::string tensor, Role role, int layer, std::string family,
                            std::string_view params, double bits, double snr,
                            std::uint64_t weights = 1 << 20) {
  ResultRow row;
  row.run = 14;
  row.model = "Llama-3.1-8B-Instruct";
  row.file = "model-00001-of-00004.safetensors";
  row.tensor = std::move(tensor);
  row.config = {std::move(family), Params::parse(params)};
  row.dtype_in = "BF16";
  row.shape = {1024, weights / 1024};
  row.role = role;
  row.layer = layer;
  row.weights = weights;
  row.bytes_in = weights * 2;
  row.bytes_out = static_cast<std::uint64_t>(bits * static_cast<double>(weights) / 8);
  row.mse = 3e-4 * std::pow(10, -snr / 10);
  row.rmse = std::sqrt(*row.mse);
  row.snr_db = snr;
  row.relative_error = std::pow(10, -snr / 20);
  row.max_abs_error = 6 * *row.rmse;
  row.cosine = 1 - *row.relative_error * *row.relative_error / 2;
  row.encode_s = 0.004 + bits / 1000;
  row.decode_s = 0.002;
  return row;
}

/// Rows of `layers` layers of four matrices in eleven configurations, one of which cannot take one
/// matrix. Families that no build knows, so that pictures do not change when one does.
inline std::vector<ResultRow> result_rows(int layers) {
  struct Config {
    std::string_view family, params;
    double bits, snr;
  };
  constexpr Config kConfigs[] = {{"alpha", "bits=3", 3.4, 13.1},
                                 {"alpha", "bits=4", 4.4, 19.6},
                                 {"alpha", "bits=6", 6.4, 31.9},
                                 {"alpha", "bits=8", 8.5, 44.3},
                                 {"beta", "dims=2;rate=4", 4, 13.9},
                                 {"beta", "dims=2;rate=6", 6, 26.2},
                                 {"beta", "dims=2;rate=8", 8, 38.3},
                                 {"gamma", "group=32", 4.5, 19.1},
                                 {"gamma", "group=128", 4.16, 18.2},
                                 {"gamma", "group=row", 4.01, 15.0},
                                 {"exact", "", 10.6, 0}};
  constexpr std::pair<std::string_view, Role> kParts[] = {{"self_attn.q_proj", Role::kQ},
                                                          {"self_attn.o_proj", Role::kO},
                                                          {"mlp.up_proj", Role::kUp},
                                                          {"mlp.down_proj", Role::kDown}};
  std::vector<ResultRow> out;
  for (int layer = 0; layer < layers; ++layer) {
    for (std::size_t part = 0; part < 4; ++part) {
      for (const Config& config : kConfigs) {
        const double wave = 1.5 * std::sin(layer * 1.3 + static_cast<double>(part));
        ResultRow row =
            result_row(fmt::format("model.layers.{}.{}.weight", layer, kParts[part].first),
                       kParts[part].second, layer, std::string(config.family), config.params,
                       config.bits, config.snr + wave, std::uint64_t{1} << (20 + part % 2));
        if (config.family == "exact") {
          row.mse = row.rmse = row.max_abs_error = row.relative_error = 0;
          row.snr_db.reset();
          row.cosine = 1;
        }
        if (config.family == "gamma" && config.params == "group=32" && layer == 1 && part == 3) {
          row.ok = false;
          row.error = "a row of 172 is no multiple of 32";
          row.bytes_out = 0;
          for (auto* value : {&row.mse, &row.rmse, &row.max_abs_error, &row.relative_error,
                              &row.snr_db, &row.cosine, &row.encode_s, &row.decode_s}) {
            value->reset();
          }
        }
        out.push_back(std::move(row));
      }
    }
  }
  return out;
}

}  // namespace qi::test
