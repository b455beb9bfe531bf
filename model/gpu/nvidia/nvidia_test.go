package nvidia

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unsafe"

	"alexnet/model/gpu/device"
)

// numbers are what the package passes to the libraries, by their names in NVIDIA's headers.
var numbers = []struct {
	name      string
	got, want int
}{
	// cudnn_graph.h (cuDNN 9): cudnnDataType_t, cudnnTensorFormat_t, cudnnMathType_t.
	{"CUDNN_DATA_FLOAT", dnnFloat, 0},
	{"CUDNN_DATA_BFLOAT16", dnnBFloat16, 9},
	{"CUDNN_TENSOR_NHWC", dnnNHWC, 1},
	{"CUDNN_DEFAULT_MATH", dnnDefaultMath, 0},
	{"CUDNN_TENSOR_OP_MATH", dnnTensorOpMath, 1},
	{"CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION", dnnConversion, 2},
	{"CUDNN_FMA_MATH", dnnFMAMath, 3},
	{"CUDNN_CROSS_CORRELATION", dnnCrossCorrelation, 1},
	// cudnn_ops.h: cudnnDeterminism_t.
	{"CUDNN_DETERMINISTIC", dnnDeterministic, 1},
	// cudnn_graph.h: cudnnStatus_t.
	{"CUDNN_STATUS_NOT_SUPPORTED", 1000 * dnnNotSupported, 3000},
	{"CUDNN_STATUS_INTERNAL_ERROR", 1000 * dnnInternalError, 4000},
	{"CUDNN_STATUS_EXECUTION_FAILED", 1000 * dnnExecutionFailed, 5000},
	{"CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED", dnnCompilationFailed, 4001},
	{"CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED", dnnHostAllocationFailed, 4003},
	{"CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", dnnDeviceAllocationFailed, 4004},
	// library_types.h (CUDA 11 to 13): cudaDataType.
	{"CUDA_R_32F", blasFloat, 0},
	{"CUDA_R_16BF", blasBFloat16, 14},
	// cublas_api.h (cuBLAS 11 to 13).
	{"CUBLAS_OP_N", blasNone, 0},
	{"CUBLAS_OP_T", blasTranspose, 1},
	{"CUBLAS_COMPUTE_32F", blasCompute32F, 68},
	{"CUBLAS_COMPUTE_32F_FAST_TF32", blasComputeTF32, 77},
	{"CUBLAS_GEMM_DEFAULT", blasDefaultGemm, -1},
	{"CUBLAS_DEFAULT_MATH", blasDefaultMath, 0},
	{"CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION", blasWideReductions, 16},
	{"CUBLAS_STATUS_ALLOC_FAILED", blasAllocFailed, 3},
	{"CUBLAS_STATUS_MAPPING_ERROR", blasMappingError, 11},
	{"CUBLAS_STATUS_EXECUTION_FAILED", blasExecutionFailed, 13},
	{"CUBLAS_STATUS_INTERNAL_ERROR", blasInternalError, 14},
	{"CUBLAS_STATUS_NOT_SUPPORTED", blasNotSupported, 15},
	// cudnn_ops.h: the algorithms, in the order of their numbers, with COUNT.
	{"CUDNN_CONVOLUTION_FWD_ALGO_COUNT", len(directionTable[forward].algorithms), 8},
	{"CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT", len(directionTable[backwardWeights].algorithms), 7},
	{"CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT", len(directionTable[backwardData].algorithms), 6},
	{"CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM", int(directionTable[forward].fallbacks[0]), 1},
	{"CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1", int(directionTable[backwardWeights].fallbacks[0]), 1},
	{"CUDNN_CONVOLUTION_BWD_DATA_ALGO_1", int(directionTable[backwardData].fallbacks[0]), 1},
}

// TestNumbers compares them with the values there.
func TestNumbers(t *testing.T) {
	for _, v := range numbers {
		if v.got != v.want {
			t.Errorf("%s is %d instead of %d", v.name, v.got, v.want)
		}
	}
	for name, v := range map[string][2]string{
		"CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED":     {directionTable[forward].label(7), "WINOGRAD_NONFUSED"},
		"CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3":              {directionTable[backwardWeights].label(3), "ALGO_3"},
		"CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING":       {directionTable[backwardData].label(3), "FFT_TILING"},
		"an algorithm of a release that is not here yet":   {directionTable[backwardData].label(17), "algorithm 17"},
		"a number that is none: the libraries' count goes": {directionTable[forward].label(-1), "algorithm -1"},
	} {
		if v[0] != v[1] {
			t.Errorf("%s is called %s", name, v[0])
		}
	}
}

