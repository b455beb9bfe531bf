package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
)

// layers measures each layer's calls one by one, as the engine makes them: where a step's
// time goes, and which algorithms the library has chosen. Their sum is more or less than a
// step: there, what one call writes is in the cache when the next reads it.
func layers(ctx context.Context, s *site, r *recorder) error {
	if s.device == nil {
		r.skip("layers", "there is no device")
		return nil
	}
	net, err := s.net()
	if err != nil {
		return err
	}
	for _, batch := range []int{1024, 128} {
		if s.standsIn {
			batch = 2
		}
		r.failing(fmt.Sprintf("a step, batch %d", batch), func() error { return s.profile(r, net, bf16, batch) })
	}
	for _, c := range []struct {
		precision string
		batch     int
	}{{bf16, 1024}, {fp32, 256}} {
		if s.standsIn {
			c.batch = 2
		}
		r.failing(c.precision, func() error { return s.eachLayer(ctx, r, net, c.precision, c.batch) })
	}
	return nil
}

// workbench is what layers are measured with.
type workbench struct {
	s      *site
	stream device.Stream
	set    *kernels.Set
	begin  device.Event
	end    device.Event
	a      device.Arithmetic
	t      kernels.Type
	n      int
	rounds int

	x, y, dx, dy, w, dw, work, index device.Ptr
	all                              []device.Ptr
}

// biasName is the name of the call that adds a bias.
const biasName = "bias and ReLU"

// workBytes is the most that a convolution may take beside its operands.
const workBytes = 1 << 30

