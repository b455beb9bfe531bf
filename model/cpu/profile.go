package cpu

import (
	"time"

	"alexnet/model"
)

// Pass is a part of the work on a layer.
type Pass string

// The passes. Layers with weights have their backward pass in two, where the kernel
// does one after the other.
const (
	PassImages   Pass = "images"   // looking at the images of a batch, and copying them where that is needed
	PassForward  Pass = "forward"  // of a step of training
	PassBackward Pass = "backward" // all gradients
	PassWeights  Pass = "weights"  // the gradients of weights and biases
	PassData     Pass = "data"     // the gradient of the input
	PassUpdate   Pass = "update"   // of all weights
	PassPredict  Pass = "predict"  // forward, without training
)

// Timing is how long a pass of a layer took.
type Timing struct {
	Layer string // empty: not one layer's
	Kind  model.Kind
	Pass  Pass
	Calls int
	Time  time.Duration // of all calls
	// Fastest is the time of the fastest call: what it takes when nothing else runs on
	// the machine.
	Fastest time.Duration
	// Operations are the floating-point operations of convolutions and fully connected
	// layers, a multiply-add counting as two; 0 for others.
	Operations float64
}

// Profile says where the time of an engine has gone. Parts are in the order in which a
// step comes to them.
type Profile struct {
	Backwards, Updates, Predictions int // calls
	// Wall is the time in these calls; what it is more than the sum of the parts is the
	// graph's and the engine's own.
	Wall  time.Duration
	Parts []Timing
}

// Profile returns what has been gathered since the last call, or since the engine was
// made, and begins anew. It is empty without Options.Profile.
func (e *Engine) Profile() Profile {
	if e.profile == nil {
		return Profile{}
	}
	p := e.profile.Profile
	*e.profile = *newProfiler(e.net)
	return p
}

// profiler gathers a profile. A nil one does nothing.
type profiler struct {
	Profile
	macs  map[string]int64 // of an image, by layer
	index map[partKey]int  // in Parts
	kinds map[string]model.Kind
}

type partKey struct {
	layer string
	pass  Pass
}

func newProfiler(net *model.Net) *profiler {
	p := &profiler{macs: map[string]int64{}, index: map[partKey]int{}, kinds: map[string]model.Kind{}}
	for _, row := range net.Table() {
		p.macs[row.Layer], p.kinds[row.Layer] = row.MACs, row.Kind
	}
	return p
}

// now returns the time, if anybody wants to know.
func (p *profiler) now() (t time.Time) {
	if p != nil {
		t = time.Now()
	}
	return t
}

// add counts the time from one moment to another for a pass over n images.
func (p *profiler) add(layer string, pass Pass, from, to time.Time, n int) {
	if p == nil {
		return
	}
	k := partKey{layer, pass}
	i, ok := p.index[k]
	if !ok {
		i = len(p.Parts)
		p.index[k] = i
		p.Parts = append(p.Parts, Timing{Layer: layer, Kind: p.kinds[layer], Pass: pass})
	}
	t := &p.Parts[i]
	took := to.Sub(from)
	if t.Calls == 0 || took < t.Fastest {
		t.Fastest = took
	}
	t.Calls++
	t.Time += took
	products := 1.0
	if pass == PassBackward {
		products = 2 // of the weights' gradient and of the input's
	}
	t.Operations += products * 2 * float64(p.macs[layer]) * float64(n)
}

// ended counts a call of the engine.
func (p *profiler) ended(calls func(*Profile) *int, from time.Time) {
	if p != nil {
		*calls(&p.Profile)++
		p.Wall += time.Since(from)
	}
}

// split says that a kernel's backward has the gradients of weights and biases, and now
// begins that of the input.
func (c *call) split() {
	c.graded()
	c.between = c.profile.now()
}

// timed runs a kernel's forward or backward.
func (o *op) timed(t *buffers) {
	c, p := o.call, o.call.profile
	from := p.now()
	if o.part == forwardPart {
		o.plan.kernel.forward(c, t)
		pass := PassForward
		if c.labels == nil {
			pass = PassPredict
		}
		p.add(o.name, pass, from, p.now(), c.n)
		return
	}
	c.between = time.Time{}
	o.plan.kernel.backward(c, t)
	to := p.now()
	switch {
	case o.trained && !o.needDX:
		p.add(o.name, PassWeights, from, to, c.n)
	case c.between.IsZero():
		p.add(o.name, PassBackward, from, to, c.n)
	default:
		p.add(o.name, PassWeights, from, c.between, c.n)
		p.add(o.name, PassData, c.between, to, c.n)
	}
}
