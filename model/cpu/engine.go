// Package cpu trains and runs a model.Net on the processor.
//
// A net is compiled to a gorgonia graph, with one node for each layer's forward
// pass; gorgonia's symbolic differentiation adds the backward pass, and its tape
// machine runs both. The nodes are operations of this package, because gorgonia's
// own have no convolution in groups, no local response normalisation and no
// dropout that can be seeded, and allocate everything anew in each step. Here each
// layer owns its buffers and reuses them.
//
// The files: engine.go is the model.Engine; program.go compiles; graph.go has the
// nodes; kernel.go has the interface between nodes and the computation of a layer,
// which is in conv.go (with patches.go), fc.go, lrn.go, pool.go, relu.go, dropout.go
// and loss.go, on top of the micro-kernels of package gemm; layout.go says how
// feature maps lie in memory, workers.go runs work on several threads.
//
// features.go stops a program at a layer in the middle; reduce.go makes the engine one of
// the ranks of a run, whose gradients are summed while the backward pass goes on.
//
// Where the machine has oneDNN, it computes the layers (package dnnl; native.go and
// native_layers.go); what else there is is the twin that it is tested against, and
// what runs elsewhere: see Options.Backend.
//
// Results of plain Go are the same bit for bit for any number of threads and for
// any size of the engine's batch: the work is cut at fixed places, and sums are
// taken in a fixed order. They are the same for all amd64 processors with AVX2 and
// FMA, with AVX-512 or without, and differ in the last bits from those of older ones
// and of other architectures. Results of oneDNN are the same bit for bit for the same release,
// processor, number of threads and size of the engine's batch.
//
// With Options.Precision BF16 oneDNN computes with bfloat16: precision.go says where,
// half.go and native_fold.go have what this package computes itself, with
// the kernels of package half.
package cpu

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"gorgonia.org/tensor"

	"alexnet/model"
	"alexnet/model/vector"
)

// ErrClosed is what the methods of a closed Engine return.
var ErrClosed = errors.New("the engine is closed")

// Options configures an Engine.
type Options struct {
	Batch   int     // largest number of images of one call, at least 1
	Threads int     // goroutines that compute at once; 0 means GOMAXPROCS. Those of plain Go do not depend on it.
	Seed    uint64  // of dropout's masks, and of the initial weights if none are given
	Backend Backend // what computes; Auto, the zero value, is the best that is here
	Profile bool    // gather where the time goes: see Engine.Profile

	// Precision is FP32 unless it is BF16.
	Precision Precision

	// Reducer makes the engine one of the ranks of a run (model.ReducingEngine), each of
	// which calls Backward with its own slice of a batch, at the same steps; nil for an
	// engine on its own. After a Backward that has failed the ranks are out of step.
	Reducer model.Reducer

	hasBF16  func() bool // in place of the processor's answer, for tests
	leastSum int         // in place of leastSum, for tests
	memory   uint64      // of the machine in bytes, in place of what it has, for tests
}

// Engine is a model.Engine on the processor. It is not safe for concurrent use.
type Engine struct {
	shared
	specs    []model.ParamSpec
	weights  [][]float32 // the memory of shared.weights
	velocity [][]float32
	moving   bool      // the velocities may not all be zero
	input    []float32 // the memory of shared.images, for batches that must be copied
	train    *program  // nil until the first Backward
	predict  *program  // nil until the first Predict
	features *program  // nil until the first Features
	graded   bool      // a Backward has succeeded since the last change of the weights
	// badImages says that those of the last Backward were not all finite.
	badImages bool
	first     int // see SetFirst
	closed    bool
	arena     arena
	name      string
	hint      string
}

var _ model.Engine = (*Engine)(nil)

