package gpu

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
)

// A grouped convolution is also one without groups whose weights between groups are
// zeros. That is more to multiply, but any library can do it, and the kernels that it has
// for convolutions without groups may be so much better that it is faster. Such a layer is
// called dense here: its weights lie in the device's memory with the zeros between them,
// whose gradient is cleared in each step, so that they stay zeros.

// groups returns the groups that a convolution is computed with.
func (e *Engine) groups(l *model.Layer) int {
	if e.dense[l.Name] {
		return 1
	}
	return l.GroupCount()
}

// chooseDense makes those grouped convolutions dense that Options.Dense names, and those
// that the library has no way to compute.
func (e *Engine) chooseDense() error {
	e.dense = map[string]bool{}
	shapes, err := e.net.Shapes()
	if err != nil {
		return err
	}
	grouped := e.grouped()
	for _, name := range e.options.Dense {
		if !slices.Contains(grouped, name) {
			return fmt.Errorf("no grouped convolution is called %q: there are %q", name, grouped)
		}
		e.dense[name] = true
	}
	in, param := kernels.Map{N: e.batch, H: e.first.h, W: e.first.w, C: e.first.channels}, 0
	for i := range e.net.Layers {
		l, s := &e.net.Layers[i], shapes[i]
		out := kernels.Map{N: e.batch, H: s.H, W: s.W, C: s.C}
		if slices.Contains(grouped, l.Name) && !e.dense[l.Name] {
			unable, err := e.unable(&node{layer: l, index: i, in: value{m: in}, out: value{m: out}, param: param})
			if err != nil {
				return err
			}
			e.dense[l.Name] = unable
		}
		if l.Weighted() {
			param += 2
		}
		in = out
	}
	return nil
}

// unable reports whether the library cannot compute a convolution. Other errors than that
// come again when it is planned in earnest, and say more then.
func (e *Engine) unable(n *node) (bool, error) {
	c, err := e.convolution(n, true)
	if err != nil {
		return false, err
	}
	v, err := e.library.Convolution(*c)
	if err != nil {
		return errors.Is(err, device.ErrUnsupported), nil
	}
	return false, v.Close()
}

// grouped returns the names of the grouped convolutions.
func (e *Engine) grouped() (names []string) {
	for i := range e.net.Layers {
		if l := &e.net.Layers[i]; l.Kind == model.Conv && l.GroupCount() > 1 {
			names = append(names, l.Name)
		}
	}
	return names
}

// execute makes a program ready and runs it. A library may refuse a convolution that it
// has planned; then all grouped ones are made dense, and the program is run anew.
func (e *Engine) execute(p **program, train bool, layers int, source kernels.Source) error {
	run := func() error {
		if err := e.ready(p, train, layers); err != nil {
			return err
		}
		return cmp.Or(e.send(), (*p).run(e.stream, source))
	}
	err := run()
	if !errors.Is(err, device.ErrUnsupported) {
		return err
	}
	changed := false
	for _, name := range e.grouped() {
		changed = changed || !e.dense[name]
		e.dense[name] = true
	}
	if !changed {
		return err
	}
	if again := e.relay(); again != nil {
		return errors.Join(err, again)
	}
	return run()
}

// relay lays the parameters out anew, and drops the programs that know where they were.
func (e *Engine) relay() error {
	if s := e.reduction.stream; s != nil {
		if err := e.reduction.wait(s); err != nil { // some sums may be under way
			return err
		}
	}
	st, err := e.read(&mirror{weights: e.params.room(), velocity: e.params.room()})
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range []**program{&e.train, &e.predict, &e.features} {
		if *p != nil {
			errs = append(errs, (*p).close())
			*p = nil
		}
	}
	if err := errors.Join(append(errs, e.params.arena.release())...); err != nil {
		return err
	}
	e.params = layParams(e.net.Params(), e.rowMaps())
	e.params.arena.dev = e.device
	e.params.alloc(e.kind == kernels.BFloat16)
	e.demand.fixed = e.params.arena.bytes
	if err := e.params.arena.err; err != nil {
		return e.tooLarge(err)
	}
	return cmp.Or(e.params.setUp(&e.transfer), e.Restore(st))
}
