package nvidia

import "alexnet/model/gpu/device"

// The libraries' names in messages.
const (
	labelDNN  = "cuDNN"
	labelBLAS = "cuBLAS"
	labelNCCL = "NCCL"
)

// The values of cuDNN's enumerations, release 9 (cudnn_graph.h, cudnn_ops.h, cudnn_cnn.h).
const (
	dnnFloat    = 0 // cudnnDataType_t: CUDNN_DATA_FLOAT
	dnnBFloat16 = 9 // CUDNN_DATA_BFLOAT16

	dnnNHWC = 1 // cudnnTensorFormat_t: CUDNN_TENSOR_NHWC

	dnnCrossCorrelation = 1 // cudnnConvolutionMode_t: CUDNN_CROSS_CORRELATION

	dnnDefaultMath  = 0 // cudnnMathType_t: CUDNN_DEFAULT_MATH, TF32 for float32
	dnnTensorOpMath = 1 // CUDNN_TENSOR_OP_MATH
	dnnConversion   = 2 // CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION, float16 for float32
	dnnFMAMath      = 3 // CUDNN_FMA_MATH, float32 as it is

	dnnDeterministic = 1 // cudnnDeterminism_t: CUDNN_DETERMINISTIC

	// cudnnStatus_t: its thousands say the kind.
	dnnBadParam               = 2 // CUDNN_STATUS_BAD_PARAM...
	dnnNotSupported           = 3 // CUDNN_STATUS_NOT_SUPPORTED...
	dnnInternalError          = 4
	dnnExecutionFailed        = 5
	dnnCompilationFailed      = 4001 // CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED
	dnnHostAllocationFailed   = 4003 // CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED
	dnnDeviceAllocationFailed = 4004 // CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
)

// The values of cuBLAS's enumerations, the same in releases 11 to 13 (cublas_api.h,
// library_types.h).
const (
	blasNone      = 0 // cublasOperation_t: CUBLAS_OP_N
	blasTranspose = 1 // CUBLAS_OP_T

	blasFloat    = 0  // cudaDataType: CUDA_R_32F
	blasBFloat16 = 14 // CUDA_R_16BF

	blasCompute32F     = 68 // cublasComputeType_t: CUBLAS_COMPUTE_32F
	blasComputeTF32    = 77 // CUBLAS_COMPUTE_32F_FAST_TF32
	blasDefaultGemm    = -1 // cublasGemmAlgo_t: CUBLAS_GEMM_DEFAULT
	blasDefaultMath    = 0  // cublasMath_t: CUBLAS_DEFAULT_MATH
	blasWideReductions = 16 // CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION

	blasAllocFailed     = 3 // cublasStatus_t
	blasMappingError    = 11
	blasExecutionFailed = 13
	blasInternalError   = 14
	blasNotSupported    = 15
)

// The values of NCCL's enumerations (nccl.h of release 2).
const (
	ncclUnhandledCUDA = 1 // ncclResult_t: ncclUnhandledCudaError
	ncclInProgress    = 7
	ncclFloat32       = 7 // ncclDataType_t
	ncclSum           = 0 // ncclRedOp_t

	// ncclLeast is the least release 2.x whose calls streams can capture.
	ncclLeast = 9
)

// dnnMath returns the kind of multiplications that an arithmetic asks cuDNN for. The
// default one may use TF32 for float32 and is what TF32 wants; and it may use tensor cores
// for bfloat16, of which others (oneDNN's backend for cuDNN) report NaNs when they are asked
// for by name with an algorithm that was not ranked so.
func dnnMath(a device.Arithmetic) int32 {
	if a == device.Float32 {
		return dnnFMAMath
	}
	return dnnDefaultMath
}

// dnnType returns the type of values.
func dnnType(a device.Arithmetic) int32 {
	if a == device.BFloat16 {
		return dnnBFloat16
	}
	return dnnFloat
}

// blasType is dnnType for cuBLAS.
func blasType(a device.Arithmetic) int32 {
	if a == device.BFloat16 {
		return blasBFloat16
	}
	return blasFloat
}

// blasCompute returns how cuBLAS is to compute. Without its FAST modes it takes values as
// they are.
func blasCompute(a device.Arithmetic) int32 {
	if a == device.TensorFloat32 {
		return blasComputeTF32
	}
	return blasCompute32F
}

// direction is one of the three computations of a convolution: what its functions are
// called and what its algorithms. All of them take the descriptors of two operands and of
// a result in the same places.
type direction struct {
	name       string
	heuristic  string // ranks algorithms without running them
	measure    string // ranks them by running them
	workspace  string
	execute    string
	algorithms []string // by number
	// When nothing that was ranked will do, these are tried: those that the manual calls
	// deterministic and that take most shapes, and, where that is allowed, others.
	fallbacks []int32
	loose     []int32
}

// The directions.
const (
	forward = iota
	backwardWeights
	backwardData
)

var directionTable = [3]direction{
	forward: {
		name:      "forward",
		heuristic: "cudnnGetConvolutionForwardAlgorithm_v7",
		measure:   "cudnnFindConvolutionForwardAlgorithm",
		workspace: "cudnnGetConvolutionForwardWorkspaceSize",
		execute:   "cudnnConvolutionForward",
		algorithms: []string{"IMPLICIT_GEMM", "IMPLICIT_PRECOMP_GEMM", "GEMM", "DIRECT", "FFT", "FFT_TILING",
			"WINOGRAD", "WINOGRAD_NONFUSED"},
		fallbacks: []int32{1, 0},
	},
	backwardWeights: {
		name:       "weights",
		heuristic:  "cudnnGetConvolutionBackwardFilterAlgorithm_v7",
		measure:    "cudnnFindConvolutionBackwardFilterAlgorithm",
		workspace:  "cudnnGetConvolutionBackwardFilterWorkspaceSize",
		execute:    "cudnnConvolutionBackwardFilter",
		algorithms: []string{"ALGO_0", "ALGO_1", "FFT", "ALGO_3", "WINOGRAD", "WINOGRAD_NONFUSED", "FFT_TILING"},
		fallbacks:  []int32{1},
		loose:      []int32{0, 3},
	},
	backwardData: {
		name:       "data",
		heuristic:  "cudnnGetConvolutionBackwardDataAlgorithm_v7",
		measure:    "cudnnFindConvolutionBackwardDataAlgorithm",
		workspace:  "cudnnGetConvolutionBackwardDataWorkspaceSize",
		execute:    "cudnnConvolutionBackwardData",
		algorithms: []string{"ALGO_0", "ALGO_1", "FFT", "FFT_TILING", "WINOGRAD", "WINOGRAD_NONFUSED"},
		fallbacks:  []int32{1},
		loose:      []int32{0},
	},
}
