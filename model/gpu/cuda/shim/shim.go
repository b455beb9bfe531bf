// Package shim holds two files for the compiler and linker of C. cuda.h goes before
// CUDA's own: it lets package cu, which was written for CUDA 11, build with CUDA 13.
// libcuda.a is an archive of nothing, for cu's -lcuda (see package cuda).
package shim

import _ "embed" // for Header

// Header is cuda.h, to be put in a folder that comes before CUDA's own.
//
//go:embed cuda.h
var Header []byte //nolint:gochecknoglobals // read only
