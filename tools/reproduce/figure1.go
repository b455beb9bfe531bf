package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"alexnet/records/atomicfile"
	"alexnet/tools/cli"
	"alexnet/tools/figure"
	"alexnet/tools/stores"
	"alexnet/train/reproduce"
)

// figure1 makes Figure 1.
type figure1 struct {
	Records      string    `required:"" placeholder:"DIR|URL" help:"Records of CIFAR-10, as in the paper, or others that ingest made, in a folder or an object store (s3://bucket/out)."`
	Out          string    `default:"runs/figure1" placeholder:"DIR" help:"Folder for the runs, one for each activation and rate, and for figure1.json, .svg and .png (${default})."`
	Net          string    `default:"cifar-4layer-no-lrn" placeholder:"PRESET" help:"Net, with ReLUs and with tanh (${default})."`
	Rates        []float64 `default:"0.001,0.002,0.004,0.008,0.016" placeholder:"RATE" help:"Learning rates to choose from (${default}); they stay constant."`
	SearchEpochs int       `default:"3" placeholder:"N" help:"Passes over the training split with every rate (${default}); the two with the lowest training error go on."`
	Epochs       int       `default:"45" placeholder:"N" help:"Passes at most (${default})."`
	Until        float64   `default:"0.25" placeholder:"ERROR" help:"Training error to reach (${default}), a share."`
	Batch        int       `placeholder:"N" help:"Images of a batch (default: the recipe's, 128)."`
	Seed         uint64    `default:"1" placeholder:"N" help:"Of all runs (${default})."`
	machine
}

// Run trains what is missing and draws the figure.
func (f *figure1) Run(ctx context.Context, out io.Writer, all *flags) (err error) {
	defer func() { err = errors.Join(err, f.close()) }()
	if f.Batch < 0 || f.Seed == 0 {
		return cli.Usagef("--batch must not be negative, and --seed not 0")
	}
	if err := stores.Local("--out", f.Out); err != nil {
		return err
	}
	o := reproduce.Options{Net: f.Net, Seed: f.Seed, Batch: f.Batch}
	if err := f.machine.apply(&o); err != nil {
		return err
	}
	r := reproduce.Race{Out: f.Out, Options: o, Rates: f.Rates, Search: f.SearchEpochs, Epochs: f.Epochs, Until: f.Until}
	if err := r.Check(); err != nil {
		return &cli.UsageError{Err: err}
	}
	if r.Records, err = f.open(ctx, f.Records, all.stderr); err != nil {
		return err
	}
	c := newConsole(all.stderr)
	defer c.progress.Done()
	result, err := r.Run(ctx, c.work(&f.machine))
	if err != nil {
		return goOn(err)
	}
	base := filepath.Join(f.Out, "figure1")
	if err := drawRace(result, base); err != nil {
		return err
	}
	if f.JSON {
		return json.NewEncoder(out).Encode(result)
	}
	_, err = io.WriteString(out, raceText(result)+fmt.Sprintf("drawn in %s.svg and .png\n", base))
	return err
}

// drawRace draws a race as an SVG and a PNG file; base is their path but for the end.
func drawRace(o reproduce.Outcomes, base string) error {
	chart := raceChart(o)
	svg, err := chart.SVGFile()
	if err != nil {
		return err
	}
	img, err := chart.Image()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(base+".svg", func(w io.Writer) error {
		_, err := w.Write(svg)
		return err
	}); err != nil {
		return err
	}
	return atomicfile.Write(base+".png", func(w io.Writer) error { return png.Encode(w, img) })
}

// raceChart is the paper's Figure 1: ReLUs solid, tanh dashed.
func raceChart(o reproduce.Outcomes) *figure.Chart {
	c := &figure.Chart{
		Title:  fmt.Sprintf("Training error of %s on %s by epoch, with ReLUs (solid) and with tanh (dashed)", o.Net, o.DataSet),
		XLabel: "epochs", YLabel: "training error, %",
		Levels: []figure.Level{{Y: 100 * o.Until, Text: number(100*o.Until) + " %"}},
	}
	for i, r := range []reproduce.Runner{o.ReLU, o.Tanh} {
		s := figure.Series{Name: runnerName(r) + ", rate " + number(r.Rate), Color: i + 1, Dashed: i == 1}
		if r.WholeEpochs > 0 {
			s.Name += fmt.Sprintf(": %.1f epochs", r.Epochs)
		}
		for k, e := range r.Errors {
			s.X, s.Y = append(s.X, float64(k+1)), append(s.Y, 100*e)
		}
		c.Series = append(c.Series, s)
	}
	return c
}

