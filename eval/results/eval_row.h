// One evaluation of a whole model: what was asked, and what came out; a row of --eval. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/methods/params.h"

namespace qi {

struct EvalMeasures {
  double value = 0;
  std::optional<double> standard_error;  // nothing: the measure has none
  std::uint64_t tokens = 0;              // that were scored
  double seconds = 0;
  std::uint64_t peak_memory_bytes = 0;

  std::optional<double> tokens_per_s() const {
    if (seconds <= 0 || tokens == 0) return std::nullopt;
    return static_cast<double>(tokens) / seconds;
  }
};

struct EvalRow {
  std::int64_t run = 0;
  std::string model;
  std::string family;  // of what was done to the weights; empty: as stored
  std::string config;  // its parameters
  double bits_per_weight = 0;
  std::string kind;     // "ppl", "kld", "kld.median"
  std::string dataset;  // the text's file name
  Params params;
  EvalMeasures measured;
  std::string error;  // why nothing was measured; empty: all is well
};

}  // namespace qi
