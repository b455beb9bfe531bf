package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"strings"

	"alexnet/model"
	"alexnet/records"
	"alexnet/records/atomicfile"
	"alexnet/tools/cli"
	"alexnet/tools/figure"
	"alexnet/train/checkpoint"
	"alexnet/train/engine"
	"alexnet/train/eval"
	"alexnet/train/features"
	"alexnet/train/report"
)

// neighboursCommand shows pictures and those with the nearest features: the paper's
// Figure 4, right.
type neighboursCommand struct {
	Dir        string  `arg:"" help:"Folder that ingest wrote, or its URL (s3://bucket/out)."`
	Checkpoint string  `required:"" placeholder:"FILE|RUN" help:"A checkpoint, or the folder of a run, which stands for its best checkpoint."`
	Split      string  `default:"val" help:"The split of the pictures (${default})."`
	From       string  `default:"train" placeholder:"SPLIT" help:"The split in which neighbours are looked for (${default})."`
	Pictures   int     `default:"5" placeholder:"N" help:"How many pictures: the first ones of different classes (${default})."`
	Row        []int   `placeholder:"N" help:"The picture of this row of the split instead; may be repeated."`
	Nearest    int     `default:"6" placeholder:"N" help:"Neighbours of each (${default})."`
	Layer      string  `placeholder:"NAME" help:"The layer that gives the features, with its activation (default: the last before the classifier: fc7 in the paper's net)."`
	Features   string  `default:"features" placeholder:"DIR" help:"Folder for the features of --from (${default}). What is there of this net and split is used, and an interrupted computation goes on."`
	PNG        string  `name:"png" placeholder:"FILE" help:"Draw the pictures to this PNG."`
	Weights    string  `enum:"own,average" default:"own" help:"own (default): the weights that were trained; average: the average of them that runs with --ema keep."`
	Device     string  `enum:"auto,cpu,gpu" default:"auto" help:"auto (default), cpu or gpu."`
	Precision  *string `enum:"fp32,tf32,bf16" placeholder:"fp32|tf32|bf16" help:"Arithmetic: fp32 (default), bf16 or, on a GPU, tf32."`
	Batch      int     `default:"128" placeholder:"N" help:"Images that the net computes at a time (${default})."`
	Threads    int     `placeholder:"N" help:"Threads (default: one a processor)."`
	JSON       bool    `name:"json" help:"One JSON object a picture."`
}

// neighboured is a picture as --json prints it.
type neighboured struct {
	features.Query
	Class string `json:"class"`
}

// Help returns what --help shows besides the flags.
func (*neighboursCommand) Help() string {
	return "Examples:\n  inspect neighbours out/ --checkpoint runs/alexnet --png neighbours.png\n  inspect neighbours out/ --checkpoint runs/alexnet --row 3 --row 14 --json"
}

// Run finds, prints and draws.
func (c *neighboursCommand) Run(ctx context.Context, out io.Writer) (err error) {
	if c.Pictures < 1 || c.Nearest < 1 || c.Batch < 1 || c.Threads < 0 {
		return cli.Usagef("--pictures, --nearest and --batch must be at least 1, --threads not negative")
	}
	if c.PNG != "" { // before hours of work
		if err := atomicfile.Possible(c.PNG); err != nil {
			return fmt.Errorf("--png: %w", err)
		}
	}
	ds, split, done, err := openSplit(ctx, c.Dir, c.Split)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	from, err := ds.OpenSplit(c.From)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	rows, err := c.rows(split)
	if err != nil {
		return err
	}
	e, precision, err := c.open(ds)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	layer := cmp.Or(c.Layer, e.Net().LastHidden())
	if layer == "" {
		return fmt.Errorf("net %s has no hidden layer whose features could be compared", e.Net().Name)
	}
	line := report.NewProgress(os.Stderr)
	queries, _, err := features.Neighbours(ctx, e, ds, from, split, rows, c.Nearest, c.Features,
		features.Options{Layer: layer, Precision: precision, Workers: c.Threads,
			Progress: func(done, total int) { line.Show(featureProgress{done, total}, false) }},
		features.SearchOptions{Threads: c.Threads})
	line.Done()
	if err != nil {
		return err
	}
	if err := c.print(out, ds, queries); err != nil || c.PNG == "" {
		return err
	}
	return c.draw(ds, from, split, queries)
}

