#include "views/result_columns.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "eval/results/pareto.h"

namespace qi {
namespace {

using Id = ResultColumnId;
using Form = ResultForm;

constexpr std::array kColumns = {
    ResultColumn{Id::kTensor, "tensor", "weight", "weight", 24, 0, Form::kText, 0, false},
    ResultColumn{Id::kConfig, "config", "configuration", "configuration", 24, 1, Form::kText, 0,
                 false},
    ResultColumn{Id::kBits, "bits_per_weight", "b/w", "bits per weight", 6, 2, Form::kBits, -1,
                 false},
    ResultColumn{Id::kSnr, "snr_db", "SNR dB", "SNR dB", 6, 3, Form::kDecibel, 1, false},
    ResultColumn{Id::kBytesOut, "bytes_out", "size", "size", 9, 5, Form::kSize, -1, true},
    ResultColumn{Id::kRelative, "relative_error", "rel error", "relative error", 9, 7, Form::kReal,
                 -1, true},
    ResultColumn{Id::kMse, "mse", "mse", "mean squared error", 9, 8, Form::kReal, -1, true},
    ResultColumn{Id::kRmse, "rmse", "rmse", "root mean squared error", 9, 16, Form::kReal, -1,
                 true},
    ResultColumn{Id::kMaxError, "max_abs_error", "max |e|", "largest error", 9, 9, Form::kReal, -1,
                 true},
    ResultColumn{Id::kPsnr, "psnr_db", "PSNR dB", "PSNR dB", 7, 17, Form::kDecibel, 1, false},
    ResultColumn{Id::kCosine, "cosine", "cosine", "cosine", 8, 18, Form::kCosine, 1, false},
    ResultColumn{Id::kOutputError, "output_error", "out error", "error of the output", 9, 15,
                 Form::kReal, -1, true},
    ResultColumn{Id::kRatio, "ratio", "ratio", "ratio", 6, 14, Form::kBits, 1, false},
    ResultColumn{Id::kModelBytes, "model_bytes", "model", "size of the model", 9, 6, Form::kSize,
                 -1, true},
    ResultColumn{Id::kBytesIn, "bytes_in", "stored", "size as stored", 9, 19, Form::kSize, 0, true},
    ResultColumn{Id::kWeights, "weights", "numbers", "numbers", 13, 20, Form::kCount, 0, true},
    ResultColumn{Id::kEncode, "encode_s", "enc s", "seconds to encode", 8, 12, Form::kTime, -1,
                 true},
    ResultColumn{Id::kDecode, "decode_s", "dec s", "seconds to decode", 8, 13, Form::kTime, -1,
                 true},
    ResultColumn{Id::kEncodeRate, "encode_mb_s", "enc MB/s", "encoding MB/s", 8, 21, Form::kRate, 1,
                 true},
    ResultColumn{Id::kDecodeRate, "decode_mb_s", "dec MB/s", "decoding MB/s", 8, 22, Form::kRate, 1,
                 true},
    ResultColumn{Id::kLayer, "layer", "layer", "layer", 5, 23, Form::kCount, 0, false},
    ResultColumn{Id::kRole, "role", "role", "module", 7, 24, Form::kText, 0, false},
    ResultColumn{Id::kDtype, "dtype_in", "type", "type as stored", 6, 25, Form::kText, 0, false},
    ResultColumn{Id::kShape, "shape", "shape", "shape", 11, 11, Form::kText, 0, false},
    ResultColumn{Id::kRun, "run", "run", "run", 4, 4, Form::kCount, 0, false},
    ResultColumn{Id::kModel, "model", "of model", "model", 16, 10, Form::kText, 0, false},
    ResultColumn{Id::kStatus, "status", "status", "status", 6, 26, Form::kText, 0, false},
    ResultColumn{Id::kPerplexity, "ppl", "ppl", "perplexity", 8, 27, Form::kReal, -1, false},
    ResultColumn{Id::kDivergence, "kld", "KLD", "KL divergence", 9, 28, Form::kReal, -1, true},
};

constexpr std::array kAxes = {Id::kSnr,        Id::kRelative, Id::kMse,         Id::kMaxError,
                              Id::kPsnr,       Id::kCosine,   Id::kOutputError, Id::kPerplexity,
                              Id::kDivergence, Id::kBits,     Id::kBytesOut,    Id::kModelBytes,
                              Id::kRatio,      Id::kEncode,   Id::kDecode,      Id::kEncodeRate,
                              Id::kDecodeRate};

double number_if(const std::optional<double>& value) {
  return value ? *value : kNoNumber;
}

double rate(const ResultRow& row, const std::optional<double>& seconds) {
  if (!seconds || !(*seconds > 0)) return kNoNumber;
  return static_cast<double>(row.bytes_in) / *seconds / 1e6;
}

std::string raw_text(Id id, const ResultRow& row) {
  switch (id) {
    case Id::kTensor:
      return row.tensor;
    case Id::kConfig:
      return config_label(row.config);
    case Id::kRole:
      return row.is_total() ? "" : std::string(role_name(row.role));
    case Id::kDtype:
      return row.dtype_in;
    case Id::kShape:
      return shape_text(row.shape);
    case Id::kModel:
      return row.model;
    case Id::kStatus:
      return row.ok ? "ok" : "error";
    default:
      return "";
  }
}

}  // namespace

std::span<const ResultColumn> result_column_table() {
  return kColumns;
}

const ResultColumn& result_column(ResultColumnId id) {
  return kColumns[static_cast<std::size_t>(id)];
}

std::span<const ResultColumnId> result_axes() {
  return kAxes;
}

double result_number(ResultColumnId id, const ResultRow& row) {
  const bool sized = row.ok || row.bytes_out > 0;
  switch (id) {
    case Id::kBits:
      return sized && row.weights > 0 ? row.bits_per_weight() : kNoNumber;
    case Id::kSnr:
      return judged_snr(row);
    case Id::kBytesOut:
      return sized ? static_cast<double>(row.bytes_out) : kNoNumber;
    case Id::kRelative:
      return number_if(row.relative_error);
    case Id::kMse:
      return number_if(row.mse);
    case Id::kRmse:
      return number_if(row.rmse);
    case Id::kMaxError:
      return number_if(row.max_abs_error);
    case Id::kPsnr:
      return number_if(row.psnr_db);
    case Id::kCosine:
      return number_if(row.cosine);
    case Id::kOutputError:
      return number_if(row.output_error);
    case Id::kRatio:
      return number_if(row.ratio());
    case Id::kModelBytes:
      return row.model_bytes ? static_cast<double>(*row.model_bytes) : kNoNumber;
    case Id::kBytesIn:
      return static_cast<double>(row.bytes_in);
    case Id::kWeights:
      return static_cast<double>(row.weights);
    case Id::kEncode:
      return number_if(row.encode_s);
    case Id::kDecode:
      return number_if(row.decode_s);
    case Id::kEncodeRate:
      return rate(row, row.encode_s);
    case Id::kDecodeRate:
      return rate(row, row.decode_s);
    case Id::kLayer:
      return row.layer < 0 ? kNoNumber : row.layer;
    case Id::kRun:
      return row.run == 0 ? kNoNumber : static_cast<double>(row.run);
    case Id::kPerplexity:
      return number_if(row.perplexity);
    case Id::kDivergence:
      return number_if(row.divergence);
    default:
      return kNoNumber;
  }
}

std::string result_number_text(ResultColumnId id, double value) {
  if (std::isnan(value)) return "";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  switch (result_column(id).form) {
    case Form::kBits:
      return fmt::format("{:.2f}", value);
    case Form::kDecibel:
      return fmt::format("{:.1f}", value);
    case Form::kCosine:
      return fmt::format("{:.6f}", value);
    case Form::kSize:
      return value < 0 || value >= 0x1p64 ? human_number(value)
                                          : human_bytes(static_cast<std::uint64_t>(value));
    case Form::kCount:
      return value < 0 || value >= 0x1p64 ? human_number(value)
                                          : grouped(static_cast<std::uint64_t>(value));
    case Form::kRate:
      return fmt::format("{:.0f}", value);
    case Form::kReal:
    case Form::kTime:
    case Form::kText:
      break;
  }
  return human_number(value);
}

std::string result_text(ResultColumnId id, const ResultRow& row) {
  if (result_column(id).form == Form::kText) return escape(raw_text(id, row));
  return result_number_text(id, result_number(id, row));
}

std::string result_export(ResultColumnId id, const ResultRow& row) {
  if (result_column(id).form == Form::kText) {
    if (id != Id::kConfig) return raw_text(id, row);
    return row.config.family + (row.config.params.empty() ? "" : " " + row.config.params.text());
  }
  const double value = result_number(id, row);
  return std::isfinite(value) ? exact_number(value) : "";
}

}  // namespace qi
