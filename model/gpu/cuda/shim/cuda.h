// CUDA's cuda.h, with what package cu needs of releases before 13: five functions as
// they were, since 13 gave their names to newer ones with other parameters. The driver
// still has the old ones.
#include_next <cuda.h>

#ifndef ALEXNET_CUDA_SHIM_H
#define ALEXNET_CUDA_SHIM_H
#if CUDA_VERSION >= 13000

#ifdef __cplusplus
extern "C" {
#endif

#undef cuCtxCreate
#define cuCtxCreate cuCtxCreate_v2
CUresult CUDAAPI cuCtxCreate(CUcontext *, unsigned int flags, CUdevice);

// These have no number in the driver's library, so the newer ones' is taken off.
#undef cuMemAdvise
CUresult CUDAAPI cuMemAdvise(CUdeviceptr, size_t, CUmem_advise, CUdevice);
#undef cuMemPrefetchAsync
CUresult CUDAAPI cuMemPrefetchAsync(CUdeviceptr, size_t, CUdevice, CUstream);
#undef cuGraphAddDependencies
CUresult CUDAAPI cuGraphAddDependencies(CUgraph, const CUgraphNode *from, const CUgraphNode *to, size_t);
#undef cuGraphGetEdges
CUresult CUDAAPI cuGraphGetEdges(CUgraph, CUgraphNode *from, CUgraphNode *to, size_t *);

#ifdef __cplusplus
}
#endif

#endif
#endif
