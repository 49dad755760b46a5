// Sixteen equal steps over a group of weights.
#pragma once

namespace fastchat {

struct Grid {
  float lowest = 0, scale = 0;
};

// Without a call, so that loops become vectors. Below 2^22.
__attribute__((always_inline)) inline float nearest(float value) { return (value + 12582912.f) - 12582912.f; }

}  // namespace fastchat
