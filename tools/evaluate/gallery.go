package main

import (
	"image/png"
	"io"
	"slices"
	"strings"

	"alexnet/records"
	"alexnet/records/atomicfile"
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

// draw writes the pictures with their bars as a PNG.
func (g *gallery) draw(file string, ds *records.Dataset) error {
	var all []figure.Guessed
	for _, p := range g.chosen() {
		row, err := g.split.Row(p.Row, new(records.Scratch))
		if err != nil {
			return err
		}
		shown := figure.Guessed{Picture: figure.Picture(ds.Mean, row), Label: labelOf(ds, row.Label)}
		for i, c := range p.Classes {
			shown.Guesses = append(shown.Guesses, figure.Guess{Class: nameOf(ds.Manifest.Classes[c]), Probability: p.Probabilities[i], Right: int32(c) == p.Label})
		}
		all = append(all, shown)
	}
	return atomicfile.Write(file, func(w io.Writer) error { return png.Encode(w, figure.Guesses(all)) })
}

// labelOf returns what people call a label.
func labelOf(ds *records.Dataset, label int32) string {
	if label < 0 || int(label) >= len(ds.Manifest.Classes) {
		return "no label"
	}
	return nameOf(ds.Manifest.Classes[label])
}

// picture returns a record's picture and what it is called.
func picture(ds *records.Dataset, split *records.Split, at int) (pictured, error) {
	row, err := split.Row(at, new(records.Scratch))
	if err != nil {
		return pictured{}, err
	}
	p := pictured{Key: strings.Clone(row.Key), Label: labelOf(ds, row.Label), Small: max(ds.Manifest.Shape.H, ds.Manifest.Shape.W) <= smallSide}
	p.Image, err = dataURL(figure.Picture(ds.Mean, row))
	return p, err
}
