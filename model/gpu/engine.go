package gpu

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
)

// Options configures an Engine.
type Options struct {
	Machine   *Machine  // what computes; it must outlive the engine
	Batch     int       // largest number of images of one call, at least 1
	Seed      uint64    // of dropout's masks, and of the initial weights if none are given
	Precision Precision // FP32 unless given

	// AnyOrder also allows algorithms that may give other bits in each run.
	AnyOrder bool
	// Workspace is the most memory, in bytes, that a convolution may use beside its
	// operands; 0 means 1 GiB.
	Workspace int
	// Dense names grouped convolutions that are to be computed as ones without groups,
	// whose weights between groups are zeros: more arithmetic, which may be faster all the
	// same. Those that the library cannot compute otherwise are, named or not.
	Dense []string

	// Travel is what the images of Stage come as: finished float32 unless given.
	Travel kernels.Source
	// Pictures describes what images that travel as they were stored were cut from.
	Pictures Pictures

	// Reducer sums gradients over several devices; nil for one alone. It must outlive the
	// engine, whose graphs hold its sums. Either all batches of all devices are staged, or
	// none, but for those without labelled images.
	Reducer Reducer
}

// Pictures describes stored pictures.
type Pictures struct {
	Height, Width int
	Sub           []float32 // what is left to subtract from a stored value: channels x Height x Width
}

// Engine is a model.Engine on a GPU. It is not safe for concurrent use, but for Alloc
// and Free.
type Engine struct {
	options    Options
	net        *model.Net
	batch      int
	seed       uint64
	device     device.Device
	library    device.Library
	kernels    *kernels.Set
	arithmetic device.Arithmetic
	kind       kernels.Type
	first      first
	dense      map[string]bool // the names of convolutions whose groups are made of zeros

	stream   device.Stream // computes
	transfer transfer
	params   params
	train    *program // nil until the first Backward
	predict  *program // nil until the first Predict
	features *program // nil until the first Features
	depth    int      // layers of features
	arena    arena

	input     device.Ptr    // the images as the first layer wants them
	swap      [2]device.Ptr // gradients of feature maps in turn; or feature maps, when predicting
	probs     device.Ptr    // float32, batch x classes
	losses    device.Ptr    // float32, of each image
	ranks     device.Ptr    // int32, of each image's label: right behind the losses
	control   device.Ptr
	unlabeled device.Ptr // as many -1 as images
	sub       device.Ptr
	work      arena      // of workspace alone
	workspace device.Ptr // at least as much as any program's convolutions need
	workBytes int

	settings  kernels.Control // what control holds, or is about to
	place     int             // see SetFirst
	results   []byte          // pinned: losses and ranks on their way back, or flags
	direct    *slot           // of images that come in the call
	stages    staging
	reduction reduction
	host      sync.Mutex // held while memory of the host is taken or given back, which may not be while a step is captured

	graded bool           // a Backward has succeeded since the last change of the weights
	lent   [][]float32    // the gradient that Gradients has shown; nil: it has not
	room   [][]float32    // the memory of lent; nil: it was never asked for
	mirror *mirror        // weights and velocities that State has shown
	ran    int            // images of the last Backward,
	source kernels.Source // and what they came as
	demand demand
	closed bool
}

var (
	_ model.GradientEngine   = (*Engine)(nil)
	_ model.WeightsEngine    = (*Engine)(nil)
	_ model.FaultEngine      = (*Engine)(nil)
	_ model.ArithmeticEngine = (*Engine)(nil)
	_ model.FeatureEngine    = (*Engine)(nil)
	_ model.StagingEngine    = (*Engine)(nil)
	_ model.SlicedEngine     = (*Engine)(nil)
	_ model.ReducingEngine   = (*Engine)(nil)
)

