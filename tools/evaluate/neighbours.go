package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/model/gpu"
	"alexnet/records"
	"alexnet/tools/figure"
	"alexnet/train/features"
	"alexnet/train/report"
)

// nearest is how many neighbours a picture has, as in the paper's Figure 4.
const nearest = 6

// featuresFolder is where a report keeps the features of a split, in a folder for each
// net, since a report is made again when its run has gone on.
const featuresFolder = "features"

// findNeighbours adds some of the pictures that are shown with their neighbours.
func (f *flags) findNeighbours(ctx context.Context, p *page, e model.Engine, ds *records.Dataset, shown *gallery) (err error) {
	engine, ok := e.(model.FeatureEngine)
	if !ok {
		return fmt.Errorf("neighbours: the engine of net %s does not give the features of a layer", e.Net().Name)
	}
	from, err := ds.OpenSplit(f.From)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	var rows []int
	for _, q := range shown.chosen() {
		if len(rows) < f.Neighbours {
			rows = append(rows, q.Row)
		}
	}
	line := report.NewProgress(f.stderr)
	o := features.Options{Layer: f.Layer, Precision: precisionOf(e), Workers: f.Workers,
		Progress: func(done, total int) { line.Show(featureProgress{done, total}, false) }}
	source, err := features.NewSource(engine, ds, from, o)
	if err != nil {
		return err
	}
	store := filepath.Join(f.Report, featuresFolder, source.Folder())
	queries, _, err := features.Neighbours(ctx, engine, ds, from, shown.split, rows, nearest, store, o, features.SearchOptions{Threads: f.Threads})
	line.Done()
	if err != nil {
		return err
	}
	p.neighbourhood = neighbourhood{From: f.From, Layer: f.Layer, FeatureNet: e.Net().Name, Nearest: nearest}
	for _, q := range queries {
		own, err := picture(ds, shown.split, q.Row)
		if err != nil {
			return err
		}
		row := []pictured{own}
		for _, m := range q.Neighbours {
			neighbour, err := picture(ds, from, m.Row)
			if err != nil {
				return err
			}
			neighbour.Distance = figure.Distance(m.Distance)
			row = append(row, neighbour)
		}
		p.Queries = append(p.Queries, row)
	}
	return nil
}

// precisionOf returns what a store of features notes of an engine's arithmetic.
func precisionOf(e model.Engine) string {
	switch p := e.(type) {
	case interface{ Precision() cpu.Precision }:
		return string(p.Precision())
	case interface{ Precision() gpu.Precision }:
		return string(p.Precision())
	}
	return ""
}

// featureProgress is how many pictures' features are there, of how many.
type featureProgress struct{ done, total int }

// String returns the progress line.
func (p featureProgress) String() string {
	return fmt.Sprintf("features of %d of %d images", p.done, p.total)
}
