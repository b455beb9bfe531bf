package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
)

// Guesses is the number of classes in a Prediction, where there are so many.
const Guesses = 5

// Prediction is what the average of the nets says of a record.
type Prediction struct {
	// Row is the record's row in the split, Label its class or -1.
	Row   int
	Label int32
	// Classes are the most probable classes, at most Guesses, in the order of their
	// Probabilities; of equals the lower index comes first. The slices are borrowed
	// until the callback returns.
	Classes       []int
	Probabilities []float64
}

// evaluation is a Measure on its way.
type evaluation struct {
	o       Options
	engines []model.Engine
	crops   []int // the sizes of the nets' inputs
	source  []int // of each engine: the index of its size
	classes int
	feed    *feed
	report  *Report

	probs []float32 // of one engine for one batch, images x classes
	own   []float64 // sums over views of one engine, records x classes
	sums  []float64 // sums over views and engines, records x classes
	top   []int     // most probable classes of a record
	topP  []float64
}

// newEvaluation sorts the engines by the size of their input.
func newEvaluation(engines []model.Engine, split *records.Split, o Options) *evaluation {
	classes := engines[0].Net().Classes
	blank := Result{Split: split.Name(), Views: o.Views, Nets: 1}
	r := &Report{Result: blank, Confusion: Confusion{},
		Singles: slices.Repeat([]Result{blank}, len(engines)), Classes: slices.Repeat([]Result{blank}, classes)}
	r.Nets = len(engines)
	for i := range r.Classes {
		r.Classes[i].Nets = r.Nets
	}
	e := &evaluation{o: o, engines: engines, classes: classes, report: r,
		top: make([]int, 0, Guesses), topP: make([]float64, Guesses)}
	for _, engine := range engines {
		crop := engine.Net().Input.H
		at := slices.Index(e.crops, crop)
		if at < 0 {
			at = len(e.crops)
			e.crops = append(e.crops, crop)
		}
		e.source = append(e.source, at)
	}
	return e
}

// add counts the records of the present batches.
func (e *evaluation) add(ctx context.Context) error {
	b := &e.feed.batches[0] // labels and rows are the same in all
	images := b.N * e.o.Views
	if len(e.probs) < images*e.classes {
		e.probs = make([]float32, images*e.classes)
		e.own = make([]float64, b.N*e.classes)
		e.sums = make([]float64, b.N*e.classes)
	}
	holes := e.feed.holes()
	for slot := range b.N {
		if err := e.admit(b, slot, holes[slot]); err != nil {
			return err
		}
	}
	clear(e.sums)
	for k, engine := range e.engines {
		if err := predict(ctx, engine, e.feed.batches[e.source[k]].Images, images, e.probs); err != nil {
			return err
		}
		e.sum(images)
		if err := e.single(b, holes, &e.report.Singles[k]); err != nil {
			return err
		}
	}
	for slot := range b.N {
		if holes[slot] != nil {
			continue
		}
		if err := e.average(b, slot); err != nil {
			return fmt.Errorf("record %d: %w", b.Indices[slot], err)
		}
	}
	return nil
}

// admit counts a record that cannot be measured, or refuses it.
func (e *evaluation) admit(b *pipeline.Batch, slot int, damage error) error {
	row, label := b.Indices[slot], b.Labels[slot]
	switch {
	case damage != nil:
		e.report.Skipped++
		if e.o.Skipped != nil {
			e.o.Skipped(int(row), damage)
		}
	case label == -1 && e.o.Predictions != nil:
		e.report.Unlabelled++
	case label < 0 || int(label) >= e.classes:
		return fmt.Errorf("record %d has label %d of %d classes: only labelled splits can be evaluated", row, label, e.classes)
	}
	return nil
}

// sum adds the probabilities of one engine, over the views, to its own and to all.
func (e *evaluation) sum(images int) {
	clear(e.own)
	for i := range images {
		at := i / e.o.Views * e.classes
		own, sum := e.own[at:][:e.classes], e.sums[at:][:e.classes]
		for c, p := range e.probs[i*e.classes:][:e.classes] {
			own[c] += float64(p)
			sum[c] += float64(p)
		}
	}
}

// single counts the records of a batch for one net alone.
func (e *evaluation) single(b *pipeline.Batch, holes map[int]error, r *Result) error {
	for slot := range b.N {
		label := int(b.Labels[slot])
		if label < 0 || holes[slot] != nil {
			continue
		}
		scores := e.own[slot*e.classes:][:e.classes]
		rank, err := rankOf(scores, label)
		if err != nil {
			return fmt.Errorf("record %d: %w", b.Indices[slot], err)
		}
		r.count(rank, scores[label]/float64(e.o.Views))
	}
	return nil
}

// average counts a record for all nets averaged, and hands on what they say.
func (e *evaluation) average(b *pipeline.Batch, slot int) error {
	scores, label := e.sums[slot*e.classes:][:e.classes], int(b.Labels[slot])
	parts := float64(e.o.Views * len(e.engines))
	var err error
	if e.top, err = highest(scores, e.top); err != nil {
		return err
	}
	if label >= 0 {
		rank, err := rankOf(scores, label)
		if err != nil {
			return err
		}
		e.report.count(rank, scores[label]/parts)
		e.report.Classes[label].count(rank, scores[label]/parts)
		e.report.Confusion[Pair{label, e.top[0]}]++
	}
	if e.o.Predictions == nil {
		return nil
	}
	p := Prediction{Row: int(b.Indices[slot]), Label: b.Labels[slot], Classes: e.top, Probabilities: e.topP[:len(e.top)]}
	for i, c := range p.Classes {
		p.Probabilities[i] = scores[c] / parts
	}
	return e.o.Predictions(p)
}

// finish makes means of sums.
func (e *evaluation) finish() {
	e.report.finish()
	for _, list := range [][]Result{e.report.Singles, e.report.Classes} {
		for i := range list {
			list[i].finish()
		}
	}
	for i := range e.report.Singles {
		s := &e.report.Singles[i]
		s.Unlabelled, s.Skipped = e.report.Unlabelled, e.report.Skipped
	}
}

// predict runs n images through an engine, as many at a time as it takes, unless ctx
// is cancelled.
func predict(ctx context.Context, engine model.Engine, images []float32, n int, probs []float32) error {
	size, classes := engine.Net().Input.Size(), engine.Net().Classes
	for done := 0; done < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := min(n-done, engine.Batch())
		if err := engine.Predict(images[done*size:(done+now)*size], now, probs[done*classes:(done+now)*classes]); err != nil {
			return err
		}
		done += now
	}
	return nil
}

// rankOf returns how many classes rank above the label.
func rankOf(scores []float64, label int) (int, error) {
	rank := 0
	for c, s := range scores {
		if math.IsNaN(s) {
			return 0, notANumber(c)
		}
		if s > scores[label] || s == scores[label] && c < label {
			rank++
		}
	}
	return rank, nil
}

// highest returns, in the memory of list, the classes that rank highest, as many as
// list has room for.
func highest(scores []float64, list []int) ([]int, error) {
	list = list[:0]
	for c, s := range scores {
		if math.IsNaN(s) {
			return list, notANumber(c)
		}
		at := len(list)
		for at > 0 && s > scores[list[at-1]] {
			at--
		}
		switch {
		case at == cap(list):
			continue
		case len(list) < cap(list):
			list = append(list, c)
		}
		copy(list[at+1:], list[at:])
		list[at] = c
	}
	return list, nil
}

func notANumber(class int) error {
	return fmt.Errorf("the probability of class %d is not a number: the net's weights have diverged", class)
}
