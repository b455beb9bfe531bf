package main

import (
	"slices"
	"strings"

	"alexnet/records"
	"alexnet/tools/figure"
	"alexnet/train/eval"
)

// gallery keeps the predictions of some pictures: the first in stored order, which is
// a random one, of classes that it has not shown yet, and if there are too few classes
// the first of those that it has.
type gallery struct {
	split *records.Split
	size  int
	fresh []eval.Prediction // of a class each
	more  []eval.Prediction
	seen  map[int32]bool
}

func newGallery(split *records.Split, size int) *gallery {
	return &gallery{split: split, size: size, seen: map[int32]bool{}}
}

// add takes a prediction: it is an eval.Options.Predictions.
func (g *gallery) add(p eval.Prediction) error {
	list := &g.fresh
	if g.seen[p.Label] {
		list = &g.more
	}
	g.seen[p.Label] = true
	if len(*list) < g.size {
		p.Classes, p.Probabilities = slices.Clone(p.Classes), slices.Clone(p.Probabilities)
		*list = append(*list, p)
	}
	return nil
}

// chosen returns the predictions to show, by row.
func (g *gallery) chosen() []eval.Prediction {
	all := slices.Concat(g.fresh, g.more)
	return all[:min(g.size, len(all))]
}

// guesses returns the pictures with their bars.
func (g *gallery) guesses(ds *records.Dataset) ([]guess, error) {
	var list []guess
	for _, p := range g.chosen() {
		shown, err := picture(ds, g.split, p.Row)
		if err != nil {
			return nil, err
		}
		s := guess{pictured: shown}
		for i, c := range p.Classes {
			s.Bars = append(s.Bars, bar{nameOf(ds.Manifest.Classes[c]), 100 * p.Probabilities[i], int32(c) == p.Label})
		}
		list = append(list, s)
	}
	return list, nil
}

// picture returns a record's picture and what it is called.
func picture(ds *records.Dataset, split *records.Split, at int) (pictured, error) {
	row, err := split.Row(at, new(records.Scratch))
	if err != nil {
		return pictured{}, err
	}
	p := pictured{Key: strings.Clone(row.Key), Label: "no label", Small: max(ds.Manifest.Shape.H, ds.Manifest.Shape.W) <= smallSide}
	if row.Label >= 0 && int(row.Label) < len(ds.Manifest.Classes) {
		p.Label = nameOf(ds.Manifest.Classes[row.Label])
	}
	p.Image, err = dataURL(figure.Picture(ds.Mean, row))
	return p, err
}
