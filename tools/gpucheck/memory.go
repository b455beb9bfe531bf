package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/tools/cli"
)

// checkMemory: the engine says what it takes, gives all of it back, and says which batch
// would fit when there is too little.
func checkMemory(ctx context.Context, s *site, r *recorder) error {
	if s.memory == nil {
		r.skip("memory", "there is no device")
		return nil
	}
	net, err := s.net()
	if err != nil {
		return err
	}
	for _, precision := range s.precisions {
		r.failing("what an engine of "+precision+" takes", func() error { return s.takes(r, net, precision) })
	}
	r.failing("too little memory", func() error { return s.tooMuch(r, net) })
	r.failing("making and closing engines", func() error { return s.cycle(ctx, r) }) // for as long as there is time
	return nil
}

// takes compares what an engine says it takes with what was allocated.
func (s *site) takes(r *recorder, net *model.Net, precision string) error {
	what := func(w string) string { return fmt.Sprintf("%s, batch %d, %s: %s", net.Name, s.batch, precision, w) }
	bytes, host := s.memory.held()
	free, err := s.device.FreeMemory()
	if err != nil {
		return err
	}
	err = s.with(net, s.start(net), settings{batch: s.batch, seed: 1, precision: precision}, func(e model.Engine) error {
		if _, err := steps(e, 1, 0, 2, s.batch); err != nil {
			return err
		}
		now, pinned := s.memory.held()
		left, err := s.device.FreeMemory()
		if err != nil {
			return err
		}
		taken, mib := now-bytes, func(n int64) string { return cli.FormatCount(n >> 20) }
		note := fmt.Sprintf("%s MiB of the device, %s page-locked; %s MiB less are free", mib(taken), mib(pinned-host), mib(free-left))
		if m, ok := e.(interface{ Memory() int64 }); ok {
			r.within(what("what it says, beside what it allocated"), math.Abs(float64(m.Memory()-taken))/float64(taken), 0.01, note)
		} else {
			r.skip(what("what it says"), "it says nothing; "+note)
		}
		return nil
	})
	if err != nil {
		return err
	}
	after, pinned := s.memory.held()
	if after != bytes || pinned != host {
		err = fmt.Errorf("%d bytes of the device and %d page-locked ones are left", after-bytes, pinned-host)
	}
	r.check(what("all is given back"), err)
	return nil
}

// cycle makes and closes engines and looks whether the device has as much memory after as
// before. The first one does not count: drivers and libraries keep some for good.
func (s *site) cycle(ctx context.Context, r *recorder) error {
	net, err := tinyNet()
	if err != nil {
		return err
	}
	once := func(i int) error {
		o := settings{batch: 2, seed: 1, precision: s.precisions[i%len(s.precisions)]}
		return s.with(net, s.start(net), o, func(e model.Engine) error {
			_, err := steps(e, 1, 0, 1, 2)
			return err
		})
	}
	for i := range s.precisions {
		if err := once(i); err != nil {
			return err
		}
	}
	before, err := s.device.FreeMemory()
	if err != nil {
		return err
	}
	n := 0
	for ; n < s.cycles && ctx.Err() == nil; n++ {
		if err := once(n); err != nil {
			return fmt.Errorf("engine %d: %w", n+1, err)
		}
	}
	after, err := s.device.FreeMemory()
	if err != nil {
		return err
	}
	bytes, host := s.memory.held()
	// A leak of one page of 2 MiB in each would be seen: half as much is the limit.
	r.within(fmt.Sprintf("MiB lost in making and closing %d engines", n), float64(before-after)/(1<<20), float64(max(n, 2)), "")
	if bytes != 0 || host != 0 {
		err = fmt.Errorf("%d bytes of the device and %d page-locked ones are left", bytes, host)
	}
	r.check("allocations are given back", err)
	if n < s.cycles {
		r.skip(fmt.Sprintf("the other %d engines", s.cycles-n), "the time was over")
	}
	return nil
}

// tooMuch asks for a batch that cannot fit, and then for the one that is said to.
func (s *site) tooMuch(r *recorder, net *model.Net) (err error) {
	o := settings{batch: s.batch, seed: 1, precision: s.precisions[0]}
	var takes [2]int64 // by engines of one batch and of two
	for i := range takes {
		wide := o
		wide.batch *= i + 1
		err := s.with(net, s.start(net), wide, func(e model.Engine) error {
			_, err := steps(e, 1, 0, 1, 1)
			takes[i], _ = s.memory.held()
			return err
		})
		if err != nil {
			return err
		}
	}
	each := (takes[1] - takes[0]) / int64(o.batch) // bytes an image
	ballast, err := s.ballast()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.device.Release(ballast)) }()
	free, err := s.device.FreeMemory()
	if err != nil {
		return err
	}
	before, hostBefore := s.memory.held()
	images, labels := newNoise(1).batch(net, 1, false)
	step := func(e model.Engine) error {
		_, err := e.Backward(images, labels, 0)
		return err
	}
	huge := o
	huge.batch = int(free / max(each, 1) * 3 / 2)
	err = s.with(net, s.start(net), huge, step)
	fits, ok := s.capacity(err)
	switch {
	case err == nil:
		err = fmt.Errorf("a batch of %d was taken", huge.batch)
	case !ok:
		err = fmt.Errorf("a batch of %d: not the error that says what would fit: %w", huge.batch, err)
	case fits < 1 || fits >= huge.batch || !strings.Contains(err.Error(), fmt.Sprint(fits)):
		err = fmt.Errorf("a batch of %d: %d would fit: %w", huge.batch, fits, err)
	default:
		r.fact("", fmt.Sprintf("what a batch of %s is told", cli.FormatCount(huge.batch)), err.Error())
		err = nil
	}
	if !r.check("too large a batch is told which would fit", err) {
		return nil
	}
	if bytes, host := s.memory.held(); bytes != before || host != hostBefore {
		err = fmt.Errorf("%d bytes of the device and %d page-locked ones are left", bytes-before, host-hostBefore)
	}
	r.check("nothing is left of it", err)
	r.check("a batch that is said to fit does", s.narrowed(r, net, o, fits, step))
	r.check("the device works afterwards", s.with(net, s.start(net), o, func(e model.Engine) error {
		_, err := steps(e, 1, 0, 2, s.batch)
		return err
	}))
	return nil
}

// ballast takes memory until a few GiB are free. With all of it, batches would be so large
// that the host's memory, or the library's indices, would be the limit.
func (s *site) ballast() (device.Ptr, error) {
	const leave, least = 4 << 30, 256
	free, err := s.device.FreeMemory()
	if err != nil {
		return 0, err
	}
	return s.device.Alloc(int(max(free-leave, least)))
}

// narrowed tries the batch that is said to fit. An answer that was given before all of a
// step's memory was known may be followed by a smaller one, but not often.
func (s *site) narrowed(r *recorder, net *model.Net, o settings, batch int, step func(model.Engine) error) error {
	const answers = 4
	said := []int{batch}
	for {
		o.batch = batch
		err := s.with(net, s.start(net), o, step)
		smaller, ok := s.capacity(err)
		if err == nil {
			r.fact("", "batches that were said to fit, in turn", fmt.Sprint(said))
			return nil
		}
		if !ok || smaller < 1 || smaller >= batch || len(said) == answers {
			return fmt.Errorf("a batch of %d, after %v: %w", batch, said, err)
		}
		batch = smaller
		said = append(said, batch)
	}
}
