// Every family that the table of methods lists, each from a file of its own. Pure functions, any
// thread.
#pragma once

#include "engine/methods/method.h"

namespace qi {

MethodFamily zfp_family();
MethodFamily ggml_family();
MethodFamily rtn_family();
MethodFamily int8_family();
MethodFamily fp8_family();
MethodFamily mxfp4_family();
MethodFamily nvfp4_family();
MethodFamily nf4_family();
MethodFamily lossless_family();
MethodFamily gptq_family();
MethodFamily awq_family();
MethodFamily smoothquant_family();
MethodFamily spqr_family();

}  // namespace qi
