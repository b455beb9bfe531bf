package main

import (
	"fmt"
	"io"

	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/stores"
	"alexnet/train/eval"
	"alexnet/train/report"
)

// outputFlags say what is shown and written besides the two errors, and of what.
type outputFlags struct {
	PerClass    bool               `help:"Show the errors of each class too."`
	Confused    int                `placeholder:"N" help:"Show the N pairs of classes that were taken for one another most often."`
	Confusion   bool               `help:"Show how often each class was taken for each, of at most 40 classes (--json has more)."`
	Predictions string             `placeholder:"FILE" help:"Write the five most probable classes of each image to FILE: JSON lines if it is named *.jsonl, else a submission to ILSVRC. Labels are not needed."`
	OnCorrupt   pipeline.OnCorrupt `default:"stop" help:"Damaged or missing records: stop (default), or skip them and say how many."`
}

// check looks at the flags alone.
func (f *outputFlags) check() error {
	if f.Confused < 0 {
		return cli.Usagef("--confused must not be negative")
	}
	return stores.Local("--predictions", f.Predictions)
}

// openSplit opens the split; with --on-corrupt skip, without the shards that are lost.
func (f *outputFlags) openSplit(ds *records.Dataset, name string) (*records.Split, error) {
	if f.OnCorrupt == pipeline.Skip {
		return ds.OpenSplitLenient(name)
	}
	return ds.OpenSplit(name)
}

// predictions starts the file of predictions, if one is wanted. Without one a split
// needs labels, as its first record tells before the nets are loaded.
func (f *outputFlags) predictions(ds *records.Dataset, split *records.Split) (*eval.PredictionFile, error) {
	if f.Predictions != "" {
		return eval.CreatePredictions(f.Predictions, ds, split, f.OnCorrupt == pipeline.Skip)
	}
	if split.Len() > 0 {
		if label, err := split.Label(0); err == nil && label == -1 {
			return nil, fmt.Errorf("the images of split %s have no labels, so that there is no error to measure: name a file for the nets' answers with --predictions FILE", split.Name())
		}
	}
	return nil, nil
}

// commit ends the file of predictions and says so.
func (f *outputFlags) commit(p *eval.PredictionFile, stderr io.Writer) error {
	if p == nil {
		return nil
	}
	lines, warnings, err := p.Commit()
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s: %s\n", f.Predictions, w)
	}
	fmt.Fprintf(stderr, "%s: %d lines\n", f.Predictions, lines)
	return nil
}

// maxNamed is how many of the records that are left out are named.
const maxNamed = 20

// skipping returns what names the records that are left out, above the line of the
// progress.
func skipping(line *report.Progress) func(int, error) {
	named := 0
	return func(_ int, err error) {
		switch named++; {
		case named <= maxNamed:
			line.Print(fmt.Sprintf("warning: left out: %v", err))
		case named == maxNamed+1:
			line.Print("warning: there are more; `inspect verify` says which files are damaged")
		}
	}
}
