package cpu

import (
	"errors"
	"fmt"
	"runtime"

	xcpu "golang.org/x/sys/cpu"

	"alexnet/model/cpu/dnnl"
)

// Precision says what an engine computes with.
type Precision string

// The precisions. With BF16, bfloat16 (the upper half of a float32) is what feature
// maps, their gradients and a copy of the weights are stored as and multiplied;
// products are summed in float32. Weights, their gradients, velocities, the update,
// softmax and loss are float32 in both.
const (
	FP32 Precision = "fp32" // float32; also what "" means
	BF16 Precision = "bf16" // needs oneDNN, and a processor that multiplies bfloat16
)

// Precision returns what the engine computes with.
func (e *Engine) Precision() Precision {
	if e.half {
		return BF16
	}
	return FP32
}

// PrecisionError says that this machine cannot compute in a precision, and why.
type PrecisionError struct {
	Precision Precision
	Missing   string // what there is not
	Hint      string // what to do
	Err       error  // the cause, nil if there is no other
}

// Error implements error.
func (e *PrecisionError) Error() string {
	return fmt.Sprintf("precision %s: %s; %s", e.Precision, e.Missing, e.Hint)
}

// Unwrap returns the cause.
func (e *PrecisionError) Unwrap() error { return e.Err }

// useFP32 is the way that is always open.
const useFP32 = "use precision " + string(FP32)

// checkProcessor returns a *PrecisionError unless the processor, which has bfloat16
// or not, is one for BF16. Without the instructions oneDNN emulates them, slower than
// float32 is.
func checkProcessor(architecture string, hasBF16 bool) error {
	if architecture == "amd64" && hasBF16 {
		return nil
	}
	missing := "this processor has neither AVX512_BF16 nor AMX-BF16"
	if architecture != "amd64" {
		missing = "it is for amd64 processors with AVX512_BF16 or AMX-BF16, and this is " + architecture
	}
	return &PrecisionError{Precision: BF16, Missing: missing, Hint: useFP32}
}

// processorHasBF16 asks the processor.
func processorHasBF16() bool { return xcpu.X86.HasAVX512BF16 || xcpu.X86.HasAMXBF16 }

// checkPrecision returns an error unless this machine has what the options ask for.
// It does not look for the library.
func (o *Options) checkPrecision() error {
	switch o.Precision {
	case "", FP32:
		return nil
	case BF16:
	default:
		return fmt.Errorf("precision %q: there are %q and %q", o.Precision, FP32, BF16)
	}
	has := processorHasBF16
	if o.hasBF16 != nil {
		has = o.hasBF16
	}
	if err := checkProcessor(runtime.GOARCH, has()); err != nil {
		return err
	}
	if o.Backend == Plain {
		return &PrecisionError{Precision: BF16, Missing: "plain Go has float32 only", Hint: "use the backend " + string(OneDNN) + ", or " + useFP32}
	}
	return nil
}

// withoutLibrary makes the error of an engine that needs oneDNN and has none.
func withoutLibrary(err error) error {
	e := &PrecisionError{Precision: BF16, Missing: err.Error(), Hint: useFP32, Err: err}
	var missing *dnnl.MissingError
	if errors.As(err, &missing) {
		e.Missing, e.Hint = "it needs oneDNN, which is not here", "or "+useFP32
		if missing.Err != nil {
			e.Missing = fmt.Sprintf("%s: %v", e.Missing, missing.Err)
		} else {
			e.Missing += ": " + dnnl.Variable + "=" + dnnl.None
		}
		if missing.Hint != "" {
			e.Hint = missing.Hint + ", " + e.Hint
		} else {
			e.Hint = "unset " + dnnl.Variable + ", " + e.Hint
		}
	}
	return e
}

// checkLibrary returns a *PrecisionError if the library does not compute with
// bfloat16 on this machine, although the processor does.
func checkLibrary(c *dnnl.Context) error {
	_, err := c.ConvForward(dnnl.Conv{Batch: 1, In: 16, InH: 3, InW: 3, Out: 16, OutH: 3, OutW: 3,
		Groups: 1, Kernel: 3, Stride: 1, Pad: 1, Type: dnnl.BFloat16}, true)
	if dnnl.Unimplemented(err) {
		return &PrecisionError{Precision: BF16, Missing: c.Name() + " has no bfloat16 for this processor", Err: err,
			Hint: "do not limit it by ONEDNN_MAX_CPU_ISA, install a newer oneDNN, or " + useFP32}
	}
	return err
}
