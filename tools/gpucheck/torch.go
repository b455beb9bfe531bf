package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

//go:embed alexnet_torch.py
var embeddedTorch string

// torchLine is a line of alexnet_torch.py.
type torchLine struct {
	About     string  `json:"about"`   // releases and device; the first line
	Missing   string  `json:"missing"` // why nothing is measured
	Note      string  `json:"note"`    // a way that failed
	Variant   string  `json:"variant"`
	Precision string  `json:"precision"`
	Batch     int     `json:"batch"`
	Rate      float64 `json:"images_per_second"`
	Slowest   float64 `json:"slowest"`
	Fastest   float64 `json:"fastest"`
}

// torch measures PyTorch's AlexNet on the same device, where there is one.
func (f *flags) torch(ctx context.Context, _ *site, r *recorder) error {
	kind := "cuda"
	if f.Device != "gpu" {
		kind = "cpu"
	}
	seconds := 140.0
	if at, ok := ctx.Deadline(); ok {
		seconds = max(1, time.Until(at).Seconds()-5)
	}
	return runTorch(ctx, r, f.Python, "--device", kind, "--ordinal", fmt.Sprint(f.Ordinal), "--seconds", fmt.Sprintf("%.0f", seconds))
}

// runTorch runs the script and notes its lines.
func runTorch(ctx context.Context, r *recorder, python string, args ...string) (err error) {
	if _, err := exec.LookPath(python); err != nil {
		r.skip("PyTorch", err.Error())
		return nil
	}
	// Compilers want to see the source of what they compile.
	script := filepath.Join(os.TempDir(), fmt.Sprintf("gpucheck-torch-%d.py", os.Getpid()))
	if err := os.WriteFile(script, []byte(embeddedTorch), 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(script)) }()
	cmd := exec.CommandContext(ctx, python, append([]string{"-u", script}, args...)...)
	cmd.WaitDelay = time.Second
	out := lines[torchLine]{each: func(l torchLine) { l.note(r) }}
	var words tail
	cmd.Stdout, cmd.Stderr = &out, &words
	// Its compilers are processes that may hold its output for a moment longer.
	switch err := cmd.Run(); {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return out.err
	case ctx.Err() != nil:
		r.skip("the other ways of PyTorch", "the time was over; what was measured counts")
		return nil
	default:
		return fmt.Errorf("%s: %w: %s", python, err, words.String())
	}
}

// note notes a line of the script.
func (l *torchLine) note(r *recorder) {
	name := fmt.Sprintf("training, %s, batch %d", l.Precision, l.Batch)
	switch {
	case l.About != "":
		r.fact("PyTorch", "PyTorch", l.About)
	case l.Missing != "":
		r.skip("PyTorch", l.Missing)
	case l.Note != "":
		r.skip(name+", "+l.Variant, l.Note)
	default:
		r.add(result{What: name, Status: measured, Value: l.Rate, Unit: "images/s", Program: them, Precision: l.Precision, Batch: l.Batch,
			Variant: l.Variant, StepMS: 1000 * float64(l.Batch) / l.Rate, Slowest: l.Slowest, Fastest: l.Fastest})
	}
}