// New makes an engine that starts from a copy of st. Nil weights mean
// net.Init(o.Seed), a nil velocity zeros. It returns a *model.LayerError for a net that
// does not hold together or has layers that this engine cannot compute, a
// *model.MismatchError for a state of another net, and a *CapacityError when the memory
// is too small for the batch.
func New(net *model.Net, st model.State, o Options) (*Engine, error) {
	if err := net.Validate(); err != nil {
		return nil, err
	}
	switch {
	case o.Machine == nil:
		return nil, errors.New("a GPU engine needs a machine: see Open")
	case o.Batch < 1:
		return nil, fmt.Errorf("a batch of %d images: at least 1 is needed", o.Batch)
	}
	a, err := o.Precision.arithmetic()
	if err != nil {
		return nil, err
	}
	if o.Workspace == 0 {
		o.Workspace = 1 << 30
	}
	own := *net
	own.Layers = slices.Clone(net.Layers)
	e := &Engine{options: o, net: &own, batch: o.Batch, seed: o.Seed, device: o.Machine.Device, library: o.Machine.Library, arithmetic: a}
	if a == device.BFloat16 {
		e.kind = kernels.BFloat16
	}
	shapes, err := own.Shapes()
	if err != nil {
		return nil, err
	}
	for i := range own.Layers {
		if l := &own.Layers[i]; l.Kind == model.Local {
			return nil, unsupported(net, l, "locally connected layers cannot be computed")
		}
	}
	e.first = firstLayer(&own, shapes, a)
	e.arena.dev, e.params.arena.dev, e.work.dev = e.device, e.device, e.device
	if st.Weights == nil {
		st.Weights = own.Init(o.Seed)
	}
	if err := e.setUp(st); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// setUp allocates what every use of the engine needs, and fills it.
func (e *Engine) setUp(st model.State) (err error) {
	if err := e.net.CheckTensors(st.Weights); err != nil {
		return err
	}
	if err := e.chooseDense(); err != nil {
		return err
	}
	e.params = layParams(e.net.Params(), e.rowMaps())
	e.params.arena.dev = e.device
	if e.kernels, err = kernels.Load(e.device); err != nil {
		return err
	}
	if e.stream, err = e.device.NewStream(); err != nil {
		return err
	}
	e.transfer.stream = e.stream
	if err := e.reduction.open(e.device, e.options.Reducer); err != nil {
		return err
	}
	for _, b := range []struct {
		to    *[]byte
		bytes int
	}{{&e.transfer.buffer, transferBytes}, {&e.results, max(8*e.batch, 4*len(e.params.list))}} {
		if *b.to, err = e.device.AllocHost(b.bytes); err != nil {
			return err
		}
	}
	if err := e.allocate(); err != nil {
		return err
	}
	labels := make([]byte, 4*e.batch)
	for i := range labels {
		labels[i] = 0xff
	}
	if err := cmp.Or(e.params.setUp(&e.transfer), e.transfer.in(e.unlabeled, labels)); err != nil {
		return err
	}
	if p := e.options.Pictures; e.options.Travel.Stored() {
		if want := e.net.Input.C * p.Height * p.Width; len(p.Sub) != want {
			return fmt.Errorf("images travel as they were stored, but there are %d values to subtract from pictures of %dx%dx%d", len(p.Sub), e.net.Input.C, p.Height, p.Width)
		}
		if err := e.transfer.in(e.sub, bytesOf(p.Sub)); err != nil {
			return err
		}
	}
	return e.Restore(st)
}

// allocate allocates the engine's own memory and the parameters'.
func (e *Engine) allocate() error {
	plan, err := e.compile(true, len(e.net.Layers), true)
	if err != nil {
		return err
	}
	free, err := e.device.FreeMemory()
	if err != nil {
		return err
	}
	e.params.alloc(e.kind == kernels.BFloat16)
	a := &e.arena
	e.input = a.alloc(plan.nodes[0].in.bytes())
	for i := range e.swap {
		e.swap[i] = a.alloc(plan.largest())
	}
	e.probs = a.alloc(4 * e.batch * e.net.Classes)
	e.losses = a.alloc(8 * e.batch)
	e.ranks = e.losses.Add(4 * e.batch)
	e.control = a.alloc(kernels.ControlBytes)
	e.unlabeled = a.alloc(4 * e.batch)
	if e.options.Travel.Stored() {
		e.sub = a.alloc(4 * len(e.options.Pictures.Sub))
	}
	e.demand = demand{free: free, fixed: e.params.arena.bytes, batch: a.bytes + plan.arena.bytes}
	if e.direct, err = e.newSlot(kernels.PlanarFloat32, true); e.direct != nil {
		e.demand.batch += e.direct.arena.bytes
	}
	return e.tooLarge(errors.Join(e.params.arena.err, a.err, err))
}

// demand is how much memory training needs, in bytes.
type demand struct {
	free  int64 // when the engine began
	fixed int64 // whatever the batch
	batch int64 // for the batch; the workspace of convolutions is known late
}

// tooLarge makes a *CapacityError of an error of the device's memory.
func (e *Engine) tooLarge(err error) error {
	var memory *device.MemoryError
	if !errors.As(err, &memory) {
		return err
	}
	// A tenth stays for workspaces, libraries, and what does not fit side by side.
	d := e.demand
	fits := max(0, (d.free-d.free/10-d.fixed)*int64(e.batch)/max(d.batch, 1))
	return &CapacityError{Batch: e.batch, Needs: d.fixed + d.batch, Free: d.free, Fits: min(int(fits), e.batch-1), Err: err}
}

// Net returns the net that the engine was made for.
func (e *Engine) Net() *model.Net { return e.net }

// Batch returns the largest number of images of one call.
func (e *Engine) Batch() int { return e.batch }

// Memory returns the bytes of the device's memory that the engine holds by now. Those
// for training are allocated by the first Backward.
func (e *Engine) Memory() int64 {
	bytes := e.arena.bytes + e.params.arena.bytes + e.work.bytes + e.stages.bytes()
	if e.direct != nil {
		bytes += e.direct.arena.bytes
	}
	for _, p := range []*program{e.train, e.predict, e.features} {
		if p != nil {
			bytes += p.arena.bytes
		}
	}
	return bytes
}

// working returns the address of parameter i as the libraries take it.
func (e *Engine) working(i int) device.Ptr {
	if e.kind == kernels.BFloat16 {
		return e.params.halfAt(i)
	}
	return e.params.weightAt(i)
}

// ready compiles a program, if need be, and sees to the workspace of its convolutions.
func (e *Engine) ready(p **program, train bool, layers int) error {
	if *p != nil {
		return nil
	}
	if train && e.reduction.by != nil {
		// Prediction must not want more workspace later: the graph of the step would go, and
		// only where something is predicted, but all ranks must capture it in the same step.
		if err := e.ready(&e.predict, false, len(e.net.Layers)); err != nil {
			return err
		}
	}
	made, err := e.compile(train, layers, false)
	if err == nil {
		e.demand.batch += max(0, int64(made.workspace()-e.workBytes))
		if err = e.reserve(made.workspace()); err != nil {
			err = errors.Join(err, made.close())
		}
	}
	if err != nil {
		return e.tooLarge(err)
	}
	*p = made
	return nil
}

// reserve makes the workspace at least so large. Graphs that hold its address go.
func (e *Engine) reserve(bytes int) error {
	if bytes <= e.workBytes {
		return nil
	}
	var errs []error
	for _, p := range []*program{e.train, e.predict, e.features} {
		if p != nil {
			errs = append(errs, p.dropGraphs())
		}
	}
	if err := errors.Join(append(errs, e.work.release())...); err != nil {
		return err
	}
	e.workBytes, e.workspace = 0, e.work.alloc(bytes)
	if err := e.work.err; err != nil {
		e.work.err = nil
		return err
	}
	e.workBytes = bytes
	return nil
}

// send queues the settings for the kernels.
func (e *Engine) send() error {
	return e.kernels.SetControl(e.stream, e.control, e.settings)
}

// checkLabels returns an error for a label that the net does not have, and else the
// number of labelled images.
func (e *Engine) checkLabels(labels []int32) (labelled int, err error) {
	for i, l := range labels {
		if l < -1 || int(l) >= e.net.Classes {
			return 0, fmt.Errorf("label %d of image %d is not in [0, %d), nor -1 for none", l, i, e.net.Classes)
		}
		if l >= 0 {
			labelled++
		}
	}
	return labelled, nil
}

// Backward implements model.Engine.
func (e *Engine) Backward(images []float32, labels []int32, step uint64) (model.Score, error) {
	if err := e.checkImages(images, len(labels)); err != nil {
		return model.Score{}, fmt.Errorf("backward: %w", err)
	}
	labelled, err := e.checkLabels(labels)
	if err == nil {
		err = e.direct.fill(e.stream, e.batch, bytesOf(images[:len(labels)*e.net.Input.Size()]), labels, nil)
	}
	if err != nil {
		return model.Score{}, fmt.Errorf("backward: %w", err)
	}
	return e.backward(e.direct, len(labels), labelled, step)
}

// SetFirst implements model.SlicedEngine. It changes a setting of the step, not the graph.
func (e *Engine) SetFirst(image int) { e.place = image }

// backward trains on the images of a slot.
func (e *Engine) backward(s *slot, n, labelled int, step uint64) (score model.Score, err error) {
	e.graded, e.lent = false, nil
	source := s.source
	if r := e.reduction.by; r != nil {
		if labelled == 0 {
			// What images without a label are read as does not matter. The others run the graph of
			// staged ones, and all ranks must run the same one.
			source = e.options.Travel
		}
		if labelled, err = r.Labelled(labelled); err != nil {
			return score, fmt.Errorf("backward: counting the labelled images of all ranks: %w", err)
		}
	}
	e.settings = kernels.Control{Step: step, First: uint64(e.place), Source: s.images, Views: s.views, Labels: s.labels,
		LossScale: 1 / float32(max(labelled, 1))}
	results := e.results[:8*e.batch]
	err = cmp.Or(e.stream.Wait(s.copied), e.execute(&e.train, true, len(e.net.Layers), source),
		e.stream.CopyOut(results, e.losses), e.reduction.wait(e.stream))
	if err != nil {
		return score, fmt.Errorf("backward: %w", err)
	}
	e.graded, e.ran, e.source = true, n, source
	for i := range n {
		rank := int32(littleEndian(results[4*(e.batch+i):]))
		if rank < 0 {
			continue
		}
		score.N++
		score.Loss += float64(math.Float32frombits(littleEndian(results[4*i:])))
		if rank < 1 {
			score.Top1++
		}
		if rank < 5 {
			score.Top5++
		}
	}
	return score, nil
}

// Update implements model.Engine. It needs a Backward since the last Update or Restore.
func (e *Engine) Update(h model.Hyper) error {
	switch {
	case e.closed:
		return fmt.Errorf("update: %w", ErrClosed)
	case !e.graded:
		return errors.New("update: there is no gradient: call Backward first")
	}
	for _, v := range [3]float32{h.LearningRate, h.Momentum, h.WeightDecay} {
		if !(v >= 0 && v <= math.MaxFloat32) {
			return fmt.Errorf("update: learning rate %g, momentum %g, weight decay %g: all must be finite and not negative",
				h.LearningRate, h.Momentum, h.WeightDecay)
		}
	}
	if e.lent != nil {
		if err := e.params.write(&e.transfer, e.params.gradient, e.lent); err != nil {
			return fmt.Errorf("update: the gradient: %w", err)
		}
	}
	e.graded, e.lent = false, nil
	e.settings.Rate, e.settings.Momentum, e.settings.Decay = h.LearningRate, h.Momentum, h.WeightDecay
	p := &e.params
	flags := e.results[:4*len(p.list)]
	err := cmp.Or(e.send(), e.stream.Clear(p.flags, len(flags)), e.update(), e.stream.CopyOut(flags, p.flags), e.stream.Sync())
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	if where := p.broken(flags); where != "" {
		return fmt.Errorf("update: %w", &model.NotFiniteError{Where: where})
	}
	return nil
}

// update queues the update of all parameters.
func (e *Engine) update() error {
	p := &e.params
	return e.kernels.Update(e.stream, p.weights, p.velocity, p.gradient, p.half, p.owner, p.segments, p.flags, e.control, p.chunks)
}

// broken returns where values are not finite, by what Update has flagged, or "": the
// first parameter that is so by itself, whose gradient is finite, or else the first one
// whose gradient is not.
func (p *params) broken(flags []byte) (where string) {
	const gradient, weight = 1, 2
	for i := range p.list {
		switch f := littleEndian(flags[4*i:]); {
		case f&gradient == 0 && f&weight != 0:
			return p.list[i].spec.Name
		case f != 0 && where == "":
			where = "the gradient of " + p.list[i].spec.Name
		}
	}
	return where
}

// Predict implements model.Engine.
func (e *Engine) Predict(images []float32, n int, probs []float32) error {
	if len(probs) < n*e.net.Classes {
		return fmt.Errorf("predict: room for %d probabilities of %d images with %d classes", len(probs), n, e.net.Classes)
	}
	err := e.infer(&e.predict, len(e.net.Layers), images, n)
	if err == nil {
		err = e.transfer.out(bytesOf(probs[:n*e.net.Classes]), e.probs)
	}
	if err != nil {
		return fmt.Errorf("predict: %w", err)
	}
	return nil
}

// infer runs a program for prediction.
func (e *Engine) infer(p **program, layers int, images []float32, n int) error {
	if err := e.checkImages(images, n); err != nil {
		return err
	}
	if err := e.direct.fill(e.stream, e.batch, bytesOf(images[:n*e.net.Input.Size()]), nil, nil); err != nil {
		return err
	}
	e.settings = kernels.Control{Source: e.direct.images, Views: e.direct.views, Labels: e.unlabeled}
	return cmp.Or(e.stream.Wait(e.direct.copied), e.execute(p, false, layers, e.direct.source), e.stream.Sync())
}

// checkImages returns an error unless there are n images and the engine takes so many.
func (e *Engine) checkImages(images []float32, n int) error {
	switch size := e.net.Input.Size(); {
	case e.closed:
		return ErrClosed
	case n < 1 || n > e.batch:
		return fmt.Errorf("%d images for an engine with a batch of %d: there must be 1..%d", n, e.batch, e.batch)
	case len(images) < n*size:
		return fmt.Errorf("%d values for %d images of %d", len(images), n, size)
	}
	return nil
}

// prepareImages queues what the images that came as source must go through before the
// first layer.
func (e *Engine) prepareImages(s device.Stream, source kernels.Source) error {
	in := e.net.Input
	return e.kernels.Prepare(s, e.control, e.input, kernels.Preparation{Source: source, Type: e.kind, C: in.C, H: in.H, W: in.W,
		Height: e.options.Pictures.Height, Width: e.options.Pictures.Width, Sub: e.sub, Pad: e.first.pad, Block: e.first.block,
		Out: kernels.Map{N: e.batch, H: e.first.h, W: e.first.w, C: e.first.channels}})
}

// Close implements model.Engine. What Alloc gave must have been given back.
func (e *Engine) Close() error {
	if e.closed {
		return nil
	}
	var errs []error
	if e.stream != nil {
		errs = append(errs, e.reduction.wait(e.stream))
	}
	errs = append(errs, e.stages.close())
	if e.direct != nil {
		errs = append(errs, e.direct.close())
	}
	for _, p := range []*program{e.train, e.predict, e.features} {
		if p != nil {
			errs = append(errs, p.close())
		}
	}
	errs = append(errs, e.reduction.close(), e.work.release(), e.arena.release(), e.params.arena.release())
	for _, b := range [][]byte{e.transfer.buffer, e.results} {
		if b != nil {
			errs = append(errs, e.device.ReleaseHost(b))
		}
	}
	if e.kernels != nil {
		errs = append(errs, e.kernels.Close())
	}
	if e.stream != nil {
		e.library.Forget(e.stream)
		errs = append(errs, e.stream.Close())
	}
	e.closed, e.mirror, e.lent, e.room = true, nil, nil, nil
	return errors.Join(errs...)
}
