// The functions of the driver that are in this program, as cuda.h's macros name them.
#ifndef ALEXNET_FUNCTIONS_H
#define ALEXNET_FUNCTIONS_H

// Those that this package calls, itself or through cu.
#define NEEDED(X) \
  X(cuCtxSetCurrent) X(cuDeviceGet) X(cuDeviceGetAttribute) X(cuDeviceGetCount) \
  X(cuDeviceGetName) X(cuDevicePrimaryCtxRelease) X(cuDevicePrimaryCtxRetain) X(cuDeviceTotalMem) \
  X(cuDriverGetVersion) X(cuEventCreate) X(cuEventDestroy) X(cuEventElapsedTime) \
  X(cuEventQuery) X(cuEventRecord) X(cuEventSynchronize) X(cuFuncSetAttribute) \
  X(cuGetErrorName) X(cuGetErrorString) X(cuGraphDestroy) X(cuGraphExecDestroy) \
  X(cuGraphInstantiateWithFlags) X(cuGraphLaunch) X(cuLaunchKernel) X(cuMemAlloc) \
  X(cuMemFree) X(cuMemFreeHost) X(cuMemGetInfo) X(cuMemHostAlloc) \
  X(cuMemcpyDtoDAsync) X(cuMemcpyDtoHAsync) X(cuMemcpyHtoDAsync) X(cuMemsetD8Async) \
  X(cuModuleGetFunction) X(cuModuleLoadDataEx) X(cuModuleUnload) X(cuStreamBeginCapture) \
  X(cuStreamCreate) X(cuStreamDestroy) X(cuStreamEndCapture) X(cuStreamSynchronize) \
  X(cuStreamWaitEvent)

// Those that cu refers to and this package does not call.
#define CU_ONLY(X) \
  X(cuArray3DCreate) X(cuArray3DGetDescriptor) X(cuArrayCreate) X(cuArrayDestroy) \
  X(cuArrayGetDescriptor) X(cuCtxCreate) X(cuCtxDestroy) X(cuCtxDisablePeerAccess) \
  X(cuCtxEnablePeerAccess) X(cuCtxGetApiVersion) X(cuCtxGetCacheConfig) X(cuCtxGetCurrent) \
  X(cuCtxGetDevice) X(cuCtxGetFlags) X(cuCtxGetLimit) X(cuCtxGetSharedMemConfig) \
  X(cuCtxGetStreamPriorityRange) X(cuCtxPopCurrent) X(cuCtxPushCurrent) X(cuCtxResetPersistingL2Cache) \
  X(cuCtxSetCacheConfig) X(cuCtxSetLimit) X(cuCtxSetSharedMemConfig) X(cuCtxSynchronize) \
  X(cuDeviceCanAccessPeer) X(cuDeviceGetP2PAttribute) X(cuDeviceGetUuid) X(cuDevicePrimaryCtxGetState) \
  X(cuDevicePrimaryCtxReset) X(cuDevicePrimaryCtxSetFlags) X(cuFuncGetAttribute) X(cuFuncSetCacheConfig) \
  X(cuFuncSetSharedMemConfig) X(cuGraphAddChildGraphNode) X(cuGraphAddDependencies) X(cuGraphAddEmptyNode) \
  X(cuGraphAddHostNode) X(cuGraphAddKernelNode) X(cuGraphAddMemcpyNode) X(cuGraphAddMemsetNode) \
  X(cuGraphClone) X(cuGraphCreate) X(cuGraphDestroyNode) X(cuGraphGetEdges) \
  X(cuLinkAddData) X(cuLinkAddFile) X(cuLinkComplete) X(cuLinkCreate) \
  X(cuLinkDestroy) X(cuMemAdvise) X(cuMemAllocManaged) X(cuMemAllocPitch) \
  X(cuMemGetAddressRange) X(cuMemPrefetchAsync) X(cuMemcpy) X(cuMemcpy2D) \
  X(cuMemcpy2DAsync) X(cuMemcpy2DUnaligned) X(cuMemcpy3D) X(cuMemcpy3DAsync) \
  X(cuMemcpy3DPeer) X(cuMemcpy3DPeerAsync) X(cuMemcpyAsync) X(cuMemcpyAtoA) \
  X(cuMemcpyAtoD) X(cuMemcpyAtoH) X(cuMemcpyAtoHAsync) X(cuMemcpyDtoA) \
  X(cuMemcpyDtoD) X(cuMemcpyDtoH) X(cuMemcpyHtoA) X(cuMemcpyHtoAAsync) \
  X(cuMemcpyHtoD) X(cuMemcpyPeer) X(cuMemcpyPeerAsync) X(cuMemsetD16) \
  X(cuMemsetD16Async) X(cuMemsetD2D16) X(cuMemsetD2D16Async) X(cuMemsetD2D32) \
  X(cuMemsetD2D32Async) X(cuMemsetD2D8) X(cuMemsetD2D8Async) X(cuMemsetD32) \
  X(cuMemsetD32Async) X(cuMemsetD8) X(cuModuleGetGlobal) X(cuModuleGetSurfRef) \
  X(cuModuleGetTexRef) X(cuModuleLoad) X(cuModuleLoadData) X(cuModuleLoadFatBinary) \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor) X(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags) X(cuOccupancyMaxPotentialBlockSize) X(cuPointerGetAttribute) \
  X(cuPointerSetAttribute) X(cuStreamAttachMemAsync) X(cuStreamCreateWithPriority) X(cuStreamGetFlags) \
  X(cuStreamGetPriority) X(cuStreamQuery) X(cuStreamWaitValue32) X(cuStreamWriteValue32) \
  X(cuSurfRefGetArray) X(cuSurfRefSetArray) X(cuTexRefGetAddress) X(cuTexRefGetAddressMode) \
  X(cuTexRefGetArray) X(cuTexRefGetBorderColor) X(cuTexRefGetFilterMode) X(cuTexRefGetFlags) \
  X(cuTexRefGetFormat) X(cuTexRefGetMaxAnisotropy) X(cuTexRefSetAddress) X(cuTexRefSetAddress2D) \
  X(cuTexRefSetAddressMode) X(cuTexRefSetArray) X(cuTexRefSetBorderColor) X(cuTexRefSetFilterMode) \
  X(cuTexRefSetFlags) X(cuTexRefSetFormat) X(cuTexRefSetMaxAnisotropy) X(cuTexRefSetMipmapFilterMode) \
  X(cuTexRefSetMipmapLevelBias) X(cuTexRefSetMipmapLevelClamp)

#endif
