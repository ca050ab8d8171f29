// The measures of a result, one line each: columns of the database and members of a row. Constant.
#pragma once

#include <array>
#include <optional>

#include "eval/results/result_row.h"

namespace qi {

struct MeasureColumn {
  const char* name;
  std::optional<double> ResultRow::*value;
};

inline constexpr std::array<MeasureColumn, 10> kMeasureColumns = {{
    {"mse", &ResultRow::mse},
    {"rmse", &ResultRow::rmse},
    {"max_abs_error", &ResultRow::max_abs_error},
    {"relative_error", &ResultRow::relative_error},
    {"snr_db", &ResultRow::snr_db},
    {"psnr_db", &ResultRow::psnr_db},
    {"cosine", &ResultRow::cosine},
    {"output_error", &ResultRow::output_error},
    {"encode_s", &ResultRow::encode_s},
    {"decode_s", &ResultRow::decode_s},
}};

}  // namespace qi
