#include "eval/results/spqr_share.h"

#include "engine/io/error.h"
#include "engine/methods/calibrated_options.h"

namespace qi {
namespace {

constexpr double kOutlierBytes = 4;

std::optional<SpqrShare> share_of(const ResultRow& row) {
  const SpqrOptions options = spqr_options(row.config.params);
  if (row.is_total()) {
    if (!row.outlier_share) return std::nullopt;
    return SpqrShare{spqr_average_bits(options, *row.outlier_share), *row.outlier_share};
  }
  if (!row.ok || row.shape.size() != 2) return std::nullopt;
  MatrixInfo matrix;
  matrix.rows = matrix.matrix_rows = row.shape[0];
  matrix.cols = row.shape[1];
  const auto plain = static_cast<double>(calibrated_bytes(row.config, matrix, 0));
  const double outliers = (static_cast<double>(row.bytes_out) - plain) / kOutlierBytes;
  const double share = outliers / static_cast<double>(row.weights);
  return SpqrShare{spqr_average_bits(options, share), share};
}

}  // namespace

std::optional<SpqrShare> spqr_share(const ResultRow& row) {
  if (row.config.family != "spqr" || row.weights == 0) return std::nullopt;
  try {
    return share_of(row);
  } catch (const Error&) {
    return std::nullopt;  // a database may hold anything
  }
}

}  // namespace qi
