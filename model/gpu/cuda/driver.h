// The driver's library, loaded when it is first needed.
#ifndef ALEXNET_DRIVER_H
#define ALEXNET_DRIVER_H

#include <cuda.h>

// What became of loading it.
typedef struct {
  int loaded;          // the library was there
  int init;            // what cuInit returned
  char missing[64];    // the first needed function that it does not have
  char problem[512];   // what the loader said
} alexnet_driver;

// Loads the library, looks its functions up and initialises it. To be called once.
void alexnet_load_driver(const char *file, alexnet_driver *d);

#endif
