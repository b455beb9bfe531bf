// The update rule of the paper's section 5, over all parameters in one launch.
#include "device.cuh"

// Segment has the multipliers of a parameter's learning rate and weight decay.
struct Segment {
  float rate, decay;
};

// update is model.Hyper.Apply, with its roundings, on chunks of 1024 values, a block of 256
// threads each: reads w, v and g, writes w and v, 20 bytes a value, and 2 more where half
// is not 0. A parameter's flags get 1 if a gradient is not finite, 2 if a weight or a
// velocity is not afterwards: what was not before is not then.
KERNEL update(float *w, float *v, const float *g, bfloat16 *half, const uint32 *owner,
              const Segment *segments, uint32 *flags, const Control *control) {
  long long at = (long long)blockX * 1024 + threadX * 4;
  float x[4], y[4], z[4];
  load(x, w + at);
  load(y, v + at);
  load(z, g + at);
  uint32 parameter = owner[blockX];
  Segment s = segments[parameter];
  float momentum = control->momentum;
  float rate = control->rate * s.rate;
  float decay = control->decay * s.decay * rate;
  uint32 wrong = 0;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (!finite(z[i])) wrong |= 1;
    y[i] = momentum * y[i] - decay * x[i] - rate * z[i];
    x[i] = x[i] + y[i];
    if (!finite(x[i]) || !finite(y[i])) wrong |= 2;
  }
  store(w + at, x);
  store(v + at, y);
  if (half) store(half + at, x);
  if (wrong) __atomic_fetch_or(flags + parameter, wrong, __ATOMIC_RELAXED);
}