// rows returns the pictures to look at.
func (c *neighboursCommand) rows(split *records.Split) ([]int, error) {
	if len(c.Row) > 0 {
		return c.Row, nil // a row that there is not is found when it is read
	}
	var rows, more []int
	seen := map[int32]bool{}
	for row := 0; row < split.Len() && len(rows) < c.Pictures; row++ {
		label, err := split.Label(row)
		if err != nil {
			return nil, err
		}
		if seen[label] {
			more = append(more, row)
			continue
		}
		seen[label] = true
		rows = append(rows, row)
	}
	rows = append(rows, more...)
	return rows[:min(len(rows), c.Pictures)], nil
}

// open makes the engine, and returns its precision.
func (c *neighboursCommand) open(ds *records.Dataset) (e model.FeatureEngine, precision string, err error) {
	found, warnings, err := checkpoint.Find(c.Checkpoint)
	for _, w := range warnings {
		fmt.Fprintf(os.Stderr, "warning: %v\n", w)
	}
	if err != nil {
		return nil, "", err
	}
	weights, err := found.Weights(checkpoint.Weights(c.Weights))
	if err != nil {
		return nil, "", err
	}
	// A net for other classes is as good, but not one for other images.
	net := *found.Net
	net.Classes = len(ds.Manifest.Classes)
	if err := eval.CheckFit(&net, ds); err != nil {
		return nil, "", err
	}
	o := engine.Options{Device: engine.Device(c.Device), Batch: c.Batch, Threads: c.Threads}
	if c.Precision != nil {
		o.Precision = *c.Precision
	}
	made, about, err := engine.New(found.Net, model.State{Weights: weights}, o)
	if err != nil {
		return nil, "", err
	}
	return made.(model.FeatureEngine), about.Precision, nil // both kinds are
}

// print writes a line a picture, or an object.
func (c *neighboursCommand) print(out io.Writer, ds *records.Dataset, queries []features.Query) error {
	encode := json.NewEncoder(out)
	for _, q := range queries {
		if c.JSON {
			if err := encode.Encode(neighboured{q, class(ds, q.Label)}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(out, "%s (%s)\n", q.Key, class(ds, q.Label))
		for _, m := range q.Neighbours {
			fmt.Fprintf(out, "  %10s  %s (%s)\n", figure.Distance(m.Distance), m.Key, class(ds, m.Label))
		}
	}
	return nil
}

// class returns the first of a class's words, or its WNID.
func class(ds *records.Dataset, label int32) string {
	if label < 0 || int(label) >= len(ds.Manifest.Classes) {
		return "no label"
	}
	c := ds.Manifest.Classes[label]
	name, _, _ := strings.Cut(c.Words, ",")
	return cmp.Or(strings.TrimSpace(name), c.WNID)
}

// draw writes the PNG.
func (c *neighboursCommand) draw(ds *records.Dataset, from, split *records.Split, queries []features.Query) error {
	var lines [][]figure.Tile
	tile := func(s *records.Split, row int, label int32, distance string) (figure.Tile, error) {
		r, err := s.Row(row, new(records.Scratch))
		if err != nil {
			return figure.Tile{}, err
		}
		return figure.Tile{Picture: figure.Picture(ds.Mean, r), Text: [2]string{class(ds, label), distance}}, nil
	}
	for _, q := range queries {
		own, err := tile(split, q.Row, q.Label, "")
		if err != nil {
			return err
		}
		line := []figure.Tile{own}
		for _, m := range q.Neighbours {
			t, err := tile(from, m.Row, m.Label, figure.Distance(m.Distance))
			if err != nil {
				return err
			}
			line = append(line, t)
		}
		lines = append(lines, line)
	}
	img := figure.Tiles(lines)
	return atomicfile.Write(c.PNG, func(w io.Writer) error { return png.Encode(w, img) })
}

// featureProgress is how many pictures' features are there, of how many.
type featureProgress struct{ done, total int }

// String returns the progress line.
func (p featureProgress) String() string {
	return fmt.Sprintf("features of %d of %d images", p.done, p.total)
}
