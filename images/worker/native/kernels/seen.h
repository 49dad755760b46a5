// What rows see of their sequence.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

// The tokens first … last that one row sees.
struct Seen {
  long first, last;
};

INLINE Seen seen(const fastchat::Attention& a, int row) {
  const long last = a.position + row + 1;
  return {a.window && last > a.window ? last - a.window : 0, last};
}

}  // namespace