// eachLayer measures the layers of a net.
func (s *site) eachLayer(ctx context.Context, r *recorder, net *model.Net, precision string, n int) (err error) {
	b := &workbench{s: s, a: arithmeticOf(precision), n: n, rounds: 20}
	if b.a == device.BFloat16 {
		b.t = kernels.BFloat16
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.open(net); err != nil {
		return err
	}
	in, total := net.Input, 0.0
	shapes, err := net.Shapes()
	if err != nil {
		return err
	}
	for i := range net.Layers {
		l := &net.Layers[i]
		calls, done, err := b.calls(l, i == 0, in, shapes[i])
		if err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
		lent := i+2 < len(net.Layers) && net.Layers[i+2].Kind == model.LRN // to which it leaves bias and ReLU
		for _, c := range calls {
			if ctx.Err() != nil {
				break
			}
			c.aside = c.aside || lent && c.name == biasName
			what := fmt.Sprintf("%s, batch %d: %s, %s", precision, n, l.Name, c.name)
			ms, err := b.time(c.run)
			if errors.Is(err, device.ErrUnsupported) {
				r.skip(what, err.Error())
				continue
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", l.Name, c.name, err)
			}
			if !c.aside {
				total += ms
			}
			note := fmt.Sprintf("%.0f GB/s", c.bytes/ms/1e6)
			if c.flops > 0 {
				note = strings.TrimSuffix(fmt.Sprintf("%.1f TFLOP/s; %s", c.flops/ms/1e9, c.note), "; ")
			}
			r.measure(what, ms, "ms", note)
		}
		if err := done(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		in = shapes[i]
	}
	r.measure(fmt.Sprintf("%s, batch %d: all layers", precision, n), total, "ms", "without images, loss, dropout and update")
	return nil
}

// open allocates what the largest layer needs.
func (b *workbench) open(net *model.Net) (err error) {
	shapes, err := net.Shapes()
	if err != nil {
		return err
	}
	maps, weights := 2*net.Input.Size(), 0 // the first layer's blocks are larger than its pixels
	for _, s := range shapes {
		maps = max(maps, s.Size())
	}
	for _, p := range net.Params() {
		weights = max(weights, 2*p.Len())
	}
	if b.stream, err = b.s.device.NewStream(); err != nil {
		return err
	}
	if b.begin, err = b.s.device.NewEvent(); err != nil {
		return err
	}
	if b.end, err = b.s.device.NewEvent(); err != nil {
		return err
	}
	if b.set, err = kernels.Load(b.s.device); err != nil {
		return err
	}
	work := workBytes
	if b.s.standsIn {
		work = 1 << 20
	}
	for _, m := range []struct {
		to    *device.Ptr
		bytes int
	}{{&b.x, 4 * b.n * maps}, {&b.y, 4 * b.n * maps}, {&b.dx, 4 * b.n * maps}, {&b.dy, 4 * b.n * maps},
		{&b.w, 4 * weights}, {&b.dw, 4 * weights}, {&b.work, work}, {&b.index, b.n * maps}} {
		if *m.to, err = b.s.device.Alloc(m.bytes); err != nil {
			return err
		}
		b.all = append(b.all, *m.to)
		if err := b.stream.Clear(*m.to, m.bytes); err != nil {
			return err
		}
	}
	// Zeros would be multiplied with less power, and so faster.
	values := b.a.Bytes()
	for _, m := range []struct {
		at    device.Ptr
		bytes int
	}{{b.x, values * b.n * maps}, {b.dy, values * b.n * maps}, {b.w, values * weights}} {
		if err := b.s.fillNoise(b.stream, b.a, m.bytes, []device.Ptr{m.at}); err != nil {
			return err
		}
	}
	return nil
}

// close gives everything back.
func (b *workbench) close() error {
	var errs []error
	if b.stream != nil {
		errs = append(errs, b.stream.Sync())
	}
	for _, p := range b.all {
		errs = append(errs, b.s.device.Release(p))
	}
	for _, e := range []device.Event{b.begin, b.end} {
		if e != nil {
			errs = append(errs, e.Close())
		}
	}
	if b.set != nil {
		errs = append(errs, b.set.Close())
	}
	if b.stream != nil {
		b.s.library.Forget(b.stream)
		errs = append(errs, b.stream.Close())
	}
	return errors.Join(errs...)
}

// time returns the milliseconds of a call on the device, on the average.
func (b *workbench) time(run func() error) (float64, error) {
	rounds := b.rounds
	if b.s.standsIn {
		rounds = 1
	}
	for range 2 {
		if err := run(); err != nil {
			return 0, err
		}
	}
	if err := b.stream.Record(b.begin); err != nil {
		return 0, err
	}
	for range rounds {
		if err := run(); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(b.stream.Record(b.end), b.stream.Sync()); err != nil {
		return 0, err
	}
	ms, err := b.end.Since(b.begin)
	return ms / float64(rounds), err
}

// call is a call that a step makes.
type call struct {
	name  string
	flops float64 // of those that multiply
	bytes float64 // read and written, of the others
	note  string
	aside bool // it is another way to do what the calls before it do
	run   func() error
}

// calls returns the calls of a layer, and what is to be done after them.
func (b *workbench) calls(l *model.Layer, first bool, in, out model.Shape) (calls []call, done func() error, err error) {
	done = func() error { return nil }
	nothing := done
	s, k := b.stream, b.set
	rows, size := b.n*out.H*out.W, b.t.Bytes()
	moved := func(times int, values int) float64 { return float64(times) * float64(b.n*values*size) }
	switch l.Kind {
	case model.Conv:
		calls, done, err = b.bothWays(l, first, in, out)
	case model.FC:
		calls = b.products(in.Size(), l.Out)
	case model.LRN:
		p := kernels.LRN{C: in.C, Groups: l.GroupCount(), Size: l.Size, Alpha: float32(l.Alpha), Beta: float32(l.Beta), K: float32(l.K)}
		if p.TakesBias(b.t) { // as the engine does behind a convolution
			p.Bias = b.w
		}
		calls = []call{
			{name: "forward", bytes: moved(2, in.Size()), run: func() error { return k.LRNForward(s, b.t, b.y, b.x, rows, p) }},
			{name: "backward", bytes: moved(3, in.Size()), run: func() error { return k.LRNBackward(s, b.t, b.dx, b.dy, b.x, rows, p, true) }},
		}
	case model.MaxPool:
		from, to := kernels.Map{N: b.n, H: in.H, W: in.W, C: in.C}, kernels.Map{N: b.n, H: out.H, W: out.W, C: out.C}
		calls = []call{
			{name: "forward", bytes: moved(1, in.Size()+out.Size()) + float64(b.n*out.Size()),
				run: func() error { return k.MaxPoolForward(s, b.t, b.y, b.index, b.x, from, to, l.Kernel, l.Stride) }},
			{name: "backward", bytes: moved(1, in.Size()+out.Size()) + float64(b.n*out.Size()),
				run: func() error { return k.MaxPoolBackward(s, b.t, b.dx, b.dy, b.index, from, to, l.Kernel, l.Stride) }},
		}
	}
	if l.Weighted() && err == nil {
		scratch := b.work
		if kernels.BiasScratch(rows, out.C) > workBytes {
			return nil, nothing, errors.New("no room for the sums of a bias")
		}
		calls = append(calls,
			call{name: biasName, bytes: moved(2, out.Size()), run: func() error { return k.BiasAct(s, b.t, b.y, b.w, rows, out.C, kernels.ReLU) }},
			call{name: "backward of both", bytes: moved(3, out.Size()), run: func() error {
				return k.ActBackward(s, b.t, b.dx, b.dy, b.y, b.dw, scratch, rows, out.C, kernels.ReLU)
			}})
	}
	return calls, done, err
}

// bothWays returns the calls of a convolution, and of a grouped one also those of the one
// without groups that it may be made. Of the former there are none where the library
// cannot compute them.
func (b *workbench) bothWays(l *model.Layer, first bool, in, out model.Shape) (calls []call, done func() error, err error) {
	calls, done, err = b.convolution(l, first, in, out, l.GroupCount())
	if l.GroupCount() == 1 || err != nil && !errors.Is(err, device.ErrUnsupported) {
		return calls, done, err
	}
	unable, own := err != nil, done
	dense, also, err := b.convolution(l, first, in, out, 1)
	for _, c := range dense {
		c.name, c.aside = c.name+", groups made of zeros", !unable
		calls = append(calls, c)
	}
	return calls, func() error { return errors.Join(own(), also()) }, err
}

// convolution returns the calls of a convolution in so many groups. The first one is one
// over blocks of pixels, as the engine makes it.
func (b *workbench) convolution(l *model.Layer, first bool, in, out model.Shape, groups int) (calls []call, done func() error, err error) {
	c := device.Convolution{Arithmetic: b.a, N: b.n, H: in.H, W: in.W, C: in.C, Out: l.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad,
		Groups: groups, NeedWeights: true, NeedData: !first, Workspace: workBytes, Repeatable: true}
	if b.s.standsIn {
		c.Workspace = 1 << 20
	}
	if first && l.Stride > 1 {
		c.Kernel, c.Stride, c.Pad, c.C = (l.Kernel+l.Stride-1)/l.Stride, 1, 0, (in.C*l.Stride*l.Stride+7)/8*8
		c.H, c.W = out.H-1+c.Kernel, out.W-1+c.Kernel
	}
	v, err := b.s.library.Convolution(c)
	if err != nil {
		return nil, func() error { return nil }, err
	}
	s := b.stream
	flops := 2 * float64(b.n*out.H*out.W*out.C) * float64(c.Kernel*c.Kernel*c.C/l.GroupCount()) // zeros do not count
	calls = []call{
		{name: "forward", flops: flops, note: v.Algorithms(), run: func() error { return v.Forward(s, b.y, b.x, b.w, b.work) }},
		{name: "gradient of the weights", flops: flops, run: func() error { return v.BackwardWeights(s, b.dw, b.x, b.dy, b.work) }},
	}
	if !first {
		calls = append(calls, call{name: "gradient of the data", flops: flops, run: func() error { return v.BackwardData(s, b.dx, b.dy, b.w, b.work) }})
	}
	return calls, func() error { return errors.Join(s.Sync(), v.Close()) }, nil
}

// products returns the calls of a fully connected layer.
func (b *workbench) products(in, out int) []call {
	flops := 2 * float64(b.n) * float64(in) * float64(out)
	product := func(p device.Product, c, x, y device.Ptr) func() error {
		p.Arithmetic = b.a
		return func() error { return b.s.library.Product(b.stream, p, c, x, y) }
	}
	return []call{
		{name: "forward", flops: flops, run: product(device.Product{M: b.n, N: out, K: in, TransB: true}, b.y, b.x, b.w)},
		{name: "gradient of the weights", flops: flops, run: product(device.Product{M: out, N: in, K: b.n, TransA: true, Wide: true}, b.dw, b.dy, b.x)},
		{name: "gradient of the data", flops: flops, run: product(device.Product{M: b.n, N: in, K: out}, b.dx, b.dy, b.w)},
	}
}
