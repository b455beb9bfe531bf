package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"alexnet/model"
	"alexnet/model/gpu/device"
)

// TestReport: what counts, the ratio to PyTorch's best, and the tables.
func TestReport(t *testing.T) {
	var out strings.Builder
	r := newReport(&flags{}, &out)
	rec := func(part string) *recorder { return &recorder{part: part, each: r.add} }
	rec("machine").fact("device", "device", "NVIDIA H200")
	rec("parity").within("alexnet, fp32: logits", 3e-5, 1e-4, "")
	rec("parity").within("alexnet, fp32: loss", math.NaN(), 1e-4, "")
	rec("parity").within("alexnet, bf16: loss", 0.03, 2e-2, "a|b")
	rec("errors").skip("more", "no time")
	speed := func(program, precision, variant string, batch int, rate float64) {
		part := map[string]string{us: "bench", them: "torch"}[program]
		rec(part).add(result{What: "training", Status: measured, Value: rate, Unit: "images/s", Program: program, Precision: precision, Batch: batch,
			Variant: variant, StepMS: 1000 * float64(batch) / rate})
	}
	speed(us, bf16, "", 1024, 60000)
	speed(us, bf16, "", 128, 36000)
	speed(us, fp32, "", 128, 8000)
	speed(them, bf16, "eager", 1024, 20000)
	speed(them, bf16, "graph", 1024, 40000)
	speed(them, bf16, "graph", 128, 30000)
	speed(them, fp32, "graph", 128, 4000)
	rec("bench").target("training, bf16, batch 1024, of an H200", 59000, 60000, "images/s")
	r.compare()
	err := r.summary()
	if err == nil || !strings.Contains(err.Error(), "2 of 3 checks failed: parity: alexnet, fp32: loss; parity: alexnet, bf16: loss") {
		t.Errorf("summary: %v", err)
	}
	for _, want := range []string{"3 checks, 2 failed, 1 skipped; 1 of 3 targets met",
		"targets missed: bench: training, bf16, batch 1024, of an H200; ratio: ours over PyTorch, bf16, batch 128\n",
		"graph; 25.60 ms a step", "NaN"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	md := r.markdown()
	for _, want := range []string{"; device: NVIDIA H200; ", "| parity | 1 | 2: alexnet, fp32: loss | alexnet, bf16: loss: 0.03 of 0.02 |",
		"| bf16, batch 1024 | 60,000 | 17.07 | - | 40,000 (graph) | 1.50 |", "| fp32, batch 128 | 8,000 | 16.00 | - | 4,000 (graph) | 2.00 |",
		"| bench: training, bf16, batch 1024, of an H200 | 59,000 images/s | target 60,000: missed |"} {
		if !strings.Contains(md, want) {
			t.Errorf("no %q in\n%s", want, md)
		}
	}
}

func TestFigures(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 1234567.4: "1,234,567", -1e6: "-1,000,000", 999.6: "1000", 123.4: "123", 12.34: "12.3", 1.234: "1.23", 0.012345: "0.012", 1e-7: "1e-07"} {
		if got := figure(x); got != want {
			t.Errorf("%g: %s, want %s", x, got, want)
		}
	}
}

// TestTorch reads what a script writes; a real one is not everywhere.
func TestTorch(t *testing.T) {
	run := func(script string) ([]result, error) {
		file := filepath.Join(t.TempDir(), "python")
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
		var all []result
		err := runTorch(t.Context(), &recorder{part: "torch", each: func(r result) { all = append(all, r) }}, file)
		return all, err
	}
	all, err := run(`test -s "$2" || exit 3
echo '{"about": "PyTorch 2.9, on NVIDIA H200"}'
echo '{"images_per_second": 1000.5, "slowest": 990, "fastest": 1010, "variant": "CUDA graph", "precision": "bf16", "batch": 128}'
echo '{"note": "OutOfMemoryError: no", "variant": "eager", "precision": "fp32", "batch": 1024}'`)
	if _, missing := os.Stat("/bin/sh"); missing != nil {
		t.Skip("the script needs a shell")
	}
	if err != nil || len(all) != 3 || all[0].Headline != "PyTorch" || all[2].Status != skipped {
		t.Fatalf("%+v, %v", all, err)
	}
	if r := all[1]; r.Program != them || r.Value != 1000.5 || r.Batch != 128 || r.Variant != "CUDA graph" || math.Abs(r.StepMS-127.94) > 0.01 {
		t.Errorf("%+v", r)
	}
	if all, err := run(`echo '{"missing": "no torch"}'`); err != nil || len(all) != 1 || all[0].Status != skipped {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := run("echo ImportError >&2; exit 1"); err == nil || !strings.Contains(err.Error(), "ImportError") {
		t.Error(err)
	}
	if _, err := run("echo hello"); err == nil || !strings.Contains(err.Error(), "hello") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	file := filepath.Join(t.TempDir(), "slow")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho '{\"about\": \"PyTorch\"}'\nexec sleep 60"), 0o700); err != nil {
		t.Fatal(err)
	}
	var slow []result
	if err := runTorch(ctx, &recorder{each: func(r result) { slow = append(slow, r) }}, file); err != nil || len(slow) != 2 || slow[1].Status != skipped {
		t.Errorf("%+v, %v", slow, err)
	}
	var none []result
	if err := runTorch(t.Context(), &recorder{each: func(r result) { none = append(none, r) }}, "no-such-python"); err != nil || len(none) != 1 || none[0].Status != skipped {
		t.Errorf("%+v, %v", none, err)
	}
}

