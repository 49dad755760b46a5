// Linear layers and attention of many rows by AMX; build.py has the flags.
#include "kernels/amx/attention.h"
#include "kernels/amx/linear.h"

namespace fastchat {
extern const Matrix kAmx;
const Matrix kAmx = {linear_by_tiles, split, attend_by_tiles};
}  // namespace fastchat
