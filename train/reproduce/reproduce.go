package reproduce

import (
	"context"
	"fmt"

	"alexnet/records"
)

// Reproduce makes a row: it trains the nets of a system that are not trained yet,
// measures their average, and keeps the row in a file of out, where Rows finds it.
// pretrain may be nil in systems without pre-trained nets.
func Reproduce(ctx context.Context, s System, out string, ds, pretrain *records.Dataset, o Options, w *Work, m Measure) (Row, error) {
	split := or(m.Split, "val")
	if ds.Manifest.Splits[split].Written == 0 {
		return Row{}, fmt.Errorf("%s has no split %q to measure on", ds.Dir, split)
	}
	jobs, err := s.Jobs(out, ds, pretrain, o)
	if err != nil {
		return Row{}, err
	}
	if err := w.Finish(ctx, jobs); err != nil {
		return Row{}, err
	}
	var runs []string
	for _, j := range jobs {
		if j.Kind != Pretrained {
			runs = append(runs, j.Run)
		}
	}
	r, files, err := m.Average(ctx, ds, runs)
	if err != nil {
		return Row{}, err
	}
	return s.row(out, jobs, r, files)
}
