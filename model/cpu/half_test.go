package cpu

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu/dnnl"
	"alexnet/model/cpu/half"
	"alexnet/model/golden"
)

// A bfloat16 has 8 bits of significand: rounding is off by at most 2^-8 of the value,
// and there are some roundings in a row between images and loss. So results of BF16 are
// compared with those of FP32 within a few percent of the largest or of the norm, and
// gradients by direction, since where two values are equal but for rounding another
// one of them may be the maximum, and another side of a ReLU be taken.
const halfUlp = 1.0 / 256 // relative

// newHalf makes an engine of BF16, or says what this machine lacks for it. Any other
// error is a failure.
func newHalf(t testing.TB) error {
	t.Helper()
	e, err := New(tinyNet(), model.State{}, Options{Batch: 1, Threads: 1, Precision: BF16})
	var missing *PrecisionError
	if errors.As(err, &missing) {
		return err
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return nil
}

func hasHalf(t testing.TB) bool { return newHalf(t) == nil }

// needHalf skips a test where nothing computes with bfloat16.
func needHalf(t testing.TB) {
	t.Helper()
	if err := newHalf(t); err != nil {
		t.Skip(err)
	}
}

// halfOptions are those of an engine of BF16.
func halfOptions(batch, threads int) Options {
	return Options{Batch: batch, Threads: threads, Backend: OneDNN, Precision: BF16}
}

// likeness returns the cosine of the angle between two vectors, and the ratio of their
// lengths.
func likeness(a, b []float32) (cosine, ratio float64) {
	var ab, aa, bb float64
	for i, v := range a {
		w := float64(b[i])
		ab, aa, bb = ab+float64(v)*w, aa+float64(v)*float64(v), bb+w*w
	}
	if aa == 0 && bb == 0 {
		return 1, 1
	}
	return ab / math.Sqrt(aa*bb), math.Sqrt(bb / aa)
}

// alike compares losses, gradients and probabilities of FP32 with those of BF16.
func alike(t *testing.T, wide, half *Engine, images []float32, labels []int32, direction float64) {
	t.Helper()
	a, b := backward(t, wide, images, labels, 3), backward(t, half, images, labels, 3)
	if a.N != b.N || !(math.Abs(a.Loss-b.Loss) <= 4*halfUlp*math.Abs(a.Loss)) {
		t.Errorf("%+v with fp32, %+v with bf16", a, b)
	}
	ga, gb := gradients(t, wide), gradients(t, half)
	for i := range ga {
		cosine, ratio := likeness(ga[i], gb[i])
		if !(cosine >= direction && math.Abs(ratio-1) <= 1.5*math.Sqrt(1-direction)) {
			t.Errorf("gradient of %s: cosine %.5f, of %.4f times the length", wide.specs[i].Name, cosine, ratio)
		}
	}
	n := len(labels)
	pa, pb := make([]float32, n*wide.net.Classes), make([]float32, n*wide.net.Classes)
	if err := errors.Join(wide.Predict(images, n, pa), half.Predict(images, n, pb)); err != nil {
		t.Fatal(err)
	}
	for i, p := range pa {
		if math.Abs(float64(p-pb[i])) > 8*halfUlp {
			t.Fatalf("probability %d: %g with fp32, %g with bf16", i, p, pb[i])
		}
	}
}

// TestHalfLayers compares every layer, forwards and backwards, on shapes of all sorts.
func TestHalfLayers(t *testing.T) {
	needHalf(t)
	for i, c := range append(nativeCases(), layerCase{model.Layer{Kind: model.Tanh}, model.Shape{C: 16, H: 5, W: 3}}) {
		for _, relu := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %s %v/relu %v", i, c.l.Kind, c.in, relu), func(t *testing.T) {
				net := sandwich(c.l, c.in, relu)
				images, labels := examples(net, 4, 1, uint64(i))
				alike(t, newEngine(t, net, Options{Batch: 4, Threads: 2, Backend: OneDNN}), newEngine(t, net, halfOptions(4, 2)),
					images, labels, 0.99)
			})
		}
	}
}

