#include "engine/quant/scheme.h"

#include "engine/quant/grouping.h"
#include "engine/quant/plain.h"

namespace qi {

void build_weights(Model& model) {
  Grouping grouping(model);
  grouping.finish();
}

std::unique_ptr<WeightReader> open_scheme_reader(const Model& model, const Weight& weight) {
  if (!weight.undecodable.empty()) {
    const Tensor& codes = model.tensor(weight.parts.front());
    throw Error(ErrorCode::kBadDtype, weight.name + ": " + weight.undecodable, {},
                model.file(codes).path(), codes.offset);
  }
  return open_plain_reader(model, weight);
}

}  // namespace qi