// New makes an engine that starts from a copy of st. Nil weights mean
// net.Init(o.Seed), a nil velocity zeros. It returns a *model.LayerError for a net
// that does not hold together, a *model.MismatchError for a state of another net, a
// *PrecisionError for a precision that this machine does not have, and a *MemoryError where
// even the images of a batch do not fit into its memory. Whether the rest does the first
// Backward and the first Predict find out.
func New(net *model.Net, st model.State, o Options) (*Engine, error) {
	if err := net.Validate(); err != nil {
		return nil, err
	}
	if o.Batch < 1 || o.Batch > math.MaxInt32 {
		return nil, fmt.Errorf("a batch of %d images: there must be 1..%d", o.Batch, math.MaxInt32)
	}
	if o.Threads < 0 {
		return nil, fmt.Errorf("%d threads: 0 (as many as processors) or more are needed", o.Threads)
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	own := *net
	own.Layers = slices.Clone(net.Layers)
	e := &Engine{specs: own.Params()}
	e.shared = shared{net: &own, batch: o.Batch, threads: o.Threads, seed: o.Seed, reducer: o.Reducer, leastSum: leastSum, memory: o.memory}
	if o.leastSum > 0 {
		e.leastSum = o.leastSum
	}
	if o.Profile {
		e.profile = newProfiler(&own)
	}
	if err := e.choose(&o); err != nil {
		return nil, err
	}
	err := e.allocate()
	if err == nil {
		if st.Weights == nil {
			st.Weights = own.Init(o.Seed)
		}
		err = e.Restore(st)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// allocate makes what all programs share.
func (e *Engine) allocate() (err error) {
	defer func() {
		if r := recover(); r != nil {
			large := tooLarge(r, e.batch)
			if large == nil {
				panic(r)
			}
			err = large
		}
	}()
	e.arena.limit = limitOf(e.memory)
	in := e.net.Input
	e.input = e.arena.floats(e.batch * in.Size())
	e.images = dense(e.input, e.batch, in.C, in.H, in.W)
	for _, p := range e.specs {
		w := e.arena.floats(p.Len())
		e.weights = append(e.weights, w)
		e.velocity = append(e.velocity, e.arena.floats(p.Len()))
		e.shared.weights = append(e.shared.weights, dense(w, p.Shape...))
	}
	return nil
}

// Net returns the net that the engine was made for.
func (e *Engine) Net() *model.Net { return e.net }

// Batch returns the largest number of images of one call.
func (e *Engine) Batch() int { return e.batch }

// Memory returns the bytes of the buffers that the engine holds by now. Those for
// training are made by the first Backward, those for prediction by the first
// Predict.
func (e *Engine) Memory() int64 {
	bytes := e.arena.bytes
	if e.lib != nil {
		bytes += e.lib.Bytes()
	}
	for _, p := range []*program{e.train, e.predict, e.features} {
		if p != nil {
			bytes += p.arena.bytes
		}
	}
	return bytes
}

// load checks the images and returns n of them as the input of the programs: where
// they are, if the programs can use them there, and otherwise a copy.
func (e *Engine) load(images []float32, n int) ([]float32, error) {
	size := e.net.Input.Size()
	switch {
	case e.closed:
		return nil, ErrClosed
	case n < 1 || n > e.batch:
		return nil, fmt.Errorf("%d images for an engine with a batch of %d: there must be 1..%d", n, e.batch, e.batch)
	case len(images) < n*size:
		return nil, fmt.Errorf("%d values for %d images of %d", len(images), n, size)
	}
	images = images[:n*size]
	// Sums of plain Go depend on the alignment, and oneDNN's speed does. Also, it
	// computes whole batches.
	const alignment = 64
	if uintptr(unsafe.Pointer(unsafe.SliceData(images)))%alignment == 0 && (e.lib == nil || n == e.batch) {
		return images, nil
	}
	w := workers{e.threads}
	w.each(n, func(_, i int) { copy(e.input[i*size:(i+1)*size], images[i*size:]) })
	if e.lib != nil {
		clear(e.input[n*size:])
		return e.input, nil
	}
	return e.input[:n*size], nil
}

// Backward implements model.Engine.
func (e *Engine) Backward(images []float32, labels []int32, step uint64) (model.Score, error) {
	began := e.profile.now()
	input, err := e.load(images, len(labels))
	if err != nil {
		return model.Score{}, fmt.Errorf("backward: %w", err)
	}
	for i, l := range labels {
		if l < -1 || int(l) >= e.net.Classes {
			return model.Score{}, fmt.Errorf("backward: label %d of image %d is not in [0, %d), nor -1 for none", l, i, e.net.Classes)
		}
	}
	e.graded = false
	// Now, since the caller may do with the images what it likes before it asks for
	// the fault.
	e.badImages = vector.AllFinite(e.threads, images[:len(labels)*e.net.Input.Size()]) >= 0
	e.profile.add("", PassImages, began, e.profile.now(), len(labels))
	if e.train == nil {
		p, err := compile(&e.shared, true)
		if err != nil {
			return model.Score{}, fmt.Errorf("backward: %w", err)
		}
		e.train = p
	}
	c := call{images: input, n: len(labels), labels: labels, step: step, first: e.first, weights: e.version}
	if c.divisor, err = e.labelled(labels); err != nil {
		return model.Score{}, fmt.Errorf("backward: %w", err)
	}
	err = e.train.run(c)
	if e.reducer != nil { // after an error, too: what is being summed must not be written
		err = errors.Join(err, e.reducer.Wait())
	}
	if err != nil {
		return model.Score{}, fmt.Errorf("backward: %w", err)
	}
	e.graded = true
	e.profile.ended(func(p *Profile) *int { return &p.Backwards }, began)
	return e.train.loss.score, nil
}

// gradients returns the memory of the gradients, in the order of the parameters.
func (e *Engine) gradients() ([][]float32, error) {
	gs := make([][]float32, len(e.specs))
	for i, n := range e.train.grads {
		t, ok := n.Value().(*tensor.Dense)
		if !ok || t.DataSize() != e.specs[i].Len() {
			return nil, fmt.Errorf("the gradient of %s is %v", e.specs[i].Name, n.Value())
		}
		gs[i] = t.Data().([]float32)
	}
	return gs, nil
}

// Update implements model.Engine. It needs a Backward since the last Update or
// Restore.
func (e *Engine) Update(h model.Hyper) error {
	if e.closed {
		return fmt.Errorf("update: %w", ErrClosed)
	}
	if !e.graded {
		return errors.New("update: there is no gradient: call Backward first")
	}
	for _, v := range [3]float32{h.LearningRate, h.Momentum, h.WeightDecay} {
		if !(v >= 0 && v <= math.MaxFloat32) {
			return fmt.Errorf("update: learning rate %g, momentum %g, weight decay %g: all must be finite and not negative",
				h.LearningRate, h.Momentum, h.WeightDecay)
		}
	}
	grads, err := e.gradients()
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	e.graded, e.moving = false, true
	e.version++
	began := e.profile.now()
	where := e.apply(h, grads)
	e.profile.add("", PassUpdate, began, e.profile.now(), 0)
	e.profile.ended(func(p *Profile) *int { return &p.Updates }, began)
	if where != "" {
		return fmt.Errorf("update: %w", &model.NotFiniteError{Where: where})
	}
	return nil
}

// apply applies the update rule, as model.Hyper.Apply. It returns where values are not
// finite afterwards, or "": the first parameter that is so by itself, whose gradient
// is finite, or else the first one whose gradient is not.
func (e *Engine) apply(h model.Hyper, grads [][]float32) (where string) {
	spans := vector.Spans(e.weights...)
	broken := make([]atomic.Bool, len(e.specs))
	vector.Each(e.threads, len(spans), func(unit int) {
		s := spans[unit]
		p := &e.specs[s.Slice]
		rate, decay := h.Scaled(float32(p.LRMult), float32(p.DecayMult))
		of := func(list [][]float32) []float32 { return list[s.Slice][s.From:s.To] }
		if !vector.Update(of(e.weights), of(e.velocity), of(grads), h.Momentum, decay, rate) {
			broken[s.Slice].Store(true)
		}
	})
	for i := range broken {
		if !broken[i].Load() {
			continue
		}
		if vector.AllFinite(e.threads, grads[i]) < 0 {
			return e.specs[i].Name
		}
		if where == "" {
			where = "the gradient of " + e.specs[i].Name
		}
	}
	return where
}

// Predict implements model.Engine.
func (e *Engine) Predict(images []float32, n int, probs []float32) error {
	began := e.profile.now()
	input, err := e.load(images, n)
	if err != nil {
		return fmt.Errorf("predict: %w", err)
	}
	e.profile.add("", PassImages, began, e.profile.now(), n)
	if len(probs) < n*e.net.Classes {
		return fmt.Errorf("predict: room for %d probabilities of %d images with %d classes", len(probs), n, e.net.Classes)
	}
	if e.predict == nil {
		p, err := compile(&e.shared, false)
		if err != nil {
			return fmt.Errorf("predict: %w", err)
		}
		e.predict = p
	}
	if err := e.predict.run(call{images: input, n: n, weights: e.version}); err != nil {
		return fmt.Errorf("predict: %w", err)
	}
	copy(probs, e.predict.probs[:n*e.net.Classes])
	e.profile.ended(func(p *Profile) *int { return &p.Predictions }, began)
	return nil
}

// Snapshot implements model.Engine.
func (e *Engine) Snapshot() (model.State, error) {
	if e.closed {
		return model.State{}, fmt.Errorf("snapshot: %w", ErrClosed)
	}
	copies := func(data [][]float32) []model.Tensor {
		ts := make([]model.Tensor, len(data))
		for i, d := range data {
			ts[i] = model.Tensor{Name: e.specs[i].Name, Shape: slices.Clone(e.specs[i].Shape), Data: slices.Clone(d)}
		}
		return ts
	}
	return model.State{Weights: copies(e.weights), Velocity: copies(e.velocity)}, nil
}

// Restore implements model.Engine.
func (e *Engine) Restore(st model.State) error {
	if e.closed {
		return fmt.Errorf("restore: %w", ErrClosed)
	}
	if err := e.net.CheckTensors(st.Weights); err != nil {
		return err
	}
	if st.Velocity != nil {
		if err := e.net.CheckTensors(st.Velocity); err != nil {
			return fmt.Errorf("velocity: %w", err)
		}
	}
	for i := range e.specs {
		copy(e.weights[i], st.Weights[i].Data)
		switch {
		case st.Velocity != nil:
			copy(e.velocity[i], st.Velocity[i].Data)
		case e.moving: // else it is zero, and takes no memory as long as nobody touches it
			clear(e.velocity[i])
		}
	}
	e.moving = st.Velocity != nil
	e.version++
	e.graded = false
	return nil
}

// Close implements model.Engine.
func (e *Engine) Close() error {
	if e.closed {
		return nil
	}
	var errs []error
	for _, p := range []*program{e.train, e.predict, e.features} {
		if p != nil {
			errs = append(errs, p.machine.Close())
		}
	}
	if e.lib != nil {
		e.lib.Close()
	}
	net, batch := e.net, e.batch
	*e = Engine{closed: true}
	e.net, e.batch = net, batch
	return errors.Join(errs...)
}
