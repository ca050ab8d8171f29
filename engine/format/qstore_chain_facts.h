// What the precisions of one weight say about each other in a container, and what each way to store
// them costs: the analyses of the model chain. Reads and decodes all of the weight's numbers.
// Refuses nothing but damage (the reader's errors). Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "engine/format/qstore_container.h"
#include "engine/tensor/model.h"

namespace qi {

/// Bits a weight. The numbers of a level are its codes, or its 16-bit floats; its grids are the
/// tensors beside codes: scales, zero points, group indexes.
struct ChainFacts {
  /// Conditional entropies of the numbers under the chain model (chain_cells.h): the order-0
  /// entropy of the symbols of each class of cells and log2 of the numbers that share a cell or
  /// slice, summed over blocks; 48 for a number outside (ChainEncoder::ideal_bits()).
  std::optional<double> given_next;    // given the codes this level stands on
  std::optional<double> given_lowest;  // given the lowest level's, where that is another
  /// What coders spend on the numbers, in blocks as the container has them: zstd level 3; Huffman
  /// of exponents or codes; planes with one table; and the container itself.
  std::optional<double> by_zstd, by_huffman, by_planes, by_chain;
  std::optional<double> grids;  // what the container spends beside the numbers
};

/// Of a weight of `model`, opened from `container`; empty for one that is in no chain.
ChainFacts chain_facts(const QstoreContainer& container, const Model& model, const Weight& weight,
                       const std::atomic<bool>* cancel = nullptr);

}  // namespace qi
