// Linear layers of many rows by AMX; build.py has the flags.
#include "kernels/amx/linear.h"

namespace fastchat {
extern const Matrix kAmx;
const Matrix kAmx = {linear_by_tiles, split};
}  // namespace fastchat
