// Any bytes as tokenizer.json: it is refused by qi::Error, or makes a tokenizer whose tokens all
// have numbers below its size and that cuts odd texts without harm.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/io/error.h"
#include "eval/tokenizer/pipeline.h"

namespace {

constexpr std::string_view kTexts[] = {
    "", " a  b\n\nab abc 12 <s> caf\u00e9 e\u0301 \u3000\U0001F600\u200d x</s>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = qi::make_pipeline(qi::read_tokenizer_json(json, "fuzz"));
    for (const std::string_view text : kTexts) {
      for (const bool special : {false, true}) {
        const auto ids = tokenizer->encode(text, special);
        for (const std::int32_t id : ids) {
          if (id < 0 || id >= tokenizer->size()) std::abort();
        }
        tokenizer->decode(ids);
      }
    }
  } catch (const qi::Error& error) {
    if (error.offset && *error.offset > size) std::abort();
  }
  return 0;
}
