package loop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"alexnet/model"
	"alexnet/model/vector"
	"alexnet/train/collective"
	"alexnet/train/eval"
)

// A run of several ranks takes the steps of one: each rank trains on its slice of every
// batch, the gradients are combined by the images that they count, and every rank
// changes its own copy of the weights by the same gradient. An engine that can (a
// model.ReducingEngine) combines them itself, while it computes; a rank whose engine
// fails then ends the run without a word to the others, who may be waiting in a sum.
// What else decides the course of
// the run, such as a cancelled context or a damaged record, is told to all ranks first
// (share), so that all do the same in the same step. Rank 0 validates, and it alone
// writes.

// state is how a rank is when it meets the others.
type state float64

const (
	ready    state = iota
	stopping       // its context is cancelled
	starved        // its data cannot be read: what is reached can be saved
	failed         // it cannot go on
)

// meeting is what the ranks have told each other.
type meeting struct {
	sums  []float64 // of the numbers that each has brought
	worst state
	whose int // the first rank in that state
}

// share tells the other ranks how this one is, and adds up numbers over them. An error
// means that they cannot be reached.
func (t *trainer) share(s state, numbers ...float64) (meeting, error) {
	own := binary.LittleEndian.AppendUint64(nil, math.Float64bits(float64(s)))
	for _, v := range numbers {
		own = binary.LittleEndian.AppendUint64(own, math.Float64bits(v))
	}
	all, err := t.ranks.AllGather(own)
	if err != nil {
		return meeting{}, t.stopped(fmt.Errorf("step %d: %w", t.p.Step, err))
	}
	m := meeting{sums: make([]float64, len(numbers))}
	for rank := range t.ranks.World() {
		value := func(i int) float64 {
			return math.Float64frombits(binary.LittleEndian.Uint64(all[rank*len(own)+8*i:]))
		}
		if s := state(value(0)); s > m.worst {
			m.worst, m.whose = s, rank
		}
		for i := range numbers {
			m.sums[i] += value(1 + i)
		}
	}
	return m, nil
}

// failure returns the error of a meeting in which a rank could not go on: this one's
// own, if it has one.
func (m *meeting) failure(own error) error {
	if own == nil {
		own = &collective.AbortedError{Rank: m.whose}
	}
	return own
}

// first reports whether this is the rank that writes and speaks.
func (t *trainer) first() bool { return t.ranks.Rank() == 0 }

// say tells the user something that is so on all ranks.
func (t *trainer) say(text string) {
	if t.first() {
		t.hooks.Message(text)
	}
}

// sliceOf returns the most images of a batch that one of so many ranks gets.
func sliceOf(batch, world int) int { return (batch + world - 1) / world }

// Slice returns the most images of a batch that a rank of this run trains on at a time.
func (c Config) Slice() int { return sliceOf(c.Settings.Batch, c.ranks().World()) }

// ranks returns the group of the run.
func (c Config) ranks() collective.Group {
	if c.Ranks == nil {
		return collective.Alone{}
	}
	return c.Ranks
}

// checkRanks returns what keeps the engine from being one of several.
func (t *trainer) checkRanks() error {
	if t.ranks.World() == 1 {
		return nil
	}
	if _, ok := t.eng.(model.GradientEngine); !ok && !t.reduces {
		return fmt.Errorf("this engine keeps its gradients to itself: it cannot be one of %d ranks", t.ranks.World())
	}
	drops := slices.ContainsFunc(t.eng.Net().Layers, func(l model.Layer) bool { return l.Kind == model.Dropout && l.Rate > 0 })
	if t.sliced, _ = t.eng.(model.SlicedEngine); t.sliced == nil && drops {
		return fmt.Errorf("this engine cannot draw the dropout of a part of a batch: it cannot be one of %d ranks with net %s, as that of --device cpu can", t.ranks.World(), t.eng.Net().Name)
	}
	return nil
}

// compareStart returns an error if the ranks were not started alike.
func (t *trainer) compareStart() error {
	limits, resumed := t.cfg.Limits, -1
	limits.Workers, limits.Requests, limits.Cache = 0, 0, 0 // a machine's own affair
	if t.cfg.Resume != nil {
		resumed = t.cfg.Resume.Progress.Step
	}
	items := []struct {
		name  string
		value any
	}{
		{"net", t.eng.Net()},
		{"records", t.ds.Manifest.Digest},
		{"settings", t.cfg.Settings},
		{"limits", limits},
		{"checkpoint to resume from", resumed},
		{"engine", t.reduces},
	}
	var own []byte
	for _, item := range items {
		text, err := json.Marshal(item.value)
		if err != nil {
			return fmt.Errorf("%s: %w", item.name, err)
		}
		sum := fnv.New64a()
		sum.Write(text) // a hash never fails
		own = sum.Sum(own)
	}
	all, err := t.ranks.AllGather(own)
	if err != nil {
		return err
	}
	for at := len(own); at < len(all); at += len(own) {
		for i, item := range items {
			if string(all[8*i:8*i+8]) != string(all[at+8*i:at+8*i+8]) {
				return fmt.Errorf("rank %d was started with another %s than rank 0: start all ranks with the same command, on the same files", at/len(own), item.name)
			}
		}
	}
	return nil
}

