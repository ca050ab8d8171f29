// The one table of --stats columns.
#include "engine/stats/statistics.h"

namespace qi {
namespace {

using Kind = StatColumn::Kind;

constexpr StatColumn kColumns[] = {
    {"min", "value", "smallest finite value", Kind::kReal, &Statistics::min},
    {"max", "value", "largest finite value", Kind::kReal, &Statistics::max},
    {"mean", "value", "Σx/n over the finite values", Kind::kReal, &Statistics::mean},
    {"std", "value", "√(Σ(x − mean)²/n) over the finite values", Kind::kReal, &Statistics::std},
    {"absmax", "value", "max(|min|, |max|)", Kind::kReal, &Statistics::absmax},
    {"zeros", "values", "how many are +0 or −0", Kind::kCount, &Statistics::zeros},
    {"nan", "values", "how many are not a number (floats and dequantized values)", Kind::kCount,
     &Statistics::nan},
    {"inf", "values", "how many are infinite (floats and dequantized values)", Kind::kCount,
     &Statistics::inf},
    {"subnormal", "values",
     "how many are non-zero with exponent field 0 (dequantized values: as float32)", Kind::kCount,
     &Statistics::subnormal},
    {"h_symbol", "bits/weight",
     "order-0 entropy −Σ p·log2 p of the stored symbol: the number, or the code of a quantized "
     "weight; symbols of up to 16 bits",
     Kind::kReal, &Statistics::h_symbol},
    {"h_sign", "bits/weight", "order-0 entropy of the sign bit (floats)", Kind::kReal,
     &Statistics::h_sign},
    {"h_exponent", "bits/weight", "order-0 entropy of the exponent field (floats)", Kind::kReal,
     &Statistics::h_exponent},
    {"h_mantissa", "bits/weight",
     "order-0 entropy of the mantissa field, of its top 8 bits where it is wider (floats)",
     Kind::kReal, &Statistics::h_mantissa},
    {"h_bytes", "bits/weight",
     "order-0 entropy of the stored bytes of all parts, in bits a byte, times bytes a weight",
     Kind::kReal, &Statistics::h_bytes},
    {"h_int8", "bits/weight",
     "order-0 entropy of the LLM.int8() codes: the stored ones, or q = rint(w·fp32(127/s)) with "
     "s = max|w| of the row, w as stored (no cast to fp16); q = 0 in rows where s is 0, not finite "
     "or outside 2^±100; BF16, F16 and F32 matrices",
     Kind::kReal, &Statistics::h_int8},
    {"h_residual", "bits/weight",
     "bits of the 16-bit value given q and s: Σ log2 K(|q|, s)/n, K = how many values of the type "
     "lie in [(|q| − ½)d, (|q| + ½)d] up to s, d = s/127, bounds widened by 2^−20; q = 0 costs the "
     "exponent in unary counted down from that of d/2 (16 steps, then as it is), sign and "
     "mantissa; "
     "a value that a stored q does not round to costs 48 more; a row costs 16 when these and its "
     "q = 0 bits pass 11 (F16: 8) a weight or s is unusable; BF16 and F16 matrices",
     Kind::kReal, &Statistics::h_residual},
    {"ratio_zstd", "ratio",
     "stored bytes ÷ zstd level 3 of them, from 8 evenly spaced blocks of 512 KiB (all when the "
     "weight has at most 4 MiB; --exact: all, in blocks of 4 MiB)",
     Kind::kReal, &Statistics::ratio_zstd},
    {"ratio_lz4", "ratio", "the same with LZ4's fast mode", Kind::kReal, &Statistics::ratio_lz4},
    {"ratio_planes", "ratio",
     "stored bytes ÷ ideal bytes of the plane model. Floats: the exponent by its order-0 entropy "
     "(F16, F32, F64: exponent with the first 3 mantissa bits), sign and other mantissa bits raw. "
     "Integers and quantized weights: n·h_symbol/8 for the codes, all other bytes raw",
     Kind::kReal, &Statistics::ratio_planes},
    {"ratio_pair", "ratio",
     "(2n + n + 4·rows) ÷ (n·(h_int8 + h_residual)/8 + 4·rows): 16-bit values, int8 codes and "
     "float32 row scales before ÷ both layers after",
     Kind::kReal, &Statistics::ratio_pair},
};

}  // namespace

std::span<const StatColumn> stat_columns() {
  return kColumns;
}

}  // namespace qi
