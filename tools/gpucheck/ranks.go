package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"alexnet/model"
	"alexnet/model/gpu"
	"alexnet/model/gpu/soft"
	"alexnet/tools/cli"
	"alexnet/train/collective"
)

// alexnetValues is how many values AlexNet's gradient has, about.
const alexnetValues = 61_000_000

// errOneGPU says why a part that needs two was left out.
var errOneGPU = errors.New("there is one GPU")

// rank is one of two GPUs that train together, each from a goroutine of its own.
type rank struct {
	machine *gpu.Machine
	group   collective.Group
	sums    gpu.Communicator
}

// checkRanks: two GPUs are connected, train together as one does, and how fast they sum.
func checkRanks(ctx context.Context, s *site, r *recorder) (err error) {
	if s.second == nil {
		r.skip("ranks", "there is no device")
		return nil
	}
	second, err := s.second()
	if errors.Is(err, errOneGPU) {
		r.skip("ranks", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.Close()) }()
	var ranks [2]rank
	for i, g := range collective.Goroutines(len(ranks)) {
		ranks[i] = rank{machine: s.machine, group: g}
	}
	ranks[1].machine = second
	err = each(&ranks, func(r *rank) (err error) {
		r.sums, err = r.machine.Connect(r.group)
		return err
	})
	var detached *gpu.DetachedError
	if errors.As(err, &detached) {
		r.skip("ranks", err.Error())
		return nil
	}
	if !r.check("two GPUs are connected", err) {
		return nil
	}
	defer func() { err = errors.Join(err, each(&ranks, func(r *rank) error { return r.sums.Close() })) }()
	r.fact("", "what sums", ranks[0].sums.Name())
	if err := s.besideOne(&ranks, r); err != nil {
		return err
	}
	return s.timeSums(ctx, &ranks, r)
}

// each calls f for both ranks at once. One that fails ends what the other waits for.
func each(ranks *[2]rank, f func(r *rank) error) error {
	var errs [len(ranks)]error
	var wg sync.WaitGroup
	for i := range ranks {
		wg.Go(func() {
			if errs[i] = f(&ranks[i]); errs[i] != nil {
				ranks[i].group.Abort(1)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// besideOne trains on two GPUs and on one.
func (s *site) besideOne(ranks *[2]rank, r *recorder) error {
	const seed, steps, limit = 37, 3, 1e-3
	net, err := s.net()
	if err != nil {
		return err
	}
	o := settings{batch: s.batch, seed: seed, precision: fp32}
	st := s.start(net)
	one, err := s.train(net, st, o, 0, steps)
	if err != nil {
		return err
	}
	var states [len(ranks)]model.State
	what := fmt.Sprintf("%s, %s, %d steps: ", net.Name, fp32, steps)
	err = each(ranks, func(r *rank) (err error) {
		states[r.group.Rank()], err = r.train(net, st, o, steps)
		return err
	})
	if !r.check(what+"two GPUs train", err) {
		return nil
	}
	r.check(what+"both have the same weights", firstDifference(states[0], states[1]))
	worst := 0.0
	for i, v := range one.state.Velocity {
		angle, length := apart(states[0].Velocity[i].Data, v.Data)
		worst = max(worst, angle, length)
	}
	r.within(what+"velocities, beside one GPU's", worst, limit, "")
	return nil
}

// train takes steps as one of the ranks, each on its half of the batch.
func (r *rank) train(net *model.Net, st model.State, o settings, steps int) (_ model.State, err error) {
	half := (o.batch + 1) / 2
	e, err := gpu.New(net, st, gpu.Options{Machine: r.machine, Batch: half, Seed: o.seed, Precision: gpu.Precision(o.precision), Reducer: r.sums})
	if err != nil {
		return model.State{}, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	from, size := r.group.Rank()*half, net.Input.Size()
	to := min(from+half, o.batch)
	e.SetFirst(from)
	for step := range uint64(steps) {
		images, labels := newNoise(o.seed^step<<32).batch(net, o.batch, true)
		if _, err := e.Backward(images[from*size:to*size], labels[from:to], step); err != nil {
			return model.State{}, err
		}
		if err := e.Update(hyper()); err != nil {
			return model.State{}, err
		}
	}
	return e.Snapshot()
}

// timeSums measures the sum of a whole gradient.
func (s *site) timeSums(ctx context.Context, ranks *[2]rank, r *recorder) error {
	values, warm, times := alexnetValues, 3, 20
	if s.standsIn {
		values, warm, times = 1000, 1, 1
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var took [len(ranks)]time.Duration
	err := each(ranks, func(r *rank) (err error) {
		took[r.group.Rank()], err = r.sum(values, warm, times)
		return err
	})
	if what := fmt.Sprintf("sums of %s values", cli.FormatCount(values)); r.check(what, err) {
		seconds := max(took[0], took[1]).Seconds() / float64(times)
		r.measure(what, 1000*seconds, "ms", fmt.Sprintf("%.3g GB/s of values, %d GPUs", float64(4*values)/seconds/1e9, len(ranks)))
	}
	return nil
}

// sum sums so many values some times, and returns the time of all but the first few.
func (r *rank) sum(values, warm, times int) (took time.Duration, err error) {
	d := r.machine.Device
	stream, err := d.NewStream()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	at, err := d.Alloc(4 * values)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.sums.Wait(stream), d.Release(at)) }()
	if err := stream.Clear(at, 4*values); err != nil {
		return 0, err
	}
	var began time.Time
	for i := range warm + times {
		if i == warm {
			began = time.Now()
		}
		if err := errors.Join(r.sums.AllReduce(stream, at, values), r.sums.Wait(stream)); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// secondGPU opens the GPU behind that one.
func secondGPU(ordinal int) (*gpu.Machine, error) {
	n, err := gpu.Count()
	switch {
	case err != nil:
		return nil, err
	case n < 2:
		return nil, errOneGPU
	}
	return gpu.Open((ordinal + 1) % n)
}

// softSums sum for two GPUs of plain Go.
type softSums struct{ *soft.Reducer }

func (softSums) Name() string { return "goroutines" }
func (softSums) Close() error { return nil }

// joinSoft connects GPUs of plain Go.
func joinSoft(ranks gpu.Ranks) (gpu.Communicator, error) {
	g, ok := ranks.(collective.Group)
	if !ok {
		return nil, &gpu.DetachedError{Err: fmt.Errorf("ranks of type %T cannot sum", ranks)}
	}
	return softSums{soft.NewReducer(g)}, nil
}