// compareWeights returns an error if the ranks' weights are not the same bits.
func (t *trainer) compareWeights(s model.State) error {
	if t.ranks.World() == 1 {
		return nil
	}
	var data [][]float32
	for _, w := range slices.Concat(s.Weights, s.Velocity) {
		data = append(data, w.Data)
	}
	spans := vector.Spans(data...)
	sums := make([]uint64, len(spans))
	vector.Each(t.threads(), len(spans), func(i int) {
		span := spans[i]
		for _, v := range data[span.Slice][span.From:span.To] {
			sums[i] = (sums[i] ^ uint64(math.Float32bits(v))) * fnvPrime
		}
	})
	total := uint64(len(spans))
	for _, sum := range sums {
		total = (total ^ sum) * fnvPrime
	}
	all, err := t.ranks.AllGather(binary.LittleEndian.AppendUint64(nil, total))
	if err != nil {
		return t.stopped(fmt.Errorf("step %d: %w", t.p.Step, err))
	}
	for at := 8; at < len(all); at += 8 {
		if string(all[at:at+8]) != string(all[:8]) {
			return t.stopped(fmt.Errorf("step %d: the weights of rank %d differ from those of rank 0: the ranks' programs, processors or first weights differ", t.p.Step, at/8))
		}
	}
	return nil
}

// compareFirst is compareWeights before the first step.
func (t *trainer) compareFirst() error {
	if t.ranks.World() == 1 {
		return nil // where the engine may have to fetch them
	}
	s, err := t.state()
	if err != nil {
		return err
	}
	return t.compareWeights(s)
}

const fnvPrime = 1099511628211

// interrupted reports whether the context of any rank is cancelled.
func (t *trainer) interrupted(ctx context.Context) (bool, error) {
	s := ready
	if cancelled(ctx) {
		s = stopping
	}
	m, err := t.share(s)
	return m.worst == stopping, err
}

// dataError is an error of the data.
type dataError struct{ err error }

func (e *dataError) Error() string { return e.err.Error() }
func (e *dataError) Unwrap() error { return e.err }

// whole is the part of a lesson that does not differ between ranks.
type whole struct{ images, skipped int }

// meetLesson tells the other ranks how the wait for a lesson has ended. It reports false
// when the run is to stop. When one rank has no lesson, all give theirs back.
func (t *trainer) meetLesson(l *lesson, s state, err error) (w whole, ok bool, _ error) {
	var data *dataError
	switch {
	case errors.As(err, &data):
		s, err = starved, data.err
	case err != nil:
		s = failed
	}
	m, shareErr := t.share(s, float64(l.N), float64(len(l.Skipped)))
	if shareErr == nil && m.worst == ready {
		return whole{int(m.sums[0]), int(m.sums[1])}, true, nil
	}
	if l.held {
		err = errors.Join(err, l.release())
	}
	switch {
	case shareErr != nil:
		return w, false, errors.Join(err, shareErr)
	case m.worst == failed:
		return w, false, t.stopped(m.failure(err))
	case m.worst == starved:
		return w, false, t.dataFailed(m.failure(err))
	}
	return w, false, err
}

// meetScore adds up what the ranks' gradients count.
func (t *trainer) meetScore(own model.Score, err error) (model.Score, error) {
	s := ready
	if err != nil {
		s = failed
	}
	m, shareErr := t.share(s, float64(own.N), own.Loss, float64(own.Top1), float64(own.Top5))
	switch {
	case shareErr != nil:
		return own, errors.Join(err, shareErr)
	case m.worst == failed:
		return own, t.stopped(fmt.Errorf("step %d: %w", t.p.Step, m.failure(err)))
	}
	return model.Score{N: int(m.sums[0]), Loss: m.sums[1], Top1: int(m.sums[2]), Top5: int(m.sums[3])}, nil
}

// allReduce sums the gradient over the ranks, and does nothing else meanwhile.
func (t *trainer) allReduce(grads [][]float32) error {
	begin := time.Now()
	for _, bucket := range collective.Buckets(grads) {
		if err := t.ranks.AllReduce(bucket); err != nil {
			return t.stopped(fmt.Errorf("step %d: %w", t.p.Step, err))
		}
	}
	took := time.Since(begin)
	t.summed(took, took)
	return nil
}

// summed counts a time that sums over the ranks took, and how much of it was waited for.
func (t *trainer) summed(took, waited time.Duration) {
	for _, s := range []*span{&t.window, &t.epoch} {
		s.summing += took
		s.waited += waited
	}
}

// errStopped says that a validation was given up because rank 0 is cancelled.
var errStopped = errors.New("cancelled")

// validate measures the engine of rank 0 on the validation split, and tells all ranks the
// result. It returns errStopped when its context is cancelled.
func (t *trainer) validate(ctx context.Context) (r eval.Result, err error) {
	s := ready
	if t.first() {
		r, err = t.evaluate(ctx)
		switch {
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			s, err = stopping, nil
		case err != nil:
			s = starved
		}
	}
	m, shareErr := t.share(s, float64(r.Images), r.Loss, float64(r.Top1), float64(r.Top5))
	switch {
	case shareErr != nil:
		return r, errors.Join(err, shareErr)
	case m.worst == starved:
		return r, &dataError{m.failure(err)}
	case m.worst == stopping:
		return r, errStopped
	}
	return eval.Result{Images: int(m.sums[0]), Loss: m.sums[1], Top1: int(m.sums[2]), Top5: int(m.sums[3])}, nil
}