// TestRankLayout: the fields lie as in cudnnConvolutionFwdAlgoPerf_t (cudnn_cnn.h): two
// enumerations, a float, a size_t at the next multiple of 8, two enumerations, int[3].
func TestRankLayout(t *testing.T) {
	var r algorithmRank
	if got := [...]uintptr{unsafe.Offsetof(r.algorithm), unsafe.Offsetof(r.status), unsafe.Offsetof(r.memory),
		unsafe.Offsetof(r.determinism), unsafe.Offsetof(r.math), unsafe.Sizeof(r)}; got != [...]uintptr{0, 4, 16, 24, 28, 48} && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Errorf("offsets and size %v", got)
	}
}

// TestMath: no arithmetic computes narrower than its name says.
func TestMath(t *testing.T) {
	for a, want := range map[device.Arithmetic][4]int32{
		device.Float32:       {dnnFMAMath, dnnFloat, blasFloat, blasCompute32F},
		device.TensorFloat32: {dnnDefaultMath, dnnFloat, blasFloat, blasComputeTF32},
		device.BFloat16:      {dnnDefaultMath, dnnBFloat16, blasBFloat16, blasCompute32F},
	} {
		if got := [4]int32{dnnMath(a), dnnType(a), blasType(a), blasCompute(a)}; got != want {
			t.Errorf("arithmetic %d: %v instead of %v", a, got, want)
		}
		// Whatever the heuristics offer: float16 for float32 is never taken, nor TF32 where
		// float32 was asked for.
		for offered := int32(-1); offered < 6; offered++ {
			list, _ := shortlist([]algorithmRank{{math: offered}}, &device.Convolution{Arithmetic: a}, &directionTable[forward])
			if m := list[0].math; m == dnnConversion || m < 0 || m > dnnFMAMath || a == device.Float32 && m != dnnFMAMath {
				t.Errorf("arithmetic %d is computed with math type %d when %d is offered", a, m, offered)
			}
		}
	}
}

func TestErrorText(t *testing.T) {
	refused := &Error{Library: "cuBLAS", Call: "cublasGemmEx", Status: 15, Name: "CUBLAS_STATUS_NOT_SUPPORTED"}
	for status, want := range map[int][2]bool{2000: {false, true}, 2002: {false, true}, 3000: {true, true}, 3007: {true, true}, 4001: {true, true}, 1001: {}, 4000: {}, 5000: {}} {
		e := &Error{Library: "cuDNN", Status: status}
		if got := [2]bool{e.unsupported(), e.refused()}; got != want {
			t.Errorf("status %d is unsupported, refused: %v", status, got)
		}
	}
	for want, err := range map[string]error{
		"cuBLAS: cublasGemmEx: CUBLAS_STATUS_NOT_SUPPORTED (15)":                                    refused,
		"cuDNN: f: S (4001): no compiler":                                                           &Error{Library: "cuDNN", Call: "f", Status: 4001, Name: "S", Text: "no compiler"},
		"cuDNN has no way to compute data of x: a; b":                                               &UnsupportedError{"data of x", errors.Join(errors.New("a"), errors.New("b"))},
		"cuDNN is not used: V=none":                                                                 &MissingError{Library: "cuDNN", Variable: "V"},
		"cuDNN is not here: a; looked in the system's folders (LD_LIBRARY_PATH, ldconfig) and in b": &MissingError{Library: "cuDNN", Looked: []string{"b"}, Err: errors.New("a"), Hint: "pay"},
	} {
		if !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
	if !refused.unsupported() || refused.memory() || refused.execution() {
		t.Error("the status is taken for another one")
	}
}

// TestCount: sizes of exactly as many values as cuDNN counts are taken, of one more not.
func TestCount(t *testing.T) {
	c := device.Convolution{N: math.MaxInt32, H: 1, W: 1, C: 1, Out: 1, Kernel: 1, Stride: 1, Groups: 1}
	if err := checkConvolution(&c); err != nil {
		t.Error(err)
	}
	c.N, c.H = 1<<30, 2
	if err := checkConvolution(&c); err == nil || !strings.Contains(err.Error(), "smaller batch") {
		t.Error(err)
	}
}
