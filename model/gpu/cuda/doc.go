// Package cuda is model/gpu/device for NVIDIA's GPUs: CUDA's driver interface, through
// gorgonia.org/cu, and through a few lines of cgo for what cu has not (page-locked
// memory, capture of streams, launches of graphs). All of it is under the build tag gpu
// and needs cgo and a cuda.h of CUDA 11.8 or later; tools/cuda-headers finds or gets one:
//
//	eval "$(go run ./tools/cuda-headers)"
//	go build -tags gpu ./...
//
// # One program for machines with and without a GPU
//
// Package cu is made for programs that have a GPU: it links libcuda.so.1, the driver's
// own library, so that without a driver the system's loader refuses to start the
// program; and when it is initialised it calls cuInit and ends the process if that
// fails. Neither may happen to a program that is to run on the CPU where there is no
// GPU. So this package defines the functions of the driver that cu calls itself, each of
// them a jump through a pointer (driver.c), and Open loads libcuda.so.1 and sets the
// pointers. cu then needs no library when the program is linked, none when it starts,
// and its call of cuInit at the start succeeds and does nothing. A program with this
// package that does not call Open does not touch the driver at all; Open on a machine
// without GPU returns a *NoGPUError.
//
// The functions are hidden from other libraries in the process, which find the real
// ones. What has to be known when cu is updated: a function that it newly calls is
// missing from functions.h, and then the program does not link ("undefined reference to
// cuX"), or, where the linker finds a libcuda.so, needs that library again, which a test
// looks for.
//
// ALEXNET_CUDA names another file to load as the driver's library; "none" stands for
// none.
package cuda
