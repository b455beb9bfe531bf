package convert

import (
	"context"
	"fmt"
	"slices"

	"alexnet/ingest/source"
	"alexnet/ingest/stats"
	"alexnet/records"
)

// keepBytes bounds the memory for squares that are kept.
const keepBytes = 256 << 20

// makeBaseline makes what int16 pixels are differences from: the mean picture
// of a sample of the training split, rounded to integers. It need not be
// exact, because the exact mean is stored beside it; it only has to be known
// before the first shard is written.
//
// The sample is the first of a seeded permutation, so it follows from the
// request. It is kept in the state all the same, to save its decoding.
func (j *job) makeBaseline(ctx context.Context) error {
	shape := j.cfg.Shape()
	switch {
	case j.cfg.Pixels != records.Int16:
		j.baseline = make([]uint8, shape.Size()) // of zeros: nothing is subtracted
		return nil
	case j.lent != nil:
		j.baseline = lentBaseline(j.lent)
		return nil
	}
	kept, err := readBaseline(ctx, j.state.out, shape)
	if err != nil {
		return err
	}
	if kept != nil && kept.N() > 0 {
		j.baseline = kept.Baseline()
		return nil
	}
	train := j.plan.split(source.Train)
	var sample []*source.Item
	for _, at := range records.Permutation("baseline", j.cfg.Seed, 0, len(train.Items)) {
		if len(sample) == j.cfg.BaselineSample {
			break
		}
		sample = append(sample, &train.Items[at])
	}
	j.report(func(p *Progress) { *p = Progress{Phase: PhaseBaseline, Total: len(sample)} })
	sums := stats.New(shape.C, shape.H, shape.W)
	keep := map[*source.Item]bool{} // those whose squares this process needs again
	if len(sample) == len(train.Items) && len(sample)*shape.Size() <= keepBytes && !j.cfg.Prepare {
		for _, i := range j.plan.own {
			for _, it := range j.plan.shards[i].items {
				keep[it] = true
			}
		}
	}
	var last *Reject
	m := newMaker(j)
	defer m.dec.Close()
	err = j.inOrder(ctx, m, j.newTasks(), sample, func(t *task) error {
		j.report(func(p *Progress) { p.Done++ })
		reject, err := t.reject(train.Name)
		if err != nil {
			return err
		}
		if reject != nil { // counted when its shard is made
			last = reject
			return nil
		}
		if keep[t.item] && t.damage == nil { // a damaged one is reported when its shard is made
			j.squares.Store(t.item, square{slices.Clone(t.pixels), t.width, t.height, t.xxh3})
		}
		return sums.Add(t.pixels)
	})
	if err != nil {
		return err
	}
	if sums.N() == 0 {
		return noPictureError(len(sample), last)
	}
	j.baseline = sums.Baseline()
	return j.state.writeBaseline(ctx, sums)
}

// noPictureError says that none of n training files gave a picture.
func noPictureError(n int, example *Reject) error {
	return fmt.Errorf("none of %d training files gives a picture; one of them is %s: %s: %s", n, example.Key, example.Reason, example.Message)
}

// lentBaseline is the baseline for records that take their mean from others:
// the others' own, or, where those have none, their mean rounded.
func lentBaseline(from *records.Dataset) []uint8 {
	if from.Manifest.Pixels == records.Int16 {
		return from.Mean.Baseline
	}
	base := make([]uint8, len(from.Mean.Mean))
	for i, v := range from.Mean.Mean {
		base[i] = uint8(v + 0.5)
	}
	return base
}