// TestTimeSteps: the median of repetitions, after a warm-up; and an end when time is up.
func TestTimeSteps(t *testing.T) {
	n := 0
	got, err := timeSteps(t.Context(), 10, pace{4 * time.Millisecond, 5, 3}, func() error { n++; time.Sleep(time.Millisecond); return nil })
	if err != nil || !(got.slowest <= got.median && got.median <= got.fastest) || got.fastest > 10000 || n < 3+1+5 {
		t.Errorf("%+v after %d steps, %v", got, n, err)
	}
	if ms := got.stepMS(10); ms < 1 {
		t.Errorf("%g ms", ms)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n = 0
	if _, err := timeSteps(ctx, 1, pace{time.Microsecond, 5, 3}, func() error { n++; return nil }); err != nil || n < 3 {
		t.Errorf("%d steps, %v", n, err)
	}
	lost := errors.New("lost")
	if _, err := timeSteps(t.Context(), 1, pace{time.Millisecond, 5, 3}, func() error { return lost }); !errors.Is(err, lost) {
		t.Error(err)
	}
}

// TestFlops: the arithmetic of the paper's net is what the limit was computed
// with.
func TestFlops(t *testing.T) {
	net, err := full().net()
	if err != nil {
		t.Fatal(err)
	}
	if f := trainFlops(net); math.Abs(f-4.136e9) > 0.001e9 {
		t.Errorf("%g operations an image, want 4.136e9", f)
	}
}

func TestFirstDifference(t *testing.T) {
	state := func(w ...float32) model.State {
		return model.State{Weights: []model.Tensor{{Name: "w", Shape: []int{len(w)}, Data: w}}}
	}
	zero := float32(0)
	for _, c := range []struct {
		a, b model.State
		want string
	}{
		{state(1, 0), state(1, 0), ""},
		{state(1, 2), state(1, 3), "w: 1 of 2 values differ"},
		{state(1, zero), state(1, -1/float32(math.Inf(1))), "w: 1 of 2 values differ"},
		{state(float32(math.NaN())), state(float32(math.NaN())), "w: 1 of 1 values differ"},
		{state(1), model.State{}, "1 and 0 tensors"},
		{model.State{Velocity: state(1).Weights}, model.State{Velocity: state(2).Weights}, "the velocity of w: 1 of 1 values differ"},
	} {
		if got := fmt.Sprint(firstDifference(c.a, c.b)); got != c.want && (c.want != "" || got != "<nil>") {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestTail: of what a process has said, the end is kept.
func TestTail(t *testing.T) {
	var w tail
	for i := range 1000 {
		fmt.Fprintf(&w, "line %d\n", i)
	}
	if got := w.String(); got != "line 996 / line 997 / line 998 / line 999" || len(w.b) > tailBytes {
		t.Errorf("%q", got)
	}
}

// TestTargets are the issue's.
func TestTargets(t *testing.T) {
	if targetOf(bf16, 1024) != 60000 || targetOf(bf16, 128) != 35000 || targetOf(fp32, 1024) != 12000 || targetOf(tf32, 1024) != 0 {
		t.Error("other targets than the issue's")
	}
	if arithmeticOf(tf32) != device.TensorFloat32 || arithmeticOf(bf16) != device.BFloat16 || arithmeticOf(fp32) != device.Float32 {
		t.Error("other arithmetic")
	}
}

func TestApart(t *testing.T) {
	for _, c := range []struct {
		got, want     []float32
		angle, length float64
	}{
		{[]float32{1, 2}, []float32{1, 2}, 0, 0},
		{[]float32{2, 4}, []float32{1, 2}, 0, 1},
		{[]float32{0, 3}, []float32{3, 0}, 1, 0},
		{[]float32{-1, 0}, []float32{1, 0}, 2, 0},
	} {
		if a, l := apart(c.got, c.want); math.Abs(a-c.angle) > 1e-12 || math.Abs(l-c.length) > 1e-12 {
			t.Errorf("%v and %v: %g, %g", c.got, c.want, a, l)
		}
	}
	if a, _ := apart([]float32{0}, []float32{1}); !math.IsNaN(a) {
		t.Error("a gradient of zero has a direction")
	}
}

// TestLoaded finds the libraries that a process has.
func TestLoaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "maps")
	text := "7f0-7f1 r--p 0000 08:01 12   /usr/lib/libcudnn.so.9\n7f1-7f2 r-xp 0000 08:01 12   /usr/lib/libcudnn.so.9\n" +
		"7f3-7f4 r--p 0000 08:01 13   /opt/a b/libcublasLt.so.13\n7f5-7f6 rw-p 0000 00:00 0\n7f7-7f8 r--p 0000 08:01 14 /usr/lib/libc.so.6\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(loaded(file)); got != "[/usr/lib/libcudnn.so.9 /opt/a b/libcublasLt.so.13]" || loaded(file+"x") != nil {
		t.Error(got)
	}
}
