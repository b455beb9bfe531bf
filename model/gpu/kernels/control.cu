// What changes from step to step, as a kernel's parameters. A copy from the host would wait
// until those of whole batches are done that other streams have on their way, since copies
// to the device take one way; parameters travel with the launch.
#include "device.cuh"

// set_control: writes control. One thread.
KERNEL set_control(Control *control, uint64 step, uint64 first, const void *source,
                   const Placement *views, const int *labels, float lossScale, float rate, float momentum, float decay) {
  control->step = step;
  control->first = first;
  control->source = source;
  control->views = views;
  control->labels = labels;
  control->lossScale = lossScale;
  control->rate = rate;
  control->momentum = momentum;
  control->decay = decay;
}