// TestHalfFirst: first layers of all sorts: folded convolutions and others.
func TestHalfFirst(t *testing.T) {
	needHalf(t)
	for i, c := range []layerCase{
		{model.Layer{Kind: model.Conv, Out: 32, Kernel: 11, Stride: 4, PadEnd: 3}, model.Shape{C: 3, H: 32, W: 32}},
		{model.Layer{Kind: model.Conv, Out: 16, Kernel: 11, Stride: 4, Pad: 2, PadEnd: 2}, model.Shape{C: 3, H: 27, W: 39}},
		{model.Layer{Kind: model.Conv, Out: 5, Kernel: 3, Stride: 2, Pad: 1}, model.Shape{C: 1, H: 8, W: 5}},
		{model.Layer{Kind: model.Conv, Out: 5, Kernel: 2, Stride: 3}, model.Shape{C: 2, H: 9, W: 7}},
		{model.Layer{Kind: model.Conv, Out: 6, Kernel: 4, Stride: 4, Pad: 3, PadEnd: 1}, model.Shape{C: 4, H: 4, W: 4}},
		{model.Layer{Kind: model.Conv, Out: 6, Kernel: 3, Stride: 2, Groups: 3}, model.Shape{C: 3, H: 7, W: 7}},
		{model.Layer{Kind: model.Conv, Out: 16, Kernel: 3, Stride: 1, Pad: 1}, model.Shape{C: 3, H: 6, W: 7}},
		{model.Layer{Kind: model.FC, Out: 19}, model.Shape{C: 3, H: 3, W: 2}},
		{model.Layer{Kind: model.MaxPool, Kernel: 2, Stride: 2}, model.Shape{C: 3, H: 6, W: 6}},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			net := sandwich(c.l, c.in, i%2 == 0)
			net.Layers = net.Layers[1:]
			images, labels := examples(net, 5, 1, uint64(i))
			wide, half := newEngine(t, net, Options{Batch: 6, Threads: 2, Backend: OneDNN}), newEngine(t, net, halfOptions(6, 2))
			alike(t, wide, half, images, labels, 0.99)
			alike(t, wide, half, images, labels[:2], 0.99) // and after a fuller batch
		})
	}
}

// TestFold: every pixel and every weight has its place.
func TestFold(t *testing.T) {
	l := model.Layer{Kind: model.Conv, Out: 2, Kernel: 5, Stride: 3, Pad: 2, PadEnd: 1}
	in, out := model.Shape{C: 2, H: 7, W: 10}, model.Shape{C: 2, H: 2, W: 3}
	f := newFold(&l, in, out)
	images := randomFloats(draws(1), in.Size(), 1)
	folded := make([]uint16, f.rows*f.cols*f.channels)
	f.image(folded, images)
	seen := map[int]bool{}
	f.each(func(at, plain int) {
		if seen[at] {
			t.Fatalf("two weights at %d", at)
		}
		seen[at] = true
		o, c, y, x := plain/50, plain/25%2, plain/5%5, plain%5
		channel, by, bx := at/(f.blocks*f.blocks)%f.channels, at/f.blocks%f.blocks, at%f.blocks
		if at/(f.blocks*f.blocks)/f.channels != o {
			t.Errorf("a weight of output %d at %d", o, at)
		}
		// A weight meets the same pixel in every window.
		for oy := range out.H {
			for ox := range out.W {
				want := float32(0)
				if iy, ix := oy*3+y-2, ox*3+x-2; iy >= 0 && iy < in.H && ix >= 0 && ix < in.W {
					want = images[(c*in.H+iy)*in.W+ix]
				}
				if got := folded[((oy+by)*f.cols+ox+bx)*f.channels+channel]; got != half.Round(want) {
					t.Fatalf("weight %d of window %d,%d meets %g instead of %g", plain, oy, ox, half.Widen(got), want)
				}
			}
		}
	})
	if len(seen) != 100 {
		t.Errorf("%d weights", len(seen))
	}
}

// TestHalfNets compares whole nets, whole and short batches and ten steps of training.
func TestHalfNets(t *testing.T) {
	needHalf(t)
	small, err := model.Preset("alexnet-small", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		net   *model.Net
		n     int
		scale float64
	}{{tinyNet(), 13, 1}, {tinyNet().WithActivation(model.Tanh), 13, 1}, {small, 6, 50}} {
		t.Run(c.net.Name, func(t *testing.T) {
			images, labels := examples(c.net, c.n, c.scale, 31)
			wide := newEngine(t, c.net, Options{Batch: c.n + 1, Threads: 2, Backend: OneDNN})
			half := newEngine(t, c.net, halfOptions(c.n+1, 1))
			alike(t, wide, half, images, labels, 0.97)
			alike(t, wide, half, images, labels[:3], 0.97)
			h := model.Hyper{LearningRate: 0.001, Momentum: 0.9, WeightDecay: 0.0005}
			for s := range 10 {
				a, b := backward(t, wide, images, labels, uint64(s)), backward(t, half, images, labels, uint64(s))
				if d := math.Abs(a.Loss-b.Loss) / a.Loss; !(d <= 16*halfUlp) {
					t.Errorf("step %d: loss %g with fp32, %g with bf16", s, a.Loss, b.Loss)
				}
				update(t, wide, h)
				update(t, half, h)
			}
		})
	}
}

