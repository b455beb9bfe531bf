package gpu

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
)

// stageDepth is how many batches may be on their way or waiting at a time.
const stageDepth = 3

// slot is the device's memory for a batch as it travelled.
type slot struct {
	dev    device.Device
	arena  arena
	source kernels.Source
	image  int // bytes of one
	images device.Ptr
	views  device.Ptr // right before the labels
	labels device.Ptr
	pinned []byte       // of the host: views and labels, and images if they are not pinned
	direct bool         // they are not
	copied device.Event // the last copy is done
}

// newSlot allocates a slot for images that come as source.
func (e *Engine) newSlot(source kernels.Source, direct bool) (*slot, error) {
	s := &slot{dev: e.device, arena: arena{dev: e.device}, source: source, image: e.net.Input.Size() * source.Bytes(), direct: direct}
	s.images = s.arena.alloc(e.batch * s.image)
	s.views = s.arena.alloc(e.batch * (kernels.PlacementBytes + 4))
	s.labels = s.views.Add(e.batch * kernels.PlacementBytes)
	if err := s.arena.err; err != nil {
		return nil, errors.Join(e.tooLarge(err), s.close())
	}
	host := e.batch * (kernels.PlacementBytes + 4)
	if direct {
		host += e.batch * s.image
	}
	var err error
	if s.copied, err = e.device.NewEvent(); err == nil {
		s.pinned, err = e.device.AllocHost(host)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// fill queues the copy of a batch, whose rest up to so many images is cleared, on a
// stream. Labels may be nil.
func (s *slot) fill(on device.Stream, batch int, images []byte, labels []int32, placements []model.Placement) error {
	head := batch * (kernels.PlacementBytes + 4)
	clear(s.pinned[:batch*kernels.PlacementBytes])
	for i, p := range placements {
		k := kernels.Placement{Top: int32(p.Top), Left: int32(p.Left), Shift: p.Shift}
		if p.Flip {
			k.Flip = 1
		}
		k.Put(s.pinned[i*kernels.PlacementBytes:])
	}
	for i := range batch {
		label := int32(-1)
		if i < len(labels) {
			label = labels[i]
		}
		binary.LittleEndian.PutUint32(s.pinned[batch*kernels.PlacementBytes+4*i:], uint32(label))
	}
	if s.direct {
		images = s.pinned[head:][:copy(s.pinned[head:], images)]
	}
	errs := []error{on.CopyIn(s.views, s.pinned[:head]), on.CopyIn(s.images, images)}
	if rest := batch*s.image - len(images); rest > 0 {
		errs = append(errs, on.Clear(s.images.Add(len(images)), rest))
	}
	return cmp.Or(append(errs, on.Record(s.copied))...)
}

func (s *slot) close() error {
	errs := []error{s.arena.release()}
	if s.copied != nil {
		errs = append(errs, s.copied.Close())
	}
	if s.pinned != nil {
		errs = append(errs, s.dev.ReleaseHost(s.pinned))
	}
	return errors.Join(errs...)
}

// staging is the ring of slots for batches that come ahead of their step.
type staging struct {
	stream device.Stream // copies; nil until the first Stage
	all    []*slot
	free   []*slot
}

func (g *staging) bytes() (n int64) {
	for _, s := range g.all {
		n += s.arena.bytes
	}
	return n
}

func (g *staging) close() error {
	var errs []error
	if g.stream != nil {
		errs = append(errs, g.stream.Sync())
	}
	for _, s := range g.all {
		errs = append(errs, s.close())
	}
	if g.stream != nil {
		errs = append(errs, g.stream.Close())
	}
	*g = staging{}
	return errors.Join(errs...)
}

// staged is a batch in a slot: a model.Staged.
type staged struct {
	e        *Engine
	slot     *slot // nil when it was used or dropped
	n        int
	labelled int
}

// Alloc implements model.StagingEngine. Like Free it may be called from any goroutine.
func (e *Engine) Alloc(bytes int) ([]byte, error) {
	e.host.Lock()
	defer e.host.Unlock()
	return e.device.AllocHost(bytes)
}

// Free implements model.StagingEngine.
func (e *Engine) Free(b []byte) error {
	e.host.Lock()
	defer e.host.Unlock()
	return e.device.ReleaseHost(b)
}

// Stages implements model.StagingEngine.
func (e *Engine) Stages() int { return stageDepth }

// Form implements model.StagingEngine.
func (e *Engine) Form() model.Form {
	switch s := e.options.Travel; {
	case s.Stored():
		return model.FormStored
	case s == kernels.PlanarBFloat16:
		return model.FormBFloat16
	}
	return model.FormFloat32
}

// Stage implements model.StagingEngine.
func (e *Engine) Stage(images []byte, labels []int32, placements []model.Placement) (model.Staged, error) {
	n, travel := len(labels), e.options.Travel
	image := e.net.Input.Size() * travel.Bytes()
	switch {
	case e.closed:
		return nil, fmt.Errorf("stage: %w", ErrClosed)
	case n < 1 || n > e.batch:
		return nil, fmt.Errorf("stage: %d images for an engine with a batch of %d: there must be 1..%d", n, e.batch, e.batch)
	case len(images) != n*image:
		return nil, fmt.Errorf("stage: %d bytes for %d images of %d", len(images), n, image)
	case travel.Stored() && len(placements) != n:
		return nil, fmt.Errorf("stage: %d placements for %d images", len(placements), n)
	}
	for i, p := range placements {
		if in := e.net.Input; travel.Stored() && (p.Top < 0 || p.Left < 0 || p.Top+in.H > e.options.Pictures.Height || p.Left+in.W > e.options.Pictures.Width) {
			return nil, fmt.Errorf("stage: image %d: a crop of %dx%d at row %d, column %d is not inside of pictures of %dx%d",
				i, in.H, in.W, p.Top, p.Left, e.options.Pictures.Height, e.options.Pictures.Width)
		}
	}
	labelled, err := e.checkLabels(labels)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	s, err := e.stages.take(e)
	if err == nil {
		if err = s.fill(e.stages.stream, e.batch, images, labels, placements); err != nil {
			err = errors.Join(err, e.stages.stream.Sync()) // what was queued reads images
			e.stages.free = append(e.stages.free, s)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	return &staged{e: e, slot: s, n: n, labelled: labelled}, nil
}

// take returns a free slot, or a new one.
func (g *staging) take(e *Engine) (*slot, error) {
	if n := len(g.free); n > 0 {
		s := g.free[n-1]
		g.free = g.free[:n-1]
		return s, nil
	}
	if len(g.all) == stageDepth {
		return nil, fmt.Errorf("%d batches are staged already, more than that have no room", stageDepth)
	}
	if g.stream == nil {
		var err error
		if g.stream, err = e.device.NewStream(); err != nil {
			return nil, err
		}
	}
	s, err := e.newSlot(e.options.Travel, false)
	if err != nil {
		return nil, err
	}
	g.all = append(g.all, s)
	return s, nil
}

// Copied implements model.Staged.
func (t *staged) Copied() error {
	if t.slot == nil {
		return nil
	}
	return t.slot.copied.Sync()
}

// Drop implements model.Staged.
func (t *staged) Drop() error {
	if t.slot == nil {
		return nil
	}
	err := t.slot.copied.Sync()
	t.giveBack()
	return err
}

func (t *staged) giveBack() {
	t.e.stages.free = append(t.e.stages.free, t.slot)
	t.slot = nil
}

// BackwardStaged implements model.StagingEngine.
func (e *Engine) BackwardStaged(batch model.Staged, step uint64) (model.Score, error) {
	t, ok := batch.(*staged)
	switch {
	case e.closed:
		return model.Score{}, fmt.Errorf("backward: %w", ErrClosed)
	case !ok || t.e != e || t.slot == nil:
		return model.Score{}, errors.New("backward: no batch of this engine's Stage, or one that was used or dropped")
	}
	score, err := e.backward(t.slot, t.n, t.labelled, step)
	if err != nil {
		return score, errors.Join(err, t.Drop()) // it may not have come to wait for the copy
	}
	t.giveBack() // the step is done
	return score, nil
}
