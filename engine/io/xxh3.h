// XXH3 with the widest instructions that the CPU at hand has: libxxhash picks them by itself only
// where its dispatching functions are called. The same values everywhere.
#pragma once

#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // lets the names of XXH3's functions mean those
#endif