// TestHalfGolden compares with PyTorch's float64: logits, by their root mean square,
// the first loss, and the mean of the ten losses' distances, which steps as large as
// those of the goldens magnify.
func TestHalfGolden(t *testing.T) {
	needHalf(t)
	const logits, first, mean = 2e-2, 5e-3, 0.15
	for _, c := range smallGoldens(t) {
		t.Run(c.Net.Name, func(t *testing.T) {
			e := goldenEngine(t, c, halfOptions(0, 2))
			d, err := c.LogitDistance(e)
			if err != nil || !(d <= logits) {
				t.Errorf("logits are off by %.2g (%v)", d, err)
			}
			losses, err := c.LossErrors(e)
			if err != nil {
				t.Fatal(err)
			}
			if !(losses[0] <= first) {
				t.Errorf("the first loss is off by %.2g", losses[0])
			}
			total := 0.0
			for _, off := range losses {
				total += off
			}
			if total /= float64(len(losses)); !(total <= mean) {
				t.Errorf("losses are off by %.2g", total)
			}
			t.Logf("logits off by %.2g, losses by %.2g", d, total)
		})
	}
}

// TestHalfGoldenAlexNet compares logits and the first loss of the paper's net.
func TestHalfGoldenAlexNet(t *testing.T) {
	needHalf(t)
	if testing.Short() {
		t.Skip("takes a gigabyte")
	}
	c := loadGolden(t, golden.AlexNet)
	e := goldenEngine(t, c, halfOptions(0, 2))
	d, err := c.LogitDistance(e)
	off, lossErr := c.LossError(e)
	if err := errors.Join(err, lossErr); err != nil {
		t.Fatal(err)
	}
	t.Logf("logits off by %.2g, loss by %.2g", d, off)
	if !(d <= 2e-2 && off <= 5e-3) {
		t.Error("that is too much")
	}
}

// TestHalfAgain: the same run gives the same bits, also from the middle on.
func TestHalfAgain(t *testing.T) {
	needHalf(t)
	net, err := model.Preset("alexnet-small", 10)
	if err != nil {
		t.Fatal(err)
	}
	images, labels := examples(net, 18, 50, 2)
	o := halfOptions(18, 2)
	a, b := newEngine(t, net, o), newEngine(t, net, o)
	sameRuns(t, a, b, images, labels, 3)
	run(t, b, images, labels[:11], 1)
	if err := b.Restore(snapshot(t, a)); err != nil {
		t.Fatal(err)
	}
	sameRuns(t, a, b, images, labels[:7], 2)
}

// TestHalfFault: faults are found in bfloat16, too.
func TestHalfFault(t *testing.T) {
	needHalf(t)
	testFaults(t, halfOptions(4, 1))
}

// TestPrecision: what cannot be is refused, and says what to do.
func TestPrecision(t *testing.T) {
	net := tinyNet()
	with := func(has bool) func() bool { return func() bool { return has } }
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Precision: "fp16"}, `there are "fp32" and "bf16"`},
		{Options{Precision: BF16, hasBF16: with(false)}, "use precision fp32"},
		{Options{Precision: BF16, Backend: Plain, hasBF16: with(true)}, "use precision fp32"},
	} {
		c.o.Batch = 1
		_, err := New(net, model.State{}, c.o)
		var refused *PrecisionError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &refused) != (c.o.Precision == BF16) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
	for _, err := range []error{
		checkProcessor("amd64", false), checkProcessor("arm64", true),
		withoutLibrary(&dnnl.MissingError{}), withoutLibrary(&dnnl.MissingError{Hint: "install it", Err: errors.New("no file")}),
	} {
		t.Log(err)
		var refused *PrecisionError
		if !errors.As(err, &refused) || refused.Missing == "" || !strings.HasPrefix(err.Error(), "precision bf16: ") || !strings.HasSuffix(err.Error(), "use precision fp32") {
			t.Errorf("%v", err)
		}
	}
	if err := checkProcessor("amd64", true); err != nil {
		t.Error(err)
	}
	if e := newEngine(t, net, Options{Batch: 1, Threads: 2, Precision: FP32}); e.Name() != "CPU: plain Go, 2 threads" {
		t.Errorf("name %q", e.Name())
	}
	needHalf(t)
	if e := newEngine(t, net, halfOptions(1, 2)); e.Name() != "CPU: "+needLibrary(t).Name()+", bf16, 2 threads" {
		t.Errorf("name %q", e.Name())
	}
}
