// Every family that the table of methods lists, each from a file of its own. Pure functions, any
// thread.
#pragma once

#include "engine/methods/method.h"

namespace qi {

MethodFamily lossless_family();
MethodFamily rtn_family();
MethodFamily zfp_family();

}  // namespace qi
