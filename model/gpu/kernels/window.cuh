// What the kernels of response normalisation of any size have in common.
#pragma once
#include "device.cuh"

// Window is a normalisation of any size and exponent.
struct Window {
  int half; // channels, or rows and columns, on either side
  float alpha, beta, k;

  // base returns s from a sum of squares.
  __attribute__((device)) float base(float sum) const { return fma(alpha, sum, k); }
  // power returns s^-beta.
  __attribute__((device)) float power(float s) const { return exp2(-beta * log2(s)); }
};

extern SHARED float line[]; // of a block, as many as its launch says