// raceText shows a race beside the paper's.
func raceText(o reproduce.Outcomes) string {
	var b strings.Builder
	to := number(100*o.Until) + " %"
	fmt.Fprintf(&b, "Figure 1: epochs to a training error of %s, without regularisation\n\n", to)
	table(&b, func(w io.Writer) {
		fmt.Fprintf(w, "\trate\tepochs to %s\tfirst epoch at or below\ttraining error there, %%\n", to)
		for _, r := range []reproduce.Runner{o.ReLU, o.Tanh} {
			between, whole := "not reached", "none of "+strconv.Itoa(len(r.Errors))
			if r.WholeEpochs > 0 {
				between, whole = strconv.FormatFloat(r.Epochs, 'f', 2, 64), strconv.Itoa(r.WholeEpochs)
			}
			at := ""
			if n := len(r.Errors); n > 0 {
				at = percent(r.Errors[max(r.WholeEpochs, 1)-1], 2)
				if r.WholeEpochs == 0 {
					at = percent(r.Errors[n-1], 2)
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", runnerName(r), number(r.Rate), between, whole, at)
		}
	})
	fmt.Fprintf(&b, "\ntanh takes, times the epochs of ReLU:\n")
	var rates []string
	for _, rate := range o.Rates {
		rates = append(rates, number(rate))
	}
	table(&b, func(w io.Writer) {
		fmt.Fprintf(w, "paper: %s, a four-layer net, to %s %%\t%s\n", o.Paper.DataSet, number(100*o.Paper.Until), number(o.Paper.Ratio))
		fmt.Fprintf(w, "here: %s, %s, rates %s\t%s\n", o.DataSet, o.Net, strings.Join(rates, " "), ratioText(o))
	})
	fmt.Fprintf(&b, "\ntraining error, %%, after the %d epochs of the search\n\n", o.SearchEpochs)
	table(&b, func(w io.Writer) {
		fmt.Fprintf(w, "rate\t%s\t%s\n", runnerName(o.ReLU), runnerName(o.Tanh))
		for i, rate := range o.Rates {
			fmt.Fprintf(w, "%s\t%s\t%s\n", number(rate), tryText(o.ReLU.Tried[i], o.SearchEpochs), tryText(o.Tanh.Tried[i], o.SearchEpochs))
		}
	})
	b.WriteString("\n*: went on. An epoch's training error is the mean over its images, each as it was before the step that used it.\n")
	for _, r := range []reproduce.Runner{o.ReLU, o.Tanh} {
		if text := edgeText(o.Rates, r.Rate); text != "" {
			fmt.Fprintf(&b, "note: %s does best at the %s rate; it may do better at one that is not among them (--rates)\n", runnerName(r), text)
		}
	}
	return b.String()
}

// edgeText says which end of the rates one of them is, if it is one.
func edgeText(rates []float64, rate float64) string {
	switch rate {
	case slices.Max(rates):
		return "highest"
	case slices.Min(rates):
		return "lowest"
	}
	return ""
}

// ratioText writes the ratio of epochs.
func ratioText(o reproduce.Outcomes) string {
	switch {
	case o.Ratio > 0:
		return fmt.Sprintf("%.2f (of whole epochs %.2f)", o.Ratio, o.WholeRatio)
	case o.MoreThan > 0:
		return fmt.Sprintf("more than %.2f: tanh did not get there", o.MoreThan)
	}
	return "unknown: ReLU did not get there"
}

// tryText writes the training error of a rate after the search.
func tryText(t reproduce.Try, search int) string {
	if len(t.Errors) < search {
		return "diverged"
	}
	text := percent(t.Errors[search-1], 2)
	if t.WentOn {
		text += "*"
	}
	return text
}

// runnerName writes an activation as the paper does.
func runnerName(r reproduce.Runner) string {
	if r.Activation == "relu" {
		return "ReLU"
	}
	return string(r.Activation)
}

// number writes a number as short as it can be.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
